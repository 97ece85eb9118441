"""The questions that can be asked about one chart, with their answers, and dialogues of several of them.

Not here: the tasks that ask them (chart_tasks), and the wordings (wording/charts.toml).
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from drawn_world.charts.chart_data import Chart, unit_of
from drawn_world.charts.chart_looks import Look, colour_name
from drawn_world.item import text_truth
from drawn_world.wording import ask

Question = tuple[str, str, dict[str, Any]]
"""Wording, answer, and truth without its scene."""
MARKS = {"bar": "bars", "line": "points", "pie": "slices"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartQuestions:
    """The questions about one chart, in wordings of one split. A question that has no clear answer is None."""

    rng: Random
    chart: Chart
    split: str
    ease: float
    look: Look | None = None
    """How the chart is drawn, for questions about colours and ticks."""

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
        """The category with the largest, second largest or smallest value, unless another value is too close to tell."""
        if which == "second" and len(self.chart.labels) < 3:
            return None
        place = self.chart.place_of({"largest": 0, "second": 1, "smallest": -1}[which])
        if place is None:
            return None
        answer = self.chart.labels[place]
        return self.phrase(f"chart_{which}"), answer, text_truth(answer, asked=which)

    def larger(self) -> Question | None:
        """Whether one category is larger than another, "yes" and "no" equally often, unless no two clearly differ."""
        pair = self._clear_pair()
        if not pair:
            return None
        more, less = (self.chart.labels[index] for index in pair)
        answer = self.rng.choice(("yes", "no"))
        a, b = (more, less) if answer == "yes" else (less, more)
        return self.phrase("chart_larger", a=a, b=b), answer, text_truth(answer, asked=[a, b])

    def _clear_pair(self) -> tuple[int, int] | None:
        """Places of two categories of which the first is clearly larger."""
        values = list(enumerate(self.chart.values))
        pairs = [(a, b) for a, one in values for b, other in values if one - other >= self.chart.clear_gap]
        return self.rng.choice(pairs) if pairs else None

    @property
    def _is_exact(self) -> bool:
        """Whether every value can be read without an error: it is written, or counts in units of the axis."""
        unit = 10 if self.chart.kind == "pie" else unit_of(self.chart.top)
        return self.chart.written or all(value % unit == 0 for value in self.chart.values)

    def difference(self) -> Question | None:
        """How much larger one category is than another."""
        pair = self._clear_pair()
        if not pair or not self._is_exact:
            return None
        a, b = (self.chart.labels[index] for index in pair)
        answer = str(self.chart.values[pair[0]] - self.chart.values[pair[1]])
        return self.phrase("chart_difference", a=a, b=b), answer, text_truth(answer, asked=[a, b])

    def total(self) -> Question | None:
        """The sum of two categories."""
        if not self._is_exact:
            return None
        one, other = self.rng.sample(range(len(self.chart.labels)), 2)
        a, b = self.chart.labels[one], self.chart.labels[other]
        answer = str(self.chart.values[one] + self.chart.values[other])
        return self.phrase("chart_sum", a=a, b=b), answer, text_truth(answer, asked=[a, b])

    def which(self, index: int) -> Question | None:
        """The category that has a value, unless another one has nearly the same."""
        value = self.chart.values[index]
        near = sum(abs(other - value) < self.chart.clear_gap for other in self.chart.values) > 1
        if near or not self._is_exact:
            return None
        answer = self.chart.labels[index]
        return self.phrase("chart_which", value=str(value)), answer, text_truth(answer, asked=value)

    def trend(self) -> Question | None:
        """How a line rises and falls; None for other charts and for lines without a clear trend."""
        answer = self.chart.trend() if self.chart.kind == "line" and len(self.chart.values) > 2 else None
        return (self.phrase("chart_trend"), answer, text_truth(answer, asked="trend")) if answer else None

    def end(self) -> Question:
        """The first or the last category."""
        which = self.rng.choice(("first", "last"))
        answer = self.chart.labels[0 if which == "first" else -1]
        return self.phrase(f"chart_{which}"), answer, text_truth(answer, asked=which)

    def labels(self) -> Question:
        """All categories in reading order."""
        answer = "\n".join(self.chart.labels)
        return self.phrase("chart_labels"), answer, text_truth(answer)

    def count(self) -> Question:
        """Number of bars, points or slices."""
        answer = str(len(self.chart.labels))
        return self.phrase("chart_count", things=MARKS[self.chart.kind]), answer, text_truth(answer)

    def title(self) -> Question | None:
        """The title, if there is one."""
        answer = self.chart.title
        return (self.phrase("chart_title"), answer, text_truth(answer)) if answer else None

    def kind(self) -> Question:
        """The kind of chart."""
        answer = f"{self.chart.kind} chart"
        return self.phrase("chart_kind"), answer, text_truth(answer)

    def describe(self) -> Question | None:
        """The kind of chart, the number of its values, the largest and the smallest one."""
        largest, smallest = self.chart.place_of(0), self.chart.place_of(-1)
        if largest is None or smallest is None:
            return None
        names, things = self.chart.labels, "shares" if self.chart.kind == "pie" else "values"
        answer = f"A {self.chart.kind} chart of {len(names)} {things}: the largest is {names[largest]}"
        answer += f" and the smallest is {names[smallest]}."
        return self.phrase("chart_describe"), answer, text_truth(answer)

    def colour(self) -> Question | None:
        """The colour of a category that is drawn in a named one."""
        colours = self.look.colours if self.look else ()
        if (
            len(set(colours)) < 2
            or not all(map(colour_name, colours))
            or colour_name(colours[0]) == self.chart.labels[0]
        ):
            return None
        index = self.rng.randrange(len(colours))
        answer = colour_name(colours[index]) or ""
        return self.phrase("chart_colour", label=self.chart.labels[index]), answer, text_truth(answer)

    def axis(self) -> Question | None:
        """The last number of the value axis, or the step between its numbers; None for pies."""
        if self.chart.kind == "pie" or not self.look:
            return None
        which, answer = self.rng.choice((("chart_top", self.chart.top), ("chart_step", self.look.step)))
        return self.phrase(which), str(answer), text_truth(str(answer))

    def several(self, most: int) -> list[Question]:
        """Up to `most` questions in random order, none of which another one's wording answers.

        Values of up to three categories come always. A question that names the kind of chart ("How many bars ...?") would
        answer what kind it is, so that comes first; so does a description.
        """
        places = self.rng.sample(range(len(self.chart.labels)), len(self.chart.labels))
        valued, rest = places[: min(3, max(1, most - 3))], places[3:]
        first = self.rng.choice((self.kind, self.describe, None, None, None))
        groups: list[list[Callable[[], Question | None]]] = [
            [lambda: self.extreme("largest"), lambda: self.extreme("smallest"), lambda: self.extreme("second")],
            [lambda: self.extreme("smallest"), lambda: self.extreme("largest")],
            [self.larger, self.difference, self.larger],
            [self.count] if self.chart.kind == "pie" else [self.count, self.labels, self.end],
            [self.total, *((lambda: self.which(rest[0])) for _ in rest[:1]), self.axis, self.title],
            [self.trend],
            [self.colour],
            [self.title, self.axis],
        ]
        if first == self.describe:
            del groups[:2]
        opening = [question] if first and (question := first()) else []
        turns: list[Question] = [self.value(index) for index in valued]
        for group in self.rng.sample(groups, len(groups)):
            question = self.rng.choice(group)()
            if (
                question
                and len(turns) + len(opening) < most
                and question[2].get("asked", question[0]) not in (turn[2].get("asked", turn[0]) for turn in turns)
            ):
                turns.append(question)
        return opening + self.rng.sample(turns, len(turns))
