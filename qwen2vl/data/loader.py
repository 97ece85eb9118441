"""Packs of every step, read ahead by worker processes, in the order of the plan whatever their number.

    plan --steps--> deal: the packs of this process --requests--> workers --> rows of the step

Workers have no state: a request names the rows of the store, so a worker that is killed is replaced and its requests
are given out again. The plan runs ahead of the training only as far as the queue is deep.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from qwen2vl.data.dealing import deal
from qwen2vl.data.plan import Cursor, Pack, Plan, digest
from qwen2vl.data.quarantine import Failure, Quarantine
from qwen2vl.data.samples import LoadedPack, PackRequest, SampleReader
from qwen2vl.data.workers import PackWorkers

AHEAD = 4
"""Packs read ahead for each worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepData:
    """What one process trains on in one step."""

    step: int
    """From 0."""
    packs: list[LoadedPack]
    """Of this process; may be none, then it takes part with weight nought."""
    flops: float
    """Of the packs of all processes, as the plan counts them."""
    digest: str
    """Of the global batch: the same on every process."""
    cursor: Cursor
    """Where the next step begins."""
    waited_s: float
    failures: list[Failure] = field(default_factory=list)


class StepLoader:
    """Iterates over the steps of a plan for one of `size` processes.

    Failures are listed in the quarantine before the step that holds them is handed out.
    """

    def __init__(
        self,
        plan: Plan,
        reader: SampleReader,
        quarantine: Quarantine,
        *,
        rank: int = 0,
        size: int = 1,
        num_workers: int = 1,
    ) -> None:
        self.plan, self.reader, self.quarantine = plan, reader, quarantine
        self.rank, self.size, self.num_workers = rank, size, num_workers

    def steps(self, cursor: Cursor, count: int) -> Iterator[StepData]:
        """The next `count` steps from a cursor on."""
        with PackWorkers(self.reader, self.num_workers) as workers:
            planned: deque[_PlannedStep] = deque()
            cursors = iter(self._planned(cursor, count))
            while True:
                while len(planned) < 2 or len(workers.pending) < AHEAD * self.num_workers:
                    step = next(cursors, None)
                    if step is None:
                        break
                    planned.append(step)
                    for request in step.requests:
                        workers.submit(request)
                if not planned:
                    return
                yield self._gathered(planned.popleft(), workers)

    def _planned(self, cursor: Cursor, count: int) -> Iterator["_PlannedStep"]:
        for _ in range(count):
            step = cursor.step
            packs, cursor = self.plan.step(cursor)
            mine = deal(packs, self.size)[self.rank]
            yield _PlannedStep(step, packs, [self._request(step, packs[pack]) for pack in mine], cursor)

    def _request(self, step: int, pack: Pack) -> PackRequest:
        rows = tuple(row for _, row in pack.samples)
        skipped = frozenset(row for row in rows if self.quarantine.holds(step, row))
        return PackRequest(step=step, rows=rows, skipped=skipped)

    def _gathered(self, planned: "_PlannedStep", workers: PackWorkers) -> StepData:
        began = time.perf_counter()
        loaded = [workers.next_pack() for _ in planned.requests]
        waited_s = time.perf_counter() - began
        fresh = [failure for pack in loaded for failure in pack.failures]
        self.quarantine.add(fresh)
        return StepData(
            step=planned.step,
            packs=loaded,
            flops=sum(pack.flops for pack in planned.packs),
            digest=digest(planned.packs),
            cursor=planned.cursor,
            waited_s=waited_s,
            failures=fresh,
        )


@dataclass(frozen=True, slots=True)
class _PlannedStep:
    step: int
    packs: Sequence[Pack]
    requests: list[PackRequest]
    cursor: Cursor
