"""The packs of every step, read ahead by worker processes, in the order of the plan whatever the number of workers.

    plan --packs of a step--> deal: the packs of this process --requests--> workers --> StepData

A request names rows of the store, so any worker can answer it, again if necessary.
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
"""Number of packs that are read ahead for each worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepData:
    """The data of one step for one process."""

    step: int
    """Number of the step, from 0."""
    packs: list[LoadedPack]
    """Packs of this process; can be empty, then the process takes part in the step with weight zero."""
    flops: float
    """FLOPs of the packs of all processes, as the plan counts them."""
    digest: str
    """Digest of the packs of all processes, the same in every process."""
    cursor: Cursor
    """Cursor of the next step."""
    waited_s: float
    """Seconds that the process waited for its packs."""
    failures: list[Failure] = field(default_factory=list)
    """Samples of these packs that could not be read."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step whose packs have been requested."""

    step: int
    packs: Sequence[Pack]
    """Packs of all processes."""
    requests: list[PackRequest]
    """Requests of this process."""
    cursor: Cursor
    """Cursor of the next step."""


class StepLoader:
    """Iterates over the steps of a plan, for the process with number `rank` of `size` processes.

    The failures of a step are in the quarantine before the step is returned.
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
        """The next `count` steps from a cursor on. Raises Qwen2VLError when workers are killed again and again."""
        with PackWorkers(self.reader, self.num_workers) as workers:
            planned: deque[PlannedStep] = deque()
            upcoming = self._plan(cursor, count)
            while True:
                while len(planned) < 2 or len(workers.pending) < AHEAD * self.num_workers:
                    step = next(upcoming, None)
                    if step is None:
                        break
                    planned.append(step)
                    for request in step.requests:
                        workers.submit(request)
                if not planned:
                    return
                yield self._receive(planned.popleft(), workers)

    def step(self, cursor: Cursor) -> StepData:
        """The step at a cursor alone, read in this process."""
        planned, began = self._planned(cursor), time.perf_counter()
        return self._step_data(planned, [self.reader.pack(request) for request in planned.requests], began)

    def _plan(self, cursor: Cursor, count: int) -> Iterator[PlannedStep]:
        for _ in range(count):
            planned = self._planned(cursor)
            cursor = planned.cursor
            yield planned

    def _planned(self, cursor: Cursor) -> PlannedStep:
        packs, after = self.plan.step(cursor)
        own = deal(packs, self.size)[self.rank]
        return PlannedStep(cursor.step, packs, [self._request(cursor.step, packs[pack]) for pack in own], after)

    def _request(self, step: int, pack: Pack) -> PackRequest:
        rows = tuple(row for _, row in pack.samples)
        skipped = frozenset(row for row in rows if self.quarantine.holds(step, row))
        return PackRequest(step=step, rows=rows, skipped=skipped)

    def _receive(self, planned: PlannedStep, workers: PackWorkers) -> StepData:
        began = time.perf_counter()
        return self._step_data(planned, [workers.next_pack() for _ in planned.requests], began)

    def _step_data(self, planned: PlannedStep, loaded: list[LoadedPack], began: float) -> StepData:
        """The data of a step. began: when this process began to wait for its packs."""
        waited_s = time.perf_counter() - began
        failures = [failure for pack in loaded for failure in pack.failures]
        self.quarantine.add(failures)
        return StepData(
            step=planned.step,
            packs=loaded,
            flops=sum(pack.flops for pack in planned.packs),
            digest=digest(planned.packs),
            cursor=planned.cursor,
            waited_s=waited_s,
            failures=failures,
        )
