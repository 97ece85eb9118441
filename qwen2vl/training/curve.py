"""The curves of a run as a picture: losses, learning rate, and held-out answers that are exactly right."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qwen2vl.common.errors import ConfigError

WINDOW = 100
"""Steps over which the training loss is averaged; single steps hold too few answers to be read."""


def draw_curves(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Write a PNG of the metrics of a run. Raises ConfigError without matplotlib, or when nothing was logged yet."""
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError('drawing curves needs matplotlib: pip install "qwen2vl[plot]"') from error
    steps = [line for line in lines if "loss" in line]
    checks = [line for line in lines if "exact" in line]
    if not steps:
        raise ConfigError("the run has logged no step yet: train first")
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    at, smooth = running_mean([line["step"] for line in steps], [line["loss"] for line in steps])
    left.plot(at, smooth, label=f"training, mean of {WINDOW} steps")
    if checks:
        left.plot([c["step"] for c in checks], [c["validation_loss"] for c in checks], "o-", ms=3, label="held out")
        shades = colormaps["tab20"]  # the usual ten colours come round again before the tasks end
        for number, task in enumerate(checks[-1]["exact"]):
            shares = [c["exact"].get(task, 0) for c in checks]
            right.plot([c["step"] for c in checks], shares, label=task, lw=1.2, color=shades(number))
        right.legend(fontsize=7, ncol=2, loc="upper left")
    left.set(yscale="log", xlabel="step", ylabel="loss per supervised token")
    right.set(xlabel="step", ylabel="answers exactly right, held out", ylim=(0, 1))
    left.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def running_mean(steps: Sequence[int], values: Sequence[float]) -> tuple[list[int], list[float]]:
    """Means of consecutive windows, each at its last step."""
    ends = range(min(WINDOW, len(values)), len(values) + 1, max(1, min(WINDOW, len(values)) // 4))
    return [steps[end - 1] for end in ends], [
        sum(values[max(0, end - WINDOW) : end]) / min(WINDOW, end) for end in ends
    ]
