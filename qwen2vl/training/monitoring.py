"""Records of a run in progress: metrics.jsonl, TensorBoard scalars (RUN/tensorboard), a trace of some steps (RUN/profile)."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from qwen2vl.common.errors import ConfigError
from qwen2vl.common.files import unwritable, write_atomically
from qwen2vl.training.run_directory import Line, RunDirectory
from qwen2vl.training.train_config import TrainConfig

UNTRACED_STEPS = 3
"""Steps before the trace, counted from the start of the command: the first ones allocate, compile and fill the queues."""

log = logging.getLogger(__name__)


class Monitor:
    """Writes metrics, and while it is open also TensorBoard scalars and a trace, if the configuration asks for them."""

    def __init__(self, run: RunDirectory, config: TrainConfig) -> None:
        self.run, self.config = run, config
        self.board: Any = None
        self.profiler: profile | None = None

    @contextmanager
    def open(self, next_step: int) -> Iterator[None]:
        """Open what is configured. next_step: the first global step to be logged.

        Raises ConfigError when the package of TensorBoard is missing, Qwen2VLError when a file cannot be written.
        """
        with ExitStack() as stack:
            if self.config.tensorboard:
                self.board = stack.enter_context(open_board(self.run.path / "tensorboard", next_step))
            if self.config.profile_steps:
                self.profiler = stack.enter_context(traced(self.run.path / "profile", self.config.profile_steps))
            yield

    def log(self, line: Line) -> None:
        """Log metrics of a step. They are on the disk when this returns. Raises Qwen2VLError when that fails."""
        self.run.log(line)
        if self.board is None:
            return
        try:
            for name, value in scalars_of(line):
                self.board.add_scalar(name, value, line["step"])
            # A resumed run logs only what follows its checkpoint, so nothing may be lost before it.
            self.board.flush()
        except OSError as error:
            raise unwritable(self.run.path / "tensorboard", error) from error

    def end_step(self) -> None:
        """Call after every step."""
        if self.profiler is not None:
            self.profiler.step()


@contextmanager
def open_board(folder: Path, next_step: int) -> Iterator[Any]:
    """Yield a SummaryWriter. TensorBoard discards what was logged earlier for `next_step` and later. Raises as `Monitor.open`."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # an optional package
    except ImportError as error:
        raise ConfigError(
            'tensorboard is on, but its package is missing: pip install "qwen2vl[train]", or leave it off'
        ) from error
    try:
        writer = SummaryWriter(str(folder), purge_step=next_step)
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield writer
    finally:
        writer.close()


def scalars_of(line: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers of a line by name, nested ones as name/sub; the step itself and everything that is not a number are left out."""
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from scalars_of(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name not in ("step", "steps"):
            yield prefix + name, value


@contextmanager
def traced(folder: Path, steps: int) -> Iterator[profile]:
    """Yield a profiler whose `step` is to be called after every step; it traces `steps` of them after the first three.

    Writes FOLDER/trace.json (for chrome://tracing or Perfetto) and FOLDER/operators.txt after the last traced step, or with
    fewer steps when the context ends.
    """
    written: list[Path] = []

    def write(profiler: profile) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(folder / "trace.json"))
        key = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        write_atomically(folder / "operators.txt", profiler.key_averages().table(sort_by=key, row_limit=40) + "\n")
        written.append(folder)

    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
    steps_to_trace = schedule(wait=UNTRACED_STEPS - 1, warmup=1, active=steps, repeat=1)
    with profile(activities=activities, schedule=steps_to_trace, on_trace_ready=write, acc_events=True) as profiler:
        yield profiler
    if not written:
        log.warning("nothing was traced: the training stopped within its first %d steps", UNTRACED_STEPS)
