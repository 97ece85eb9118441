"""Checkpoints of a run: written in the background by torch.distributed.checkpoint (DCP), completely or not at all.

RUN/checkpoints/step-N/    tensors in DCP's files, and run.json: facts of the run and the sizes of the files
RUN/checkpoints/best.json  the step with the lowest held-out loss; its checkpoint is kept beside the newest ones

A folder appears by one rename after everything is on the disk. Sizes are compared when it is read: a checkpoint that was
damaged later is not used, and the one before it is. What a checkpoint holds: `run_state`.
"""

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load as load_distributed
from torch.distributed.checkpoint.state_dict_saver import save as save_distributed

from qwen2vl.common.errors import CheckpointError
from qwen2vl.common.files import unwritable, write_atomically

Tensors = dict[str, dict[str, Any]]
"""Groups of named tensors: "weights", "moments", ..."""


class Checkpoints:
    """The checkpoints of one run. A thread writes them, one at a time."""

    def __init__(self, folder: Path, keep: int) -> None:
        """keep: number of the newest checkpoints that are not deleted."""
        self.folder, self.keep = folder, keep
        self.folder.mkdir(parents=True, exist_ok=True)
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.pending: Future[None] | None = None

    def save(self, step: int, tensors: Tensors, facts: Mapping[str, Any]) -> None:
        """Copy the tensors, and write the copy while the training continues. facts: for JSON. Raises what `wait` raises."""
        self.wait()
        # Without a copy, tensors on the CPU would change while they are written: the next step updates them in place.
        copy = {group: _copied(members) for group, members in tensors.items()}
        self.pending = self.writer.submit(self._write, step, copy, dict(facts))

    def wait(self) -> None:
        """Block until the last save is on the disk. Raises Qwen2VLError when it could not be written."""
        if self.pending is not None:
            pending, self.pending = self.pending, None
            pending.result()

    def _write(self, step: int, tensors: Tensors, facts: dict[str, Any]) -> None:
        final, temporary = self._folder_of(step), self.folder / f".step-{step}.{os.getpid()}"
        try:
            for leftover in self.folder.glob(".step-*"):
                shutil.rmtree(leftover)
            with _without_group():
                save_distributed(tensors, storage_writer=FileSystemWriter(temporary), no_dist=True)
            sizes = {file.name: file.stat().st_size for file in temporary.iterdir()}
            write_atomically(temporary / "run.json", json.dumps(facts | {"step": step, "files": sizes}))
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            for old in self.steps()[: -self.keep]:
                if old != self.best_step():
                    shutil.rmtree(self._folder_of(old))
        except (OSError, CheckpointException) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            # DCP wraps the error of the disk together with the failures of other processes.
            causes = [error] if isinstance(error, OSError) else [failure[0] for failure in error.failures.values()]
            cause = next((each for each in causes if isinstance(each, OSError)), OSError(0, "the writer failed"))
            raise unwritable(final, cause) from error

    def restore(self, step: int, tensors: Tensors) -> None:
        """Read tensors in place. Raises CheckpointError when the checkpoint is damaged or holds other tensors."""
        folder = self._folder_of(step)
        try:
            with _without_group():
                load_distributed(tensors, storage_reader=FileSystemReader(folder), no_dist=True)
        # A damaged file raises errors of any type; CheckpointException is derived from BaseException, not from Exception.
        except (Exception, CheckpointException) as error:
            raise CheckpointError(
                f'"{folder}" does not fit the model or is damaged: remove it, and the same command resumes from the one before'
            ) from error

    def steps(self) -> list[int]:
        """Steps that have a whole checkpoint, ascending."""
        return [step for step in self._all_steps() if self._facts_if_whole(step) is not None]

    def damaged(self) -> list[Path]:
        """Folders of checkpoints that are not whole."""
        return [self._folder_of(step) for step in self._all_steps() if self._facts_if_whole(step) is None]

    def facts(self, step: int) -> dict[str, Any]:
        """Facts that were saved with a step. Raises CheckpointError when the checkpoint is not whole."""
        facts = self._facts_if_whole(step)
        if facts is None:
            raise CheckpointError(f'"{self._folder_of(step)}" is not whole: remove it')
        return facts

    def _facts_if_whole(self, step: int) -> dict[str, Any] | None:
        folder = self._folder_of(step)
        try:
            facts = json.loads((folder / "run.json").read_text())
            is_whole = all((folder / name).stat().st_size == size for name, size in facts["files"].items())
        except (OSError, ValueError, KeyError):
            return None
        return facts if is_whole else None

    def _all_steps(self) -> list[int]:
        numbers = (path.name.removeprefix("step-") for path in self.folder.glob("step-*"))
        return sorted(int(number) for number in numbers if number.isdigit())

    def _folder_of(self, step: int) -> Path:
        return self.folder / f"step-{step}"

    def note_best(self, step: int, loss: float) -> bool:
        """Whether this held-out loss is the lowest so far. If it is, the checkpoint of the step will be kept."""
        lowest = self._best().get("loss")
        if lowest is not None and loss >= lowest:
            return False
        write_atomically(self.folder / "best.json", json.dumps({"step": step, "loss": loss}))
        return True

    def best_step(self) -> int | None:
        """Step with the lowest held-out loss so far."""
        return self._best().get("step")

    def _best(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "best.json").read_text())
        except (OSError, ValueError):
            return {}

    def forget_best_after(self, step: int) -> None:
        """Forget the best step when it lies after this one: a resumed run will do that step again."""
        if (self.best_step() or 0) > step:
            (self.folder / "best.json").unlink()


@contextmanager
def _without_group() -> Iterator[None]:
    """Silence the library's warning that it runs without a group: replicas hold the same tensors, so one of them writes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _copied(members: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else _copied(value)
        for name, value in members.items()
    }
