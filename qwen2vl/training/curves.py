"""The curves of a run as an image: losses, rates and gradients, speed, held-out answers.

A panel is left out when the run has not logged what it shows. Metrics of steps are averaged: one step holds too few answers.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from qwen2vl.common.errors import ConfigError
from qwen2vl.common.files import unwritable
from qwen2vl.training.run_directory import Line

MEAN_STEPS = 100
"""Largest number of steps that are averaged; a run of fewer than 1,000 steps averages a tenth of its steps."""
MOST_GROUPS = 10
"""Largest number of sources or kinds in one panel."""
MOST_TASKS = 20
"""Largest number of tasks that are lines, because there are 20 colours; more tasks become rows."""

Series = tuple[list[int], list[float]]
"""Steps and values."""


def draw_curves(lines: Sequence[Line], path: Path) -> None:
    """Write the curves of a run as a PNG.

    Raises ConfigError without matplotlib, or when nothing was logged yet, Qwen2VLError when it cannot be written.
    """
    figure = Curves(lines).figure()
    try:
        figure.savefig(path, dpi=110, format="png")
    except OSError as error:
        raise unwritable(path, error) from error


class Curves:
    """The metrics of a run, and the panels that show them."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines

    def figure(self) -> Any:
        """A matplotlib figure with two panels in a row. Raises ConfigError as `draw_curves` does."""
        try:
            from matplotlib.figure import Figure  # an optional package
        except ImportError as error:
            raise ConfigError('drawing curves needs matplotlib: pip install "qwen2vl[plot]"') from error
        if not any("loss" in line for line in self.lines):
            raise ConfigError("the run has logged no step yet: train first")
        by_metric = {
            "loss": self.draw_losses,
            "loss_by_source": self.draw_groups,
            "gradient_norm_by_part": self.draw_rates,
            "supervised_tokens_per_s": self.draw_speed,
            "exact": self.draw_exact,
        }
        panels = [draw for metric, draw in by_metric.items() if any(metric in line for line in self.lines)]
        rows = math.ceil(len(panels) / 2)
        figure = Figure(figsize=(12, 4 * rows), layout="constrained")
        for number, draw in enumerate(panels, 1):
            axes = figure.add_subplot(rows, 2, number)
            axes.set(xlabel="step", xlim=(0, max(line["step"] for line in self.lines) + 1))
            axes.grid(alpha=0.3)
            draw(axes)
            self.mark_stages(axes, with_names=number == 1)
        return figure

    def draw_losses(self, axes: Any) -> None:
        """Training loss and held-out loss."""
        axes.set(yscale="log", ylabel="loss per supervised token")
        losses, held_out = self.series("loss"), self.series("validation_loss")
        window = mean_window(len(losses[0]))
        draw_line(axes, running_mean(losses), label="training" if window == 1 else f"training, mean of {window} steps")
        if held_out[0]:
            draw_line(axes, held_out, label="held out", marker="o", markersize=3)
        show_legend(axes)

    def draw_groups(self, axes: Any) -> None:
        """Loss by source; by kind where there are too many sources and more than one kind."""
        groups, name = self.members("loss_by_source"), "source"
        kinds = self.members("loss_by_kind")
        if len(groups) > MOST_GROUPS and len(kinds) > 1:
            groups, name = kinds, "kind"
        axes.set(yscale="log", ylabel=f"loss by {name}")
        for group in list(groups)[:MOST_GROUPS]:
            draw_line(axes, running_mean(groups[group]), label=group)
        show_legend(axes)

    def draw_rates(self, axes: Any) -> None:
        """Learning rate of each part as a line, and the norm of its gradients dotted in the same colour."""
        axes.set(yscale="log", ylabel="norm of gradients before clipping (dotted)")
        right = axes.twinx()
        right.set(ylabel="learning rate")
        norms, rates = self.members("gradient_norm_by_part"), self.members("learning_rate")
        for number, part in enumerate(sorted(norms.keys() | rates.keys())):
            # Equal rates hide each other unless their lines differ in width.
            colour, width = f"C{number}", max(1, 4 - 1.5 * number)
            draw_line(axes, running_mean(norms.get(part, ([], []))), color=colour, linestyle=":")
            draw_line(right, rates.get(part, ([], [])), label=part, color=colour, linewidth=width)
        right.set_ylim(bottom=0)
        show_legend(right)

    def draw_speed(self, axes: Any) -> None:
        """Tokens per second, and shares: time spent waiting for data, MFU, how full the packs were."""
        axes.set(ylabel="supervised tokens a second")
        draw_line(axes, running_mean(self.series("supervised_tokens_per_s")), label="tokens a second", color="C0")
        axes.set_ylim(bottom=0)
        right = axes.twinx()
        right.set(ylabel="share", ylim=(0, 1))
        timed = [line for line in self.lines if "step_s" in line]
        waits = Curves([{"step": line["step"], "wait": line["data_wait_s"] / line["step_s"]} for line in timed])
        shares = {
            "waiting for data": waits.series("wait"),
            "MFU with tower": self.series("mfu_with_tower"),
            "packs filled": self.series("fill_tokens"),
        }
        for number, (label, series) in enumerate(shares.items(), 1):
            draw_line(right, running_mean(series), label=label, color=f"C{number}")
        show_legend(axes, right)

    def draw_exact(self, axes: Any) -> None:
        """Share of exact answers, a line for each task; with many tasks a row for each."""
        tasks = self.members("exact")
        if len(tasks) > MOST_TASKS:
            draw_rows(axes, tasks)
            return
        from matplotlib import colormaps  # an optional package

        axes.set(ylabel="answers exactly right, held out", ylim=(0, 1))
        # The ten default colours would repeat before the tasks end.
        axes.set_prop_cycle(color=[colormaps["tab20"](number) for number in range(MOST_TASKS)])
        for task, series in tasks.items():
            draw_line(axes, series, label=task, marker=".")
        show_legend(axes)

    def mark_stages(self, axes: Any, *, with_names: bool) -> None:
        """Draw a dashed line where a new stage begins."""
        steps = [line for line in self.lines if "stage" in line]
        borders = [new for old, new in pairwise(steps) if old["stage"] != new["stage"]]
        for line in borders:
            axes.axvline(line["step"], color="grey", linestyle="--", linewidth=0.8)
        for line in [*steps[:1], *borders] if with_names and borders else []:
            style = {"rotation": 90, "color": "grey", "fontsize": 7, "va": "bottom"}
            position, offset = (line["step"], 0), (3, 4)
            axes.annotate(
                line["stage"], position, offset, ("data", "axes fraction"), textcoords="offset points", **style
            )

    def series(self, metric: str) -> Series:
        """A metric at the steps where it is a finite number."""
        lines = [line for line in self.lines if is_finite(line.get(metric))]
        return [line["step"] for line in lines], [line[metric] for line in lines]

    def members(self, metric: str) -> dict[str, Series]:
        """Each member of a nested metric at the steps where it is a finite number; the member with the most steps first."""
        found: dict[str, Series] = {}
        for line in self.lines:
            nested = line.get(metric)
            for member, value in nested.items() if isinstance(nested, Mapping) else ():
                if is_finite(value):
                    steps, values = found.setdefault(member, ([], []))
                    steps.append(line["step"])
                    values.append(value)
        return dict(sorted(found.items(), key=lambda entry: -len(entry[1][0])))


