"""Checkpoints of a run: written beside the training by torch.distributed.checkpoint, whole or not at all.

RUN/checkpoints/step-N/    tensors in DCP's files, and run.json: figures of the run and the sizes of the files
RUN/checkpoints/best.json  which step had the lowest held-out loss; it is kept beyond the newest ones

A folder appears by one rename after everything is on the disk. On the way back sizes are compared, and a checkpoint
that was damaged later is passed over for the one before it.
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

import torch
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
    """The checkpoints of one run. One is written at a time, in a thread."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self.folder.mkdir(parents=True, exist_ok=True)
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.pending: Future[None] | None = None

    def save(self, step: int, tensors: Tensors, facts: Mapping[str, Any]) -> None:
        """Copy the tensors and write the copy while the training goes on. Raises what `wait` raises."""
        self.wait()
        # A copy of our own: tensors on the CPU would change under the writer's hands at the next step.
        copy = {group: _copied(members) for group, members in tensors.items()}
        self.pending = self.writer.submit(self._write, step, copy, dict(facts))

    def wait(self) -> None:
        """Until the last save is on the disk. Raises Qwen2VLError when the disk did not take it."""
        if self.pending is not None:
            done, self.pending = self.pending, None
            done.result()

    def _write(self, step: int, tensors: Tensors, facts: dict[str, Any]) -> None:
        final, temporary = self.folder / f"step-{step}", self.folder / f".step-{step}.{os.getpid()}"
        try:
            for leftover in self.folder.glob(".step-*"):
                shutil.rmtree(leftover)
            with _one_process():
                save_distributed(tensors, storage_writer=FileSystemWriter(temporary), no_dist=True)
            sizes = {file.name: file.stat().st_size for file in temporary.iterdir()}
            write_atomically(temporary / "run.json", json.dumps(facts | {"step": step, "files": sizes}))
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            for old in self.steps()[: -self.keep]:
                if old != self.best_step():
                    shutil.rmtree(self.folder / f"step-{old}")
        except (OSError, CheckpointException) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise unwritable(final, _cause(error)) from error

    def steps(self) -> list[int]:
        """Steps with a whole checkpoint, rising."""
        numbers = (path.name.removeprefix("step-") for path in self.folder.glob("step-*"))
        return sorted(int(number) for number in numbers if number.isdigit() and self.facts(int(number)) is not None)

    def facts(self, step: int) -> dict[str, Any] | None:
        """Figures that were saved with a step; None when the checkpoint is not whole."""
        folder = self.folder / f"step-{step}"
        try:
            facts = json.loads((folder / "run.json").read_text())
            whole = all((folder / name).stat().st_size == size for name, size in facts["files"].items())
        except (OSError, ValueError, KeyError):
            return None
        return facts if whole else None

    def note_best(self, step: int, loss: float) -> bool:
        """Whether this held-out loss is the lowest so far; if so the checkpoint of this step is kept."""
        before = self._best().get("loss")
        if before is not None and loss >= before:
            return False
        write_atomically(self.folder / "best.json", json.dumps({"step": step, "loss": loss}))
        return True

    def best_step(self) -> int | None:
        return self._best().get("step")

    def _best(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "best.json").read_text())
        except (OSError, ValueError):
            return {}

    def forget_best_after(self, step: int) -> None:
        """A best step that a resumed run will take again is no longer known."""
        if (self.best_step() or 0) > step:
            (self.folder / "best.json").unlink()

    def restore(self, step: int, tensors: Tensors) -> None:
        """Read tensors in place. Raises CheckpointError when they are not those of the checkpoint."""
        folder = self.folder / f"step-{step}"
        try:
            with _one_process():
                load_distributed(tensors, storage_reader=FileSystemReader(folder), no_dist=True)
        except (Exception, CheckpointException) as error:  # its own is no Exception, and every other kind occurs too
            raise CheckpointError(
                f'"{folder}" does not fit the model or is damaged: remove it, and the same command goes on from the one before'
            ) from error

    def broken(self) -> list[Path]:
        """Folders of checkpoints that are not whole."""
        whole = self.steps()
        return [
            path for path in self.folder.glob("step-*") if path.name[5:].isdigit() and int(path.name[5:]) not in whole
        ]


def _cause(error: OSError | CheckpointException) -> OSError:
    """What the disk said; the library wraps it together with the failures of other processes."""
    if isinstance(error, OSError):
        return error
    inner = (failure[0] for failure in error.failures.values())
    return next((each for each in inner if isinstance(each, OSError)), OSError(0, "the writer failed"))


@contextmanager
def _one_process() -> Iterator[None]:
    """Replicas hold the same tensors, so one of them writes for all; the library warns that this might not be meant."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _copied(members: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else _copied(value)
        for name, value in members.items()
    }


def random_state() -> dict[str, Tensor]:
    """Of torch on this process."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
