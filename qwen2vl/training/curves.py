"""The curves of a run as an image: losses, what they are made of, rates and gradients, speed, held-out answers.

Panels whose figures a run has not logged are left out. Figures of steps are averaged: one step holds too few answers.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from qwen2vl.common.errors import ConfigError
from qwen2vl.common.files import unwritable

WINDOW = 100
"""Most steps that are averaged; of a short run a tenth."""
MOST_GROUPS = 10
"""Sources or kinds in one panel."""
MOST_TASKS = 20
"""As lines, which is how many colours there are; more become rows."""

Line = Mapping[str, Any]
Series = tuple[list[int], list[float]]
"""Steps and values."""
NOTHING: Series = ([], [])


def draw_curves(lines: Sequence[Line], path: Path) -> None:
    """Write a PNG of the metrics of a run.

    Raises ConfigError without matplotlib, or when nothing was logged yet, Qwen2VLError when it cannot be written.
    """
    figure = figure_of(lines)
    try:
        figure.savefig(path, dpi=110, format="png")
    except OSError as error:
        raise unwritable(path, error) from error


def figure_of(lines: Sequence[Line]) -> Any:
    """The same as a matplotlib figure."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError('drawing curves needs matplotlib: pip install "qwen2vl[plot]"') from error
    if not any("loss" in line for line in lines):
        raise ConfigError("the run has logged no step yet: train first")
    panels = [draw for name, draw in PANELS if any(name in line for line in lines)]
    rows = math.ceil(len(panels) / 2)
    figure = Figure(figsize=(12, 4 * rows), layout="constrained")
    for number, draw in enumerate(panels, 1):
        axes = figure.add_subplot(rows, 2, number)
        axes.set(xlabel="step", xlim=(0, max(line["step"] for line in lines) + 1))
        axes.grid(alpha=0.3)
        draw(axes, lines)
        mark_stages(axes, lines, with_names=number == 1)
    return figure


def draw_losses(axes: Any, lines: Sequence[Line]) -> None:
    axes.set(yscale="log", ylabel="loss per supervised token")
    losses, held_out = series_of(lines, "loss"), series_of(lines, "validation_loss")
    window = window_of(len(losses[0]))
    draw_line(axes, running_mean(losses), label="training" if window == 1 else f"training, mean of {window} steps")
    if held_out[0]:
        draw_line(axes, held_out, label="held out", marker="o", markersize=3)
    show_legend(axes)


def draw_groups(axes: Any, lines: Sequence[Line]) -> None:
    """By source; by kind where the sources are too many and the kinds are some."""
    groups, name = grouped(lines, "loss_by_source"), "source"
    kinds = grouped(lines, "loss_by_kind")
    if len(groups) > MOST_GROUPS and len(kinds) > 1:
        groups, name = kinds, "kind"
    axes.set(yscale="log", ylabel=f"loss by {name}")
    for group in list(groups)[:MOST_GROUPS]:
        draw_line(axes, running_mean(groups[group]), label=group)
    show_legend(axes)


def draw_rates(axes: Any, lines: Sequence[Line]) -> None:
    """One colour a part: its rate in full, the norm of its gradients dotted."""
    axes.set(yscale="log", ylabel="norm of gradients before clipping (dotted)")
    right = axes.twinx()
    right.set(ylabel="learning rate")
    norms, rates = grouped(lines, "gradient_norm_by_part"), grouped(lines, "learning_rate")
    for number, part in enumerate(sorted(norms.keys() | rates.keys())):
        colour, width = f"C{number}", max(1, 4 - 1.5 * number)  # equal rates lie over one another
        draw_line(axes, running_mean(norms.get(part, NOTHING)), color=colour, linestyle=":")
        draw_line(right, rates.get(part, NOTHING), label=part, color=colour, linewidth=width)
    right.set_ylim(bottom=0)
    show_legend(right)


def draw_speed(axes: Any, lines: Sequence[Line]) -> None:
    axes.set(ylabel="supervised tokens a second")
    draw_line(axes, running_mean(series_of(lines, "supervised_tokens_per_s")), label="tokens a second", color="C0")
    axes.set_ylim(bottom=0)
    right = axes.twinx()
    right.set(ylabel="share", ylim=(0, 1))
    waits = [{"step": line["step"], "wait": line["data_wait_s"] / line["step_s"]} for line in lines if "step_s" in line]
    shares = {
        "waiting for data": series_of(waits, "wait"),
        "MFU with tower": series_of(lines, "mfu_with_tower"),
        "packs filled": series_of(lines, "fill_tokens"),
    }
    for number, (label, series) in enumerate(shares.items(), 1):
        draw_line(right, running_mean(series), label=label, color=f"C{number}")
    show_legend(axes, right)


