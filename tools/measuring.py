"""Clocks, memory, and physical limits of this machine. Nothing here knows a model."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

MEGABYTE = 1_000_000


def stopwatch(work: Callable[[], object], device: torch.device | None = None) -> float:
    """Seconds that `work` takes; on CUDA between two events, from the first launch until the queue is empty."""
    if device is not None and device.type == "cuda":
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize(device)
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize(device)
        return begin.elapsed_time(end) / 1000
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def interleave(
    paths: Mapping[str, Callable[[], object]], repeats: int, device: torch.device | None = None
) -> dict[str, list[float]]:
    """Seconds of every path, `repeats` times each, in turns: A B C, C B A, A B C, ...

    Slow changes (heat, other work on the machine) then affect all paths alike. The caller has warmed them up.
    """
    times: dict[str, list[float]] = {name: [] for name in paths}
    for turn in range(repeats):
        for name in list(paths)[:: 1 if turn % 2 == 0 else -1]:
            times[name].append(stopwatch(paths[name], device))
    return times


def gemm_rate(dtype: torch.dtype, size: int, device: torch.device | None = None, seconds: float = 0.5) -> float:
    """Floating-point operations per second of the fastest of three matrix products (multiply and add count as two).

    The shapes are those of a transformer: rows times a weight that is stored transposed.
    """
    best = 0.0
    for rows, inner, outer in ((size, size, size), (4 * size, size, 4 * size), (4 * size, 4 * size, size)):
        x, weight = (torch.randn(shape, device=device).to(dtype) for shape in ((rows, inner), (outer, inner)))

        def product(x: Tensor = x, weight: Tensor = weight) -> Tensor:
            return F.linear(x, weight)

        best = max(best, 2 * rows * inner * outer / fastest(product, seconds, device))
    return best


def bandwidth(num_bytes: int, device: torch.device | None = None, seconds: float = 0.5) -> float:
    """Bytes per second that are read from memory: the fastest of a sum and a matrix-vector product in bf16 and fp32."""
    best = 0.0
    for dtype in (torch.float32, torch.bfloat16):
        table = torch.full((num_bytes // dtype.itemsize // 4096, 4096), 0.5, dtype=dtype, device=device)
        vector = torch.ones(1, 4096, dtype=dtype, device=device)
        reads: tuple[Callable[[], Tensor], ...] = (table.sum, lambda t=table, v=vector: F.linear(v, t))
        best = max(best, *(table.nbytes / fastest(read, seconds, device) for read in reads))
    return best


@torch.inference_mode()
def fastest(work: Callable[[], object], seconds: float, device: torch.device | None = None) -> float:
    """Seconds of the shortest run of `work`, of all runs that fit in about `seconds`, at least three."""
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        times.append(stopwatch(work, device))
    return min(times)


def costliest(work: Callable[[], object], rows: int = 10) -> list[dict[str, float | str]]:
    """The operators in which one run spends most time: name, share of the time, number of calls."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        work()
    found = sorted(profiler.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in found)
    return [
        {"operator": event.key, "share": round(event.self_cpu_time_total / total, 4), "calls": event.count}
        for event in found[:rows]
    ]


def resident_bytes() -> int:
    """Memory of this process that is in RAM now, in bytes."""
    return _status("VmRSS")


def peak_resident_bytes() -> int:
    """Largest memory of this process in RAM since it started or since `reset_peak`, in bytes.

    Not from getrusage: its figure survives exec, so a child of a large process starts with the peak of its parent.
    """
    return _status("VmHWM")


def reset_peak() -> bool:
    """Set the peak back to the present memory; False if the system does not allow it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def growth(work: Callable[[], object]) -> int:
    """Largest number of bytes by which memory rises above the present while `work` runs."""
    before = resident_bytes()
    reset_peak()
    work()
    return max(0, peak_resident_bytes() - before)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
