"""Packs of every step, read ahead by worker processes, in the order of the plan whatever their number.

    plan --steps--> deal: the packs of this process --requests--> workers --> rows of the step

Workers have no state: a request names the rows of the store, so a worker that is killed is replaced and its requests
are given out again. The plan runs ahead of the training only as far as the queue is deep.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import Any, Self

import numpy as np
import torch

from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.common.memory import keep_freed_memory
from qwen2vl.data.plan import Cursor, Pack, Plan, deal, digest
from qwen2vl.data.quarantine import Failure, Quarantine
from qwen2vl.data.samples import Document, LoadedPack, PackRequest, SampleReader
from qwen2vl.spec.inputs import ModelInputs

AHEAD = 4
"""Packs read ahead for each worker."""
WATCH_S = 5.0
"""Seconds between looks at the workers while an answer is awaited."""
RESTARTS = 3
"""Times that killed workers are replaced before the run gives up: what kills every worker is no accident."""


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
        with _Workers(self.reader, self.num_workers) as workers:
            planned: deque[_PlannedStep] = deque()
            cursors = iter(self._planned(cursor, count))
            while True:
                while len(planned) < 2 or workers.wants_more:
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

    def _gathered(self, planned: "_PlannedStep", workers: "_Workers") -> StepData:
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


class _Workers:
    """Reads packs in the order asked for; in this process when there are no workers."""

    def __init__(self, reader: SampleReader, count: int) -> None:
        self.reader, self.count = reader, count
        self.asked: deque[tuple[PackRequest, Future[Any] | None]] = deque()
        self.restarts = 0
        self.pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def wants_more(self) -> bool:
        return len(self.asked) < AHEAD * self.count

    def submit(self, request: PackRequest) -> None:
        """Ask for a pack. That the pool is broken is found out when the pack is wanted."""
        future: Future[Any] | None = None
        if self.pool is not None:
            try:
                future = self.pool.submit(_read, request)
            except BrokenProcessPool as error:
                future = Future()
                future.set_exception(error)
        self.asked.append((request, future))

    def next_pack(self) -> LoadedPack:
        """The pack asked for longest ago. Raises Qwen2VLError when workers die again and again."""
        while True:
            request, future = self.asked[0]
            try:
                pack = self.reader.pack(request) if future is None else _unpacked(self._result_of(future))
            except BrokenProcessPool as error:
                self._replace(request, error)
                continue
            self.asked.popleft()
            return pack

    def _result_of(self, future: Future[Any]) -> Any:
        """What a worker answers. Raises BrokenProcessPool.

        A worker that is killed while it writes leaves half a message, for whose rest the pool would wait for ever: its own
        watch over the processes begins only after the message. Ending all writers gives it the end of the file.
        """
        while True:
            try:
                return future.result(timeout=WATCH_S)
            except TimeoutError:
                pool: Any = self.pool
                processes = list((pool._processes or {}).values())
                if any(not process.is_alive() for process in processes):
                    for process in processes:
                        process.kill()
                    pool._result_queue._writer.close()

    def _replace(self, request: PackRequest, error: BrokenProcessPool) -> None:
        self.restarts += 1
        if self.restarts > RESTARTS:
            raise Qwen2VLError(
                f"worker processes were killed {self.restarts} times, the last time at step {request.step + 1}: "
                "look for a lack of memory, or use fewer with --num-workers; the same command goes on from the last save"
            ) from error
        self._stop()
        self._start()
        requests = [request for request, _ in self.asked]
        self.asked.clear()
        for again in requests:
            self.submit(again)

    def _start(self) -> None:
        if not self.count:
            return
        # A fresh interpreter each: a fork would copy the locks of the trainer's threads as they stand.
        context = get_context("forkserver")
        context.set_forkserver_preload(["qwen2vl.data.loader"])
        self.pool = ProcessPoolExecutor(
            self.count, mp_context=context, initializer=_become_worker, initargs=(self.reader,)
        )

    def _stop(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)


_reader: SampleReader


def _become_worker(reader: SampleReader) -> None:
    """One thread, and deaf to Ctrl-C: the trainer ends its workers when it has saved. Not to SIGTERM, by which a pool that
    has lost one worker ends the others."""
    global _reader
    _reader = reader
    torch.set_num_threads(1)
    keep_freed_memory()
    Thread(target=_leave_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave_with_parent() -> None:
    """A trainer that is killed outright cannot end its workers, and they would wait for requests for ever."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _read(request: PackRequest) -> tuple[dict[str, np.ndarray], tuple[Document, ...], tuple[Failure, ...]]:
    """A pack as plain arrays: tensors would travel in shared memory that dies with the worker."""
    loaded = _reader.pack(request)
    arrays = {name: getattr(loaded.inputs, name).numpy() for name in ModelInputs.__slots__}
    return arrays, loaded.documents, loaded.failures


def _unpacked(result: tuple[dict[str, np.ndarray], tuple[Document, ...], tuple[Failure, ...]]) -> LoadedPack:
    arrays, documents, failures = result
    inputs = ModelInputs(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    return LoadedPack(inputs=inputs, documents=documents, failures=failures)
