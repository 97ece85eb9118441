"""The data of charts: categories and values that an image of them can answer for.

A value that is not written beside its mark can be measured: it is a multiple of a twentieth of the axis (or a little
more), or so large that 5 % of it is a pixel. Not here: looks (chart_looks), images (chart_drawing), questions (chart_tasks).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import Any

from drawn_world.wording import FILES, LABELS
from drawn_world.words import pick_word

LETTERS = tuple("ABCDEFGH")
COLOUR_NAMES = ("red", "green", "blue", "yellow", "orange", "purple", "pink")  # all visible on every ground
COMMON_TOPS = (10, 20, 50, 100)
TOPS = (5, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 400, 500, 800, 1000)
"""Ends of the value axis."""
NICE = (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500)
"""Numbers between which ticks and values count."""
MOST_CATEGORIES = 8
CATEGORIES = (
    *(LABELS[name] for name in ("fruit", "grocery", "chart_animal", "chart_sport", "chart_person", "chart_place")),
    COLOUR_NAMES,
)
"""Lists of names that come in any order."""
SPOKEN = frozenset(re.findall("[a-z]+", " ".join(map(" ".join, FILES["charts"]["questions"].values())).lower()))
"""Words of questions about charts: as labels they would make the questions hard to understand."""
TRENDS = ("rises", "falls", "rises, then falls", "falls, then rises")


def unit_of(top: int) -> int:
    """The number of which values that are not written are multiples: at least a twentieth of the axis."""
    return next(unit for unit in NICE if unit * 20 >= top)


def steps_of(top: int) -> tuple[int, ...]:
    """Steps between ticks, the closest first: they divide the axis into two to ten parts; the whole axis is the last."""
    return (*(step for step in NICE if top % step == 0 and 2 <= top // step <= 10), top)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a chart shows: categories in reading order, each with its value."""

    kind: str
    """bar, line or pie."""
    labels: tuple[str, ...]
    """Names of the categories; all are empty if nothing is written under the bars."""
    values: tuple[int, ...]
    """For a pie, shares in percent that sum to 100; else numbers from 1 to top."""
    top: int
    """Largest number at the value axis; 100 for a pie."""
    written: bool
    """Whether every value is written beside its mark."""
    title: str = ""
    """What is written above the chart; empty if it has no title."""

    @property
    def clear_gap(self) -> int:
        """Difference from which one value is clearly larger than another."""
        return max(1, self.top // 10)

    @property
    def words_to_read(self) -> list[str]:
        """The labels that come from the word list."""
        known = {name for names in CATEGORIES for name in names}
        return [label for label in self.labels if label.islower() and label not in known]

    def described(self) -> dict[str, Any]:
        """Description for JSON."""
        scene = {name: getattr(self, name) for name in ("kind", "top", "written", "title")}
        return scene | {"labels": list(self.labels), "values": list(self.values)}

    def complete(self, truth: dict[str, Any], scene: dict[str, Any]) -> dict[str, Any]:
        """The truth with a description of the image and, if there are any, the words to read."""
        read = self.words_to_read
        return truth | {"scene": scene} | ({"read": read} if read else {})

    def trend(self) -> str | None:
        """One of TRENDS, or None if the values follow none of them or two neighbours are equal."""
        turns = "".join("u" if b > a else "d" if b < a else "=" for a, b in pairwise(self.values))
        for pattern, trend in zip(("u", "d", "ud", "du"), TRENDS, strict=True):
            if "=" not in turns and [c for i, c in enumerate(turns) if i == 0 or turns[i - 1] != c] == list(pattern):
                return trend
        return None

    def place_of(self, rank: int) -> int | None:
        """Place of the value with a rank, 0 for the largest and -1 for the smallest; None if another one is too close to it."""
        order = sorted(range(len(self.values)), key=lambda index: -self.values[index])
        chosen = order[rank]
        others = (value for index, value in enumerate(self.values) if index != chosen)
        near = any(abs(value - self.values[chosen]) < self.clear_gap for value in others)
        return None if near else chosen

    def without_last(self) -> "Chart":
        """The chart with one category fewer; the last two slices of a pie become one."""
        merged = self.values[-2] + (self.values[-1] if self.kind == "pie" else 0)
        return replace(self, labels=self.labels[:-1], values=(*self.values[:-2], merged))


def make_chart(
    rng: Random,
    split: str,
    ease: float,
    kind: str | None = None,
    trend: str | None = None,
    written: bool | None = None,
) -> Chart:
    """Sample the data of a chart; ease 1 gives four bars A to D on an axis to 10. trend: one of TRENDS, not for pies."""
    kind = kind or ("bar" if rng.random() < ease else rng.choice(("bar", "bar", "line", "pie")))
    count = 4 if rng.random() < ease else rng.choice((2, 3, 3, 4, 4, 5, 5, 6, 7, MOST_CATEGORIES))
    count = max(count, 3 if trend else 2)
    labels = pick_labels(rng, split, ease, min(count, 6) if kind == "pie" else count)
    title = "" if rng.random() < max(ease, 0.55) else rng.choice(LABELS["chart_title_text"])
    if written is None:
        written = rng.random() < max(ease, 0.6) if kind == "pie" else rng.random() >= ease and rng.random() < 0.3
    if kind == "pie":
        values, top = _shares(rng, len(labels), written), 100
    else:
        top = 10 if rng.random() < ease else rng.choice(COMMON_TOPS if rng.random() < 0.5 else TOPS)
        values = _trending(rng, len(labels), top, trend) if trend else _values(rng, ease, len(labels), top, written)
    return Chart(kind=kind, labels=labels, values=values, top=top, written=written, title=title)


def pick_labels(rng: Random, split: str, ease: float, count: int) -> tuple[str, ...]:
    """Sample different labels: days, months and years in their order, others in any; one chart in eight has words to read."""
    if rng.random() < ease:
        return LETTERS[:count]
    roll = rng.random()
    if roll < 0.125:
        words: dict[str, None] = {}
        while len(words) < count:
            word = pick_word(rng, split)
            if len(word) <= 5 and word not in SPOKEN:
                words[word] = None
        return tuple(words)
    groups: tuple[Sequence[str], ...] = (LETTERS, *CATEGORIES)
    if roll < 0.5:
        years = tuple(str(year) for year in range(1990, 2031))
        groups = (LETTERS, LABELS["day"], LABELS["month"], years, LABELS["chart_quarter"])
    group = rng.choice([each for each in groups if len(each) >= count])
    if roll >= 0.5:
        return tuple(rng.sample(group, count))
    start = rng.randint(0, len(group) - count)
    return tuple(group[start : start + count])


def _values(rng: Random, ease: float, count: int, top: int, written: bool) -> tuple[int, ...]:
    """From 1 to 9 at ease 1; any number if it is written or large, else multiples of the unit."""
    if top == 10:
        return tuple(rng.randint(1, 9 if rng.random() < ease else 10) for _ in range(count))
    if written:
        return tuple(rng.randint(1, top) for _ in range(count))
    unit, free = unit_of(top), rng.random() < 0.35
    return tuple(
        rng.randint(max(1, top // 5), top) if free else unit * rng.randint(1, top // unit) for _ in range(count)
    )


def _shares(rng: Random, count: int, written: bool) -> tuple[int, ...]:
    """Percent of every slice, at least 10; multiples of ten if they are not written."""
    unit = 1 if written else 10
    spare = (100 - 10 * count) // unit
    cuts = sorted(rng.randint(0, spare) for _ in range(count - 1))
    return tuple(10 + unit * (b - a) for a, b in pairwise((0, *cuts, spare)))


def _trending(rng: Random, count: int, top: int, trend: str) -> tuple[int, ...]:
    """Values that follow a trend and whose neighbours differ by about a tenth of the axis at least."""
    levels = sorted(rng.sample(range(1, 11), count))
    if trend in ("falls", "falls, then rises"):
        levels.reverse()
    if trend in ("rises, then falls", "falls, then rises"):
        *others, turning = levels
        before = rng.sample(range(count - 1), rng.randint(1, count - 2))
        rest = [level for index, level in enumerate(others) if index not in before]
        levels = [others[index] for index in sorted(before)] + [turning] + rest[::-1]
    unit = unit_of(top) if top >= 20 else 1
    return tuple(max(1, round(level * top / 10 / unit) * unit) for level in levels)
