"""What a few steps spend their time on: RUN/profile, a trace for chrome://tracing or Perfetto and a table of operators."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from qwen2vl.common.files import write_atomically

SKIPPED = 3
"""Steps of a start before the trace: the first ones allocate, compile and fill the queues."""
ROWS = 40
"""Of the table."""

log = logging.getLogger(__name__)


@contextmanager
def traced(folder: Path, steps: int) -> Iterator[Callable[[], None]]:
    """Gives what is to be called after every step. Traces `steps` of them, after the first three; 0 traces nothing.

    FOLDER/trace.json and FOLDER/operators.txt are written after the last of them, or with fewer when the context ends.
    """
    if not steps:
        yield lambda: None
        return
    written: list[Path] = []

    def write(profiler: profile) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(folder / "trace.json"))
        key = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        write_atomically(folder / "operators.txt", profiler.key_averages().table(sort_by=key, row_limit=ROWS) + "\n")
        written.append(folder)

    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
    plan = schedule(wait=SKIPPED - 1, warmup=1, active=steps, repeat=1)
    with profile(activities=activities, schedule=plan, on_trace_ready=write, acc_events=True) as profiler:
        yield profiler.step
    if not written:
        log.warning("nothing was traced: the training stopped within its first %d steps", SKIPPED)
