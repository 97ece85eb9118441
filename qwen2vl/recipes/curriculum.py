"""nano's curriculum: which tasks of the drawn world, how easy, in which order.

Why one: with free fonts, colours, sizes and wordings from the start every signal stays at chance. So each skill begins in
one geometry (aligned letters, shapes that fill a visual token, one wording), alone or nearly so, and widens when it has
left chance: `ease` falls from 1 to 0. docs/nano.md has the measurements.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qwen2vl.data.plan import Phase


@dataclass(frozen=True, slots=True)
class Mix:
    """What one step is drawn from.

    A step holds answers of about one length: its loss is a mean over tokens, in which one-word answers would drown
    beside lines and boxes.
    """

    ease: float
    """How easy seeing is: 1 aligned letters, one size and white ground, 0 everything."""
    weights: Mapping[str, int]
    """How often each task is drawn."""

    @property
    def sources(self) -> dict[str, int]:
        """The mixture as sources of records."""
        return {source_name(task, self.ease): weight for task, weight in self.weights.items()}


@dataclass(frozen=True, slots=True)
class Lessons:
    """A part of the run: until which step, and the mixes that its steps take in turn."""

    until: int
    mixes: tuple[Mix, ...]


def source_name(task: str, ease: float) -> str:
    """Records of one task at one ease are one source: "read_word@0.25"."""
    return f"{task}@{ease:g}"


READING = {"read_lines": 2, "read_word": 1}
WORDS = {"read_lines": 1, "read_word": 2}
PLACES = {"place_dialogue": 1, "ground": 2, "point": 1}
VIDEOS = {"motion": 1, "order": 1}
SCREENS = {"screen_dialogue": 2, "screen": 1, "screen_lines": 1}
CURRICULUM = (
    Lessons(500, (Mix(1.0, {"read_word": 1}),)),
    Lessons(950, (
        Mix(1.0, READING),
        Mix(1.0, {"shape_rows": 1}),
    )),
    Lessons(1800, (
        Mix(0.8, {"spaced_lines": 1}),
        Mix(1.0, {"place_cells": 1}),
        Mix(0.8, {"shape_rows": 1}),
        Mix(1.0, {"film_rows": 1}),
    )),
    Lessons(2700, (
        Mix(0.6, {"spaced_lines": 2, "read_lines": 1}),
        Mix(0.75, {"place_cells": 1}),
        Mix(1.0, {"look_up": 1}),
        Mix(0.6, {"spaced_lines": 1}),
        Mix(1.0, {"track": 1}),
        Mix(0.75, {"place_cells": 1}),
        Mix(1.0, {"tell_apart": 1}),
    )),
    Lessons(3400, (
        Mix(0.6, {"spaced_lines": 2, "read_lines": 1}),
        Mix(0.75, {"place_cells": 1}),
        Mix(1.0, {"tell_apart": 1}),
        Mix(0.5, READING),
        Mix(0.75, {"place_cells": 1}),
        Mix(1.0, {"tell_apart": 1}),
    )),
    Lessons(4400, (
        Mix(0.5, READING),
        Mix(0.7, {"tell_apart": 1}),
        Mix(0.6, {"place_cells": 1}),
        Mix(0.8, VIDEOS),
        Mix(0.8, {"place_dialogue": 1, "ground": 1, "point": 1}),
        Mix(0.6, {"spaced_lines": 1, "read_lines": 1}),
        Mix(0.8, {"colour_shape": 1, "count": 1, "relate": 1}),
        Mix(0.6, {"track": 1, "film_rows": 1}),
        Mix(0.8, {"name_dialogue": 1}),
        Mix(0.8, {"compare": 1}),
    )),
    Lessons(5600, (
        Mix(0.5, READING),
        Mix(0.5, {"colour_shape": 2, "relate": 1}),
        Mix(0.5, {"place_dialogue": 2, "ground": 1, "point": 1}),
        Mix(0.6, {"spaced_lines": 1, "read_lines": 1}),
        Mix(0.5, {"count": 1}),
        Mix(0.5, VIDEOS),
        Mix(0.4, READING),
        Mix(0.5, {"name_dialogue": 1}),
        Mix(0.6, {"place_cells": 1}),
        Mix(0.5, {"compare": 1}),
        Mix(0.5, PLACES),
        Mix(1.0, {"screen_dialogue": 1}),
    )),
    Lessons(6900, (
        Mix(0.4, READING),
        Mix(0.8, {"colour_shape": 1}),
        Mix(0.8, {"count": 1}),
        Mix(0.5, READING),
        Mix(0.8, {"ground": 2, "point": 1}),
        Mix(0.8, VIDEOS),
        Mix(0.6, {"place_cells": 1}),
        Mix(0.5, {"compare": 1, "relate": 1}),
    )),
    Lessons(8400, (
        Mix(0.25, READING),
        Mix(0.3, {"colour_shape": 2, "relate": 1, "count": 1}),
        Mix(0.7, {"ground": 2, "point": 1}),
        Mix(0.4, READING),
        Mix(1.0, {"screen_dialogue": 2, "screen_lines": 1}),
        Mix(0.6, {"place_cells": 1, "place_dialogue": 1}),
        Mix(0.25, READING),
        Mix(0.3, {"motion": 1, "order": 2, "compare": 1}),
        Mix(0.3, {"place_dialogue": 1, "ground": 1, "point": 1}),
        Mix(1.0, {"page_lines": 1, "page_dialogue": 1}),
    )),
    Lessons(24000, (
        Mix(0.0, READING),
        Mix(0.0, PLACES),
        Mix(0.0, {"colour_shape": 2, "relate": 1}),
        Mix(0.0, SCREENS),
        Mix(0.25, WORDS),
        Mix(0.0, {"count": 1}),
        Mix(0.0, VIDEOS),
        Mix(0.0, READING),
        Mix(0.0, PLACES),
        Mix(0.0, {"name_dialogue": 1}),
        Mix(0.0, {"page_dialogue": 2, "page": 1, "page_lines": 1}),
        Mix(0.0, {"compare": 1}),
        Mix(0.0, WORDS),
        Mix(0.0, SCREENS),
        Mix(0.0, {"read_number": 2, "text": 1, "caption": 1}),
    )),
)  # fmt: skip
"""A phase ends where its skills had left chance in an earlier run, or where too many at once did not."""


def phases_between(begin: int, end: int, curriculum: Sequence[Lessons]) -> tuple[Phase, ...]:
    """A curriculum from one step to another as the phases of a stage, whose steps count from nought."""
    starts = [0, *(lessons.until for lessons in curriculum)]
    inside = [each for start, each in zip(starts, curriculum, strict=False) if start < end and each.until > begin]
    phases = [
        Phase(mixtures=tuple(mix.sources for mix in lessons.mixes), until=min(lessons.until, end) - begin)
        for lessons in inside
    ]
    return (*phases[:-1], Phase(mixtures=phases[-1].mixtures))


def in_a_row(*curricula: Sequence[Lessons], share: float = 1.0) -> tuple[Lessons, ...]:
    """Curricula one after the other as one, each lesson for a share of its steps."""
    found: list[Lessons] = []
    for curriculum in curricula:
        before = found[-1].until if found else 0
        found += [replace(lessons, until=before + round(share * lessons.until)) for lessons in curriculum]
    return tuple(found)