def draw_exact(axes: Any, lines: Sequence[Line]) -> None:
    """A line for every task; of many tasks a row each, from white to black."""
    tasks = grouped(lines, "exact")
    if len(tasks) > MOST_TASKS:
        draw_rows(axes, tasks)
        return
    axes.set(ylabel="answers exactly right, held out", ylim=(0, 1))
    axes.set_prop_cycle(color=_twenty_colours())
    for task, series in tasks.items():
        draw_line(axes, series, label=task, marker=".")
    show_legend(axes)


def draw_rows(axes: Any, tasks: Mapping[str, Series]) -> None:
    """Every value reaches back to the one before it; what a task ends with stands beside its name."""
    for row, (steps, values) in enumerate(tasks.values()):
        ends = [0, *steps]
        axes.pcolormesh(ends, [row, row + 1], [values], cmap="Greys", vmin=0, vmax=1)
    names = [f"{task} {values[-1]:.0%}" for task, (_, values) in tasks.items()]
    axes.set_yticks([row + 0.5 for row in range(len(names))], names, fontsize=5)
    axes.set(ylim=(len(names), 0), title="answers exactly right, held out")
    axes.grid(visible=False)


PANELS: tuple[tuple[str, Callable[[Any, Sequence[Line]], None]], ...] = (
    ("loss", draw_losses),
    ("loss_by_source", draw_groups),
    ("gradient_norm_by_part", draw_rates),
    ("supervised_tokens_per_s", draw_speed),
    ("exact", draw_exact),
)
"""Each with a figure that it cannot do without."""


def _twenty_colours() -> Any:
    from matplotlib import colormaps

    shades = colormaps["tab20"]  # the usual ten come round again before the tasks end
    return [shades(number) for number in range(20)]


def draw_line(axes: Any, series: Series, **style: Any) -> None:
    """A line; of few values also their points, as a single one would not be seen."""
    few = {"marker": "."} if len(series[0]) < 20 else {}
    axes.plot(*series, **({"linewidth": 1.2} | few | style))


def show_legend(*axes: Any) -> None:
    """One legend, above, for axes that share a panel."""
    parts = [each.get_legend_handles_labels() for each in axes]
    handles, labels = ([entry for part in parts for entry in part[place]] for place in (0, 1))
    if handles:
        axes[-1].legend(handles, labels, fontsize=7, ncol=4, loc="lower center", bbox_to_anchor=(0.5, 1))


def mark_stages(axes: Any, lines: Sequence[Line], *, with_names: bool) -> None:
    """A dashed line where a new stage begins."""
    steps = [line for line in lines if "stage" in line]
    borders = [new for old, new in pairwise(steps) if old["stage"] != new["stage"]]
    for line in borders:
        axes.axvline(line["step"], color="grey", linestyle="--", linewidth=0.8)
    for line in [*steps[:1], *borders] if with_names and borders else []:
        style = {"rotation": 90, "color": "grey", "fontsize": 7, "va": "bottom"}
        axes.annotate(
            line["stage"], (line["step"], 0), (3, 4), ("data", "axes fraction"), textcoords="offset points", **style
        )


def series_of(lines: Sequence[Line], name: str) -> Series:
    """A figure at the steps where it is a finite number."""
    return grouped([{"step": line["step"], "": {name: line.get(name)}} for line in lines], "").get(name, NOTHING)


def grouped(lines: Sequence[Line], name: str) -> dict[str, Series]:
    """Each member of a nested figure at the steps where it is a finite number; that with the most steps first."""
    found: dict[str, Series] = {}
    for line in lines:
        members = line.get(name)
        for member, value in members.items() if isinstance(members, Mapping) else ():
            if isinstance(value, int | float) and math.isfinite(value):
                steps, values = found.setdefault(member, ([], []))
                steps.append(line["step"])
                values.append(value)
    return dict(sorted(found.items(), key=lambda entry: -len(entry[1][0])))


def running_mean(series: Series) -> Series:
    """Means over windows that overlap, each at its last step; the last of them ends where the run stands."""
    steps, values = series
    window = window_of(len(values))
    ends = range(len(values), window - 1, -max(1, window // 4))[::-1]
    return [steps[end - 1] for end in ends], [sum(values[end - window : end]) / window for end in ends]


def window_of(count: int) -> int:
    """Values that are averaged, of so many."""
    return max(1, min(WINDOW, count // 10))
