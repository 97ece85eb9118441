"""Charts: their questions, tasks and lessons. The truth of an item has under "scene" all that a chart shows.

Not here: data, looks, drawing and wordings, each in a module of that name.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from drawn_world import palette
from drawn_world.charts.chart_data import TRENDS, Chart, make_chart
from drawn_world.charts.chart_drawing import DrawnChart, draw_chart, fitted
from drawn_world.charts.chart_looks import pick_look
from drawn_world.item import MAX_TURNS, Item, dialogue_item, image_item, text_truth
from drawn_world.task import Task
from drawn_world.wording import ask

Question = tuple[str, str, dict[str, Any]]  # wording, answer, truth without its scene


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartQuestions:
    """The questions that can be asked about one chart, in wordings of one split."""

    rng: Random
    chart: Chart
    split: str
    ease: float

    def phrase(self, wording: str, /, **parts: str) -> str:
        """One wording of a question."""
        return ask(self.rng, wording, self.ease, self.split, **parts)

    def value(self, index: int) -> Question:
        """The value of a category, in percent for a pie; an answer is right within 5 %."""
        value, label = self.chart.values[index], self.chart.labels[index]
        truth = {"kind": "number", "value": float(value), "tolerance": 0.05, "asked": label}
        wording = "chart_percent" if self.chart.kind == "pie" else "chart_value"
        return self.phrase(wording, label=label), str(value), truth

    def extreme(self, which: str) -> Question | None:
        """The category with the largest or smallest value; None if two values are too close to tell."""
        ordered = sorted(self.chart.values, reverse=which == "largest")
        if abs(ordered[0] - ordered[1]) < self.chart.clear_gap:
            return None
        answer = self.chart.labels[self.chart.values.index(ordered[0])]
        return self.phrase(f"chart_{which}"), answer, text_truth(answer, asked=which)

    def larger(self) -> Question | None:
        """Whether one category is larger than another, "yes" and "no" equally often; None if no two clearly differ."""
        values = list(enumerate(self.chart.values))
        pairs = [(a, b) for a, one in values for b, other in values if one - other >= self.chart.clear_gap]
        if not pairs:
            return None
        more, less = (self.chart.labels[index] for index in self.rng.choice(pairs))
        answer = self.rng.choice(("yes", "no"))
        a, b = (more, less) if answer == "yes" else (less, more)
        return self.phrase("chart_larger", a=a, b=b), answer, text_truth(answer, asked=[a, b])

    def trend(self) -> Question | None:
        """How a line rises and falls; None for other charts and for lines without a clear trend."""
        answer = self.chart.trend() if self.chart.kind == "line" and len(self.chart.values) > 2 else None
        return (self.phrase("chart_trend"), answer, text_truth(answer, asked="trend")) if answer else None

    def end(self) -> Question:
        """The first or the last category."""
        which = self.rng.choice(("first", "last"))
        answer = self.chart.labels[0 if which == "first" else -1]
        return self.phrase(f"chart_{which}"), answer, text_truth(answer, asked=which)

    def several(self) -> list[Question]:
        """Up to six questions in random order: values of up to three categories, and comparisons."""
        count = len(self.chart.labels)
        turns: list[Question | None] = [self.value(index) for index in self.rng.sample(range(count), min(3, count))]
        turns += [self.extreme("largest"), self.extreme("smallest"), self.larger(), self.trend()]
        if self.chart.kind != "pie":
            turns.append(self.end())
        clear = [turn for turn in turns if turn]
        self.rng.shuffle(clear)
        return clear[:MAX_TURNS]


def render(rng: Random, split: str, ease: float, chart: Chart) -> DrawnChart:
    """Draw a chart in a look of the split. A chart without enough room loses its last categories."""
    drawn = draw_chart(*fitted(chart, pick_look(rng, split, ease, chart)))
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
        one, two = sorted(chart.values, reverse=which != "smallest")[:2]
        if which == "larger" or abs(one - two) >= chart.clear_gap:
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
    drawn = render(rng, split, ease, make_chart(rng, split, ease))
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
        turns = ChartQuestions(rng=rng, chart=drawn.chart, split=split, ease=ease).several()
        if len(turns) >= 4:
            break
    item = dialogue_item("chart_dialogue", drawn.image, [turn[:2] for turn in turns])
    return replace(item, truth=drawn.chart.complete(item.truth, drawn.described()))


TASKS = (
    Task("chart_value", chart_value, "vqa", exams=("exam",)),
    Task("chart_compare", chart_compare, "vqa", exams=("exam",)),
    Task("chart_trend", chart_trend, "vqa", exams=("exam",)),
    Task("chart_table", chart_table, "vqa", lesson=True),
    Task("chart_dialogue", chart_dialogue, "vqa", lesson=True),
    Task("bar_levels", bar_levels, "vqa", lesson=True),
)
