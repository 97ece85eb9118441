"""Charts: the questions about them, the tasks and the lessons. Truth carries under "scene" all that a chart shows.

Not here: data, looks, drawing and wordings, each in a module of that name.
"""

from dataclasses import replace
from random import Random
from typing import Any

from PIL import Image

from drawn_world import palette
from drawn_world.charts.chart_data import (
    COLOUR_NAMES,
    DAYS,
    FRUITS,
    GOODS,
    MONTHS,
    TRENDS,
    Chart,
    make_chart,
    trend_of,
    words_to_read,
)
from drawn_world.charts.chart_drawing import DrawnChart, draw_chart, fitted
from drawn_world.charts.looks import pick_look
from drawn_world.item import MAX_TURNS, Item, dialogue_item, image_item, text_truth
from drawn_world.task import Task
from drawn_world.wording import phrase, read_wordings, texts_of

Asked = tuple[str, str, dict[str, Any]]  # question, answer, truth without its scene

QUESTIONS = read_wordings("charts")
WORDS = (*DAYS, *MONTHS, *FRUITS, *GOODS, *COLOUR_NAMES, "rises", "falls", "then", "percent", *texts_of(QUESTIONS))
MIN_TURNS = 4


def ask(rng: Random, wording: str, ease: float, split: str, /, **parts: str) -> str:
    """One wording of a question of the split."""
    return phrase(rng, QUESTIONS[wording], ease, split, **parts)


def ask_value(rng: Random, chart: Chart, index: int, ease: float, split: str) -> Asked:
    """The value of a category, percent of a pie; right within 5 %."""
    wording = "chart_percent" if chart.kind == "pie" else "chart_value"
    value = chart.values[index]
    truth = {"kind": "number", "value": float(value), "tolerance": 0.05, "asked": chart.labels[index]}
    return ask(rng, wording, ease, split, label=chart.labels[index]), str(value), truth


def ask_extreme(rng: Random, chart: Chart, which: str, ease: float, split: str) -> Asked | None:
    """The category of the largest or smallest value, None where two values are too close to be told apart."""
    ordered = sorted(chart.values, reverse=which == "largest")
    if abs(ordered[0] - ordered[1]) < _clear_gap(chart):
        return None
    answer = chart.labels[chart.values.index(ordered[0])]
    return ask(rng, f"chart_{which}", ease, split), answer, text_truth(answer, asked=which)


def ask_larger(rng: Random, chart: Chart, ease: float, split: str) -> Asked | None:
    """Whether one category is larger than another, yes and no equally often; None where no two differ clearly."""
    pairs = [
        (a, b)
        for a, one in enumerate(chart.values)
        for b, other in enumerate(chart.values)
        if one - other >= _clear_gap(chart)
    ]
    if not pairs:
        return None
    more, less = (chart.labels[index] for index in rng.choice(pairs))
    answer = rng.choice(("yes", "no"))
    a, b = (more, less) if answer == "yes" else (less, more)
    return ask(rng, "chart_larger", ease, split, a=a, b=b), answer, text_truth(answer, asked=[a, b])


def ask_trend(rng: Random, chart: Chart, ease: float, split: str) -> Asked | None:
    """What a line does; None for other charts and other lines."""
    answer = trend_of(chart.values) if chart.kind == "line" and len(chart.values) > 2 else None
    return (ask(rng, "chart_trend", ease, split), answer, text_truth(answer, asked="trend")) if answer else None


def ask_end(rng: Random, chart: Chart, ease: float, split: str) -> Asked:
    """The first or the last category."""
    which = rng.choice(("first", "last"))
    answer = chart.labels[0 if which == "first" else -1]
    return ask(rng, f"chart_{which}", ease, split), answer, text_truth(answer, asked=which)


def _clear_gap(chart: Chart) -> int:
    return chart.top // 10


def render(rng: Random, split: str, ease: float, chart: Chart) -> DrawnChart:
    """A chart in a look of the split. A chart that has no room loses its last categories."""
    drawn = draw_chart(*fitted(chart, pick_look(rng, split, ease, chart)))
    return replace(drawn, image=_noisy(rng, ease, drawn.image))


def _noisy(rng: Random, ease: float, image: Image.Image) -> Image.Image:
    return palette.noisy(rng, image, rng.randint(2, 7)) if rng.random() >= ease and rng.random() < 0.15 else image


def scene_of(chart: Chart) -> dict[str, Any]:
    """What a chart shows, for JSON."""
    scene = {name: getattr(chart, name) for name in ("kind", "top", "written")}
    return scene | {"labels": list(chart.labels), "values": list(chart.values)}


def drawn_scene(drawn: DrawnChart) -> dict[str, Any]:
    """What a chart shows, and the pixels of its plot, bars and points."""
    look = drawn.look
    return scene_of(drawn.chart) | {
        "horizontal": look.horizontal,
        "plot_px": list(drawn.plot),
        "marks_px": [list(mark) for mark in drawn.marks],
        "colours": [list(colour) for colour in look.colours],
    }


