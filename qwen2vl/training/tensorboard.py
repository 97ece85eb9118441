"""The metrics of a run as TensorBoard reads them: RUN/tensorboard, scalars named as in metrics.jsonl, nested as name/sub."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from qwen2vl.common.errors import ConfigError
from qwen2vl.common.files import unwritable


class Board:
    """Writes lines of metrics; a context that closes its file. Raises ConfigError without the package."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """first_step: the next one to be logged. What an earlier start logged from there on is taken back."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                'tensorboard is on, but its package is missing: pip install "qwen2vl[train]", or leave it off'
            ) from error
        self.folder = folder
        try:
            self.writer = SummaryWriter(str(folder), purge_step=first_step)
        except OSError as error:
            raise unwritable(folder, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def log(self, line: Mapping[str, Any]) -> None:
        """Every number of a line at its step, on the disk when this returns: a resumed run logs only what is after its save.

        Raises Qwen2VLError when the disk does not take it.
        """
        try:
            for name, value in scalars_of(line):
                self.writer.add_scalar(name, value, line["step"])
            self.writer.flush()
        except OSError as error:
            raise unwritable(self.folder, error) from error


def scalars_of(line: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers by name, those of nested objects as name/sub; the step itself and all that is no number are left out."""
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from scalars_of(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name not in ("step", "steps"):
            yield prefix + name, value