def draw_rows(axes: Any, tasks: Mapping[str, Series]) -> None:
    """Draw each task as a row from white (0) to black (1), with its last value beside its name.

    A value fills the row from the step of the value before it to its own step.
    """
    for row, (steps, values) in enumerate(tasks.values()):
        axes.pcolormesh([0, *steps], [row, row + 1], [values], cmap="Greys", vmin=0, vmax=1)
    names = [f"{task} {values[-1]:.0%}" for task, (_, values) in tasks.items()]
    axes.set_yticks([row + 0.5 for row in range(len(names))], names, fontsize=5)
    axes.set(ylim=(len(names), 0), title="answers exactly right, held out")
    axes.grid(visible=False)


def draw_line(axes: Any, series: Series, **style: Any) -> None:
    """Draw a line, with a marker at each value when there are few: a single value would not be visible otherwise."""
    marker = {"marker": "."} if len(series[0]) < 20 else {}
    axes.plot(*series, **({"linewidth": 1.2} | marker | style))


def show_legend(*axes: Any) -> None:
    """Show one legend above a panel, for all axes that share it."""
    found = [each.get_legend_handles_labels() for each in axes]
    handles, labels = ([entry for pair in found for entry in pair[place]] for place in (0, 1))
    if handles:
        axes[-1].legend(handles, labels, fontsize=7, ncol=4, loc="lower center", bbox_to_anchor=(0.5, 1))


def is_finite(value: Any) -> bool:
    """Whether a metric is a number other than NaN and infinity."""
    return isinstance(value, int | float) and math.isfinite(value)


def running_mean(series: Series) -> Series:
    """Means of overlapping windows, each at its last step; the last window ends at the last step."""
    steps, values = series
    window = mean_window(len(values))
    ends = range(len(values), window - 1, -max(1, window // 4))[::-1]
    return [steps[end - 1] for end in ends], [sum(values[end - window : end]) / window for end in ends]


def mean_window(num_values: int) -> int:
    """Number of values that are averaged."""
    return max(1, min(MEAN_STEPS, num_values // 10))
