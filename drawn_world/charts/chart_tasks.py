"""Charts: tasks and lessons. The truth of an item has under "scene" all that a chart shows.

Not here: data, looks, drawing, questions and wordings, each in a module of that name.
"""

from dataclasses import replace
from random import Random

from drawn_world import palette
from drawn_world.charts.chart_data import TRENDS, Chart, make_chart
from drawn_world.charts.chart_drawing import DrawnChart, draw_chart, fitted
from drawn_world.charts.chart_looks import pick_look
from drawn_world.charts.chart_questions import ChartQuestions, Question
from drawn_world.item import Item, dialogue_item, image_item, text_truth
from drawn_world.task import Task
from drawn_world.wording import ask


def render(rng: Random, split: str, ease: float, chart: Chart, in_order: bool = False) -> DrawnChart:
    """Draw a chart in a look of the split. A chart without enough room loses its last categories.

    in_order: slices follow each other clockwise from the top, so that their order can be seen.
    """
    look = pick_look(rng, split, ease, chart)
    drawn = draw_chart(*fitted(chart, replace(look, turn=0.0, backwards=False) if in_order else look))
    if rng.random() >= ease and rng.random() < 0.15:
        drawn = replace(drawn, image=palette.noisy(rng, drawn.image, rng.randint(2, 7)))
    return drawn


def _item(task: str, drawn: DrawnChart, question: Question) -> Item:
    wording, answer, truth = question
    return image_item(task, [drawn.image], wording, answer, drawn.chart.complete(truth, drawn.described()))


def chart_value(rng: Random, split: str, ease: float) -> Item:
    """Give the value of one category."""
    drawn = render(rng, split, ease, make_chart(rng, split, ease))
    index = rng.randrange(len(drawn.chart.labels))
    return _item("chart_value", drawn, ChartQuestions(rng=rng, chart=drawn.chart, split=split, ease=ease).value(index))


def chart_compare(rng: Random, split: str, ease: float) -> Item:
    """Name the largest or smallest category, or say whether one is larger than another."""
    which = rng.choice(("largest", "smallest", "larger"))
    while True:
        drawn = render(rng, split, ease, _clear_chart(rng, split, ease, which))
        questions = ChartQuestions(rng=rng, chart=drawn.chart, split=split, ease=ease)
        question = questions.larger() if which == "larger" else questions.extreme(which)
        if question:
            return _item("chart_compare", drawn, question)


def _clear_chart(rng: Random, split: str, ease: float, which: str) -> Chart:
    """Sample a chart whose largest or smallest value stands out. It is cheaper to sample data again than to draw again."""
    while True:
        chart = make_chart(rng, split, ease)
        if which == "larger" or chart.place_of(0 if which == "largest" else -1) is not None:
            return chart


def chart_trend(rng: Random, split: str, ease: float) -> Item:
    """Say how a line rises and falls; one time in five name the first or last category."""
    while True:
        chart = make_chart(rng, split, ease, "line", rng.choice(TRENDS))
        drawn = render(rng, split, ease, chart)
        questions = ChartQuestions(rng=rng, chart=drawn.chart, split=split, ease=ease)
        question = questions.end() if rng.random() < 0.2 else questions.trend()
        if question:
            return _item("chart_trend", drawn, question)


def chart_table(rng: Random, split: str, ease: float) -> Item:
    """List every category with its value: from the left, from the top, or clockwise from the top of a pie."""
    drawn = render(rng, split, ease, make_chart(rng, split, ease), in_order=True)
    pairs = zip(drawn.chart.labels, drawn.chart.values, strict=True)
    answer = "\n".join(f"{label}: {value}" for label, value in pairs)
    wording = ask(rng, "chart_table", ease, split)
    return _item("chart_table", drawn, (wording, answer, text_truth(answer)))


def bar_levels(rng: Random, split: str, ease: float) -> Item:
    """Give the heights of bars without names. Ease 1 gives four bars, each in its column of tokens, one patch per unit."""
    chart = make_chart(rng, split, ease, "bar", written=False)
    drawn = render(rng, split, ease, replace(chart, labels=("",) * len(chart.labels)))
    answer = " ".join(map(str, drawn.chart.values))
    wording = ask(rng, "bar_levels", ease, split)
    return _item("bar_levels", drawn, (wording, answer, text_truth(answer)))


def chart_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Four to six questions about one chart."""
    while True:
        trend = rng.choice(TRENDS) if rng.random() >= ease and rng.random() < 0.5 else None
        drawn = render(rng, split, ease, make_chart(rng, split, ease, trend=trend))
        questions = ChartQuestions(rng=rng, chart=drawn.chart, split=split, ease=ease, look=drawn.look)
        turns = questions.several(rng.randint(4, 6))
        if len(turns) >= 4:
            break
    item = dialogue_item("chart_dialogue", drawn.image, [turn[:2] for turn in turns])
    return replace(item, truth=drawn.chart.complete(item.truth, drawn.described()))


TASKS = (
    Task("chart_value", chart_value, "vqa", in_exam=True),
    Task("chart_compare", chart_compare, "vqa", in_exam=True),
    Task("chart_trend", chart_trend, "vqa", in_exam=True),
    Task("chart_table", chart_table, "vqa", lesson=True),
    Task("chart_dialogue", chart_dialogue, "vqa", lesson=True),
    Task("bar_levels", bar_levels, "vqa", lesson=True),
)
