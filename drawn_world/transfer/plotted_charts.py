"""Charts drawn by matplotlib: data and questions of `drawn_world.charts`, in matplotlib's own looks. Only for the exam.

matplotlib is the extra "plot" and heavy; it is imported when the first chart is drawn.
"""

from random import Random
from typing import Any

from PIL import Image

from drawn_world.charts.chart_data import COLOUR_NAMES, Chart, make_chart
from drawn_world.charts.chart_questions import ChartQuestions
from drawn_world.item import Item, image_item
from qwen2vl.common.errors import Qwen2VLError


def chart_value(rng: Random) -> Item:
    """Give the value of one category; the wording is of the test split.

    Raises Qwen2VLError when matplotlib or the word list is not installed.
    """
    chart, image = plot_chart(rng, make_chart(rng, "test", 0.0))
    questions = ChartQuestions(rng=rng, chart=chart, split="test", ease=0.0)
    question, answer, truth = questions.value(rng.randrange(len(chart.labels)))
    return image_item("transfer_chart", [image], question, answer, chart.complete(truth, chart.described()))


def plot_chart(rng: Random, chart: Chart) -> tuple[Chart, Image.Image]:
    """The chart, without its last categories if their labels have no room, and its image."""
    try:
        from matplotlib import rc_context  # heavy, an extra
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Qwen2VLError('drawing charts for the exam needs matplotlib: pip install "qwen2vl[plot]"') from error
    dpi, text_px = 100, rng.choice((8, 9, 10)) / 0.73  # capitals have 0.73 times the height of their font
    sides = (168, 196) if chart.kind == "pie" else (140, 168, 196)
    size, horizontal = (rng.choice(sides), rng.choice(sides)), chart.kind == "bar" and rng.random() < 0.35
    chart = _with_room(chart, size[0], text_px, horizontal)
    settings: Any = {
        "font.family": rng.choice(("DejaVu Sans", "DejaVu Sans", "DejaVu Serif", "STIXGeneral")),  # all in matplotlib
        "font.size": text_px * 72 / dpi,
        "axes.linewidth": 0.8,
        "axes.axisbelow": True,
        "figure.constrained_layout.w_pad": 0.03,
        "figure.constrained_layout.h_pad": 0.03,
        "figure.facecolor": rng.choice(("white", "white", "white", "#f4f4ef")),
    }
    with rc_context(settings):
        figure = Figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi, layout="constrained")
        canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
        if chart.kind == "pie":
            _draw_pie(rng, axes, chart)
        else:
            _draw_axes(rng, axes, chart, horizontal)
        canvas.draw()
        image = Image.frombuffer("RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba())).convert("RGB")
    return chart, image


def _with_room(chart: Chart, width: int, text_px: float, horizontal: bool) -> Chart:
    """The chart with as many categories as have room for their labels side by side."""
    across = max(map(len, chart.labels)) * text_px * 0.64 + 6
    while len(chart.labels) > 2 and chart.kind != "pie" and not horizontal and len(chart.labels) * across > width - 36:
        chart = chart.without_last()
    return chart


def _colours(rng: Random, chart: Chart) -> list[Any]:
    """One colour per category; bars and slices named after colours have these colours."""
    from matplotlib import color_sequences  # heavy, an extra

    if set(chart.labels) <= set(COLOUR_NAMES) and chart.kind != "line":
        return ["gold" if label == "yellow" else f"tab:{label}" for label in chart.labels]
    cycle, count = color_sequences[rng.choice(("tab10", "Set2", "Dark2"))], len(chart.labels)
    several = chart.kind == "pie" or (chart.kind == "bar" and rng.random() < 0.3)
    return cycle[:count] if several else [rng.choice(cycle)] * count


def _draw_axes(rng: Random, axes: Any, chart: Chart, horizontal: bool) -> None:
    """Bars or a line, with values if they are written."""
    colours = _colours(rng, chart)
    width = rng.uniform(0.5, 0.85)
    if chart.kind == "line":
        axes.plot(chart.labels, chart.values, color=colours[0], marker=rng.choice("osD^"), markersize=4, linewidth=1.2)
    elif horizontal:
        bars = axes.barh(chart.labels, chart.values, color=colours, height=width)
        axes.invert_yaxis()
    else:
        bars = axes.bar(chart.labels, chart.values, color=colours, width=width)
    if chart.written and chart.kind == "bar":
        axes.bar_label(bars, padding=1)
    elif chart.written:
        for place, value in enumerate(chart.values):
            axes.annotate(str(value), (place, value), (0, 3), textcoords="offset points", ha="center")
    _draw_value_axis(rng, axes, chart, horizontal)


def _draw_value_axis(rng: Random, axes: Any, chart: Chart, horizontal: bool) -> None:
    """An axis from zero to the end of the chart's axis or a little above the largest value, with whole numbers at the ticks."""
    end = chart.top if rng.random() < 0.6 else max(chart.values) * 1.08
    (axes.set_xlim if horizontal else axes.set_ylim)(0, end * 1.18 if chart.written else end)
    axis = axes.xaxis if horizontal else axes.yaxis
    axis.get_major_locator().set_params(integer=True, min_n_ticks=4)
    grid = rng.choice(("none", "y", "both"))
    if grid == "both":
        axes.grid(True, color="0.85", linewidth=0.6)
    elif grid == "y":
        axis.grid(True, color="0.8", linewidth=0.6, linestyle=rng.choice(("-", ":", "--")))
    axes.tick_params(length=2.5, pad=1.5)
    if rng.random() < 0.5:
        axes.spines[["top", "right"]].set_visible(False)
    if chart.kind == "line":
        axes.margins(x=0.1)


def _draw_pie(rng: Random, axes: Any, chart: Chart) -> None:
    """A pie with labels around it or a legend below it."""
    legend, colours = rng.random() < 0.4, _colours(rng, chart)
    axes.pie(
        chart.values,
        labels=None if legend else chart.labels,
        colors=colours,
        autopct=rng.choice(("%d%%", "%d")) if chart.written else None,
        pctdistance=0.65,
        labeldistance=1.08,
        startangle=rng.choice((0, 90)),
        counterclock=rng.random() < 0.5,
        radius=1.1,
        wedgeprops={"linewidth": rng.choice((0, 0.8)), "edgecolor": "white"},
    )
    if legend:
        axes.legend(
            chart.labels,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.02),
            ncols=2,
            frameon=False,
            handlelength=0.8,
            handletextpad=0.4,
            columnspacing=0.9,
            labelspacing=0.25,
            borderpad=0,
        )
