"""Worker processes that read packs, each connected to the trainer by one pipe.

    submit --> one thread per worker --request--> worker process: SampleReader.pack --answer--> thread --> next_pack

A thread passes one request at a time to a free worker and receives the answer while the trainer computes. Workers keep
no state, so any of them can be killed at any time. Each end of a pipe is open in one process only: when a worker dies,
even in the middle of an answer, the trainer reads the end of the file, and so does a worker whose trainer was killed.
"""

import signal
import traceback
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, Self

import numpy as np
import torch

from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.common.memory import keep_freed_memory
from qwen2vl.data.quarantine import Failure
from qwen2vl.data.samples import Document, LoadedPack, PackRequest, SampleReader
from qwen2vl.spec.inputs import ModelInputs

RESTARTS = 3
"""Number of times that killed workers are replaced before the run ends: what kills workers so often is no accident."""


class PackWorkers:
    """Reads packs in the order in which they are requested; in this process when the number of workers is 0."""

    def __init__(self, reader: SampleReader, count: int) -> None:
        self.reader, self.count = reader, count
        self.pending: deque[tuple[PackRequest, Future[LoadedPack] | None]] = deque()
        """Requests whose packs have not been taken, oldest first."""
        self.restarts = 0

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def submit(self, request: PackRequest) -> None:
        """Request a pack. That a worker is dead is found when the pack is taken, not here."""
        self.pending.append((request, self.threads.submit(self._read, request) if self.count else None))

    def next_pack(self) -> LoadedPack:
        """Take the pack that was requested first. Raises Qwen2VLError when workers are killed again and again."""
        while True:
            request, future = self.pending[0]
            try:
                pack = future.result() if future else self.reader.pack(request)
            except WorkerKilledError as error:
                self._replace_workers(request, error)
                continue
            self.pending.popleft()
            return pack

    def _read(self, request: PackRequest) -> LoadedPack:
        worker = self.free.get()
        try:
            return worker.read(request)
        finally:
            self.free.put(worker)

    def _replace_workers(self, request: PackRequest, error: Exception) -> None:
        """Start all workers again and repeat all requests.

        All of them, because one signal often kills several workers and must count as one restart.
        """
        self.restarts += 1
        if self.restarts > RESTARTS:
            raise Qwen2VLError(
                f"worker processes were killed {self.restarts} times, the last time at step {request.step + 1}: "
                "look for a lack of memory, or use fewer with --num-workers; the same command resumes from the last save"
            ) from error
        self._stop()
        self._start()
        requests = [request for request, _ in self.pending]
        self.pending.clear()
        for each in requests:
            self.submit(each)

    def _start(self) -> None:
        self.workers = [Worker(self.reader) for _ in range(self.count)]
        self.free: SimpleQueue[Worker] = SimpleQueue()
        for worker in self.workers:
            self.free.put(worker)
        self.threads = ThreadPoolExecutor(max(1, self.count))

    def _stop(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            worker.process.kill()
        self.threads.shutdown()
        for worker in self.workers:
            worker.process.join()
            worker.connection.close()


class WorkerKilledError(Exception):
    """A worker process ended before it had answered."""


class Worker:
    """One worker process and the trainer's end of its pipe."""

    def __init__(self, reader: SampleReader) -> None:
        # A fresh interpreter: a fork would copy locks that the trainer's threads hold at that moment.
        context = get_context("forkserver")
        context.set_forkserver_preload(["qwen2vl.data.workers"])
        self.connection, end_of_worker = context.Pipe()
        self.process = context.Process(target=serve, args=(end_of_worker, reader), daemon=True)
        self.process.start()
        end_of_worker.close()  # an end that stayed open here would hide the death of the worker

    def read(self, request: PackRequest) -> LoadedPack:
        """The requested pack. Raises WorkerKilledError, and whatever the reader raised in the worker."""
        try:
            self.connection.send(request)
            answer = self.connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerKilledError from error
        if isinstance(answer, Exception):
            raise answer
        return LoadedPack(
            inputs=ModelInputs(**{name: torch.from_numpy(array) for name, array in answer.arrays.items()}),
            documents=answer.documents,
            failures=answer.failures,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackArrays:
    """A pack as it travels through a pipe: as arrays, since tensors would use shared memory that dies with the worker."""

    arrays: dict[str, np.ndarray]
    documents: tuple[Document, ...]
    failures: tuple[Failure, ...]


def serve(connection: "Connection[Any, Any]", reader: SampleReader) -> None:
    """Answer requests in a worker process, on one thread, until the trainer ends.

    Ctrl-C reaches all processes of a terminal; workers ignore it, because the trainer needs them until it has saved.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        while True:
            connection.send(answer_to(connection.recv(), reader))
    except (EOFError, OSError):  # the trainer closed its end, or was killed
        return


def answer_to(request: PackRequest, reader: SampleReader) -> PackArrays | Exception:
    """The requested pack, or the error that its reader raised, with the traceback as a note."""
    try:
        pack = reader.pack(request)
    except Exception as error:
        error.add_note(f"in a worker process:\n{''.join(traceback.format_exception(error))}")
        return error
    arrays = {name: getattr(pack.inputs, name).numpy() for name in ModelInputs.__slots__}
    return PackArrays(arrays=arrays, documents=pack.documents, failures=pack.failures)