def _item(task: str, drawn: DrawnChart, asked: Asked) -> Item:
    question, answer, truth = asked
    read = words_to_read(drawn.chart)
    truth = truth | {"scene": drawn_scene(drawn)} | ({"read": read} if read else {})
    return image_item(task, [drawn.image], question, answer, truth)


def chart_value(rng: Random, split: str, ease: float) -> Item:
    """The value of one category."""
    drawn = render(rng, split, ease, make_chart(rng, split, ease))
    index = rng.randrange(len(drawn.chart.labels))
    return _item("chart_value", drawn, ask_value(rng, drawn.chart, index, ease, split))


def chart_compare(rng: Random, split: str, ease: float) -> Item:
    """Which category is the largest or smallest, or whether one is larger than another."""
    which = rng.choice(("largest", "smallest", "larger"))
    while True:
        drawn = render(rng, split, ease, _clear_chart(rng, split, ease, which))
        asked = _ask_comparison(rng, drawn.chart, which, ease, split)
        if asked:
            return _item("chart_compare", drawn, asked)


def _ask_comparison(rng: Random, chart: Chart, which: str, ease: float, split: str) -> Asked | None:
    if which == "larger":
        return ask_larger(rng, chart, ease, split)
    return ask_extreme(rng, chart, which, ease, split)


def _clear_chart(rng: Random, split: str, ease: float, which: str) -> Chart:
    """A chart whose largest or smallest value stands out (drawing costs more than data)."""
    while True:
        chart = make_chart(rng, split, ease)
        one, two = sorted(chart.values, reverse=which != "smallest")[:2]
        if which == "larger" or abs(one - two) >= _clear_gap(chart):
            return chart


def chart_trend(rng: Random, split: str, ease: float) -> Item:
    """What a line does; one time in five which category comes first or last."""
    while True:
        chart = make_chart(rng, split, ease, "line", rng.choice(TRENDS))
        drawn = render(rng, split, ease, chart)
        end = rng.random() < 0.2
        asked = ask_end(rng, drawn.chart, ease, split) if end else ask_trend(rng, drawn.chart, ease, split)
        if asked:
            return _item("chart_trend", drawn, asked)


def chart_table(rng: Random, split: str, ease: float) -> Item:
    """Every category with its value: from the left, from the top, or clockwise from the top of a pie."""
    drawn = render(rng, split, ease, make_chart(rng, split, ease))
    pairs = zip(drawn.chart.labels, drawn.chart.values, strict=True)
    answer = "\n".join(f"{label}: {value}" for label, value in pairs)
    return _item("chart_table", drawn, (ask(rng, "chart_table", ease, split), answer, text_truth(answer)))


def bar_levels(rng: Random, split: str, ease: float) -> Item:
    """The heights of bars without names: at ease 1 four bars, each in its column of tokens, a patch for every unit."""
    chart = make_chart(rng, split, ease, "bar", written=False)
    drawn = render(rng, split, ease, replace(chart, labels=("",) * len(chart.labels)))
    answer = " ".join(map(str, drawn.chart.values))
    return _item("bar_levels", drawn, (ask(rng, "bar_levels", ease, split), answer, text_truth(answer)))


def chart_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Four to six questions about one chart."""
    while True:
        trend = rng.choice(TRENDS) if rng.random() >= ease and rng.random() < 0.5 else None
        drawn = render(rng, split, ease, make_chart(rng, split, ease, trend=trend))
        turns = _turns(rng, drawn.chart, ease, split)
        if len(turns) >= MIN_TURNS:
            break
    item = dialogue_item("chart_dialogue", drawn.image, [turn[:2] for turn in turns])
    read = words_to_read(drawn.chart)
    return replace(item, truth=item.truth | {"scene": drawn_scene(drawn)} | ({"read": read} if read else {}))


def _turns(rng: Random, chart: Chart, ease: float, split: str) -> list[Asked]:
    """Values of up to three categories, and comparisons."""
    asked = rng.sample(range(len(chart.labels)), min(3, len(chart.labels)))
    turns: list[Asked | None] = [ask_value(rng, chart, index, ease, split) for index in asked]
    turns += [ask_extreme(rng, chart, which, ease, split) for which in ("largest", "smallest")]
    turns += [ask_larger(rng, chart, ease, split), ask_trend(rng, chart, ease, split)]
    if chart.kind != "pie":
        turns.append(ask_end(rng, chart, ease, split))
    clear = [turn for turn in turns if turn]
    rng.shuffle(clear)
    return clear[:MAX_TURNS]


TASKS = (
    Task("chart_value", chart_value, "vqa", exams=("exam",), words=WORDS),
    Task("chart_compare", chart_compare, "vqa", exams=("exam",), words=WORDS),
    Task("chart_trend", chart_trend, "vqa", exams=("exam",), words=WORDS),
    Task("chart_table", chart_table, "vqa", lesson=True, words=WORDS),
    Task("chart_dialogue", chart_dialogue, "vqa", lesson=True, words=WORDS),
    Task("bar_levels", bar_levels, "vqa", lesson=True, words=WORDS),
)
