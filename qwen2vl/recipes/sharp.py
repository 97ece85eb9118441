"""nano looks more closely: which of several things is where, and letters on anything.

    qwen2vl data draw runs/sharp-records --recipe sharp
    qwen2vl data build runs/sharp-records/*.jsonl --out runs/sharp-store --tokenizer runs/sharp-records/tokenizer
    qwen2vl train sharp --model runs/whole-weights               (the same command again resumes)

After `whole` a box around the only shape was right, and among several it was anyone's. Lessons of one question an image,
from two shapes in cells to the full task, are to teach which is meant; beside everything else they made boxes more exact and
hardly taught that (docs/nano.md). It begins with what `whole` has taught, at half its rate,
because the full rate had cost `whole` what it knew of places and letters. Its records have a seed of their own, so that
none of `whole` comes again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, count, cycle
from pathlib import Path
from typing import ClassVar

from qwen2vl.recipes.curriculum import PLACES, READING, WORDS, Lessons, Mix
from qwen2vl.recipes.drawn import stages_over
from qwen2vl.recipes.wide import WideRecipe
from qwen2vl.training.train_config import Stage, TrainConfig

RATE = 5e-4
FALLS = 7500
"""Step from which the rate falls: at the full one the lessons hardly got better any more."""
END = 16_500
LINES = {"line_stack": 2, "read_line": 1}
LOOKED_UP = {"receipt": 2, "form": 1, "read_in_box": 1}
ONE_OF_SEVERAL = tuple(
    {lesson: 1}
    for lesson in (
        "place_one", "glyph_one", "place_one", "control_one", "place_one", "glyph_one", "place_one", "form_one",
    )
)  # fmt: skip
TOGETHER = {"place_one": 3, "glyph_one": 2, "control_one": 1}
"""In one step. (Against one after the other it was not measured.)"""
FULL_PLACES = (
    {"ground": 2, "point": 1},
    {"glyph_ground": 2, "glyph_point": 1},
    PLACES,
    {"screen": 2, "screen_dialogue": 1, "screen_lines": 1},
)


def mixes(asked: Iterator[Mix], small: float) -> tuple[Mix, ...]:
    """Two rounds over what was known; every second step asks for one of several. small: ease of small print."""
    known = (
        Mix(0.0, WORDS),
        Mix(0.0, {"colour_shape": 2, "relate": 1}),
        Mix(small, LINES),
        Mix(0.0, {"glyph_name": 2, "glyph_look_up": 1, "which_picture": 1}),
        Mix(small, {"word_on_texture": 1}),
        Mix(0.0, {"count_nine": 2, "count": 1, "glyph_count": 1}),
        Mix(small, {"chart_value": 2, "chart_compare": 1, "chart_trend": 1}),
        Mix(0.0, {"event_rows": 1, "flash_rows": 1, "film_dialogue": 1}),
        Mix(0.0, READING),
        Mix(0.0, {"compare": 2, "difference": 1, "same_object": 1}),
        Mix(small, {"receipt_lines": 1, "table_rows": 1, "table": 1}),
        Mix(0.0, {"events": 1, "late": 1, "order": 1}),
        Mix(0.0, {"word_on_texture": 1}),
        Mix(0.0, {"read_number": 2, "text": 1, "caption": 1}),
        Mix(small, LOOKED_UP),
        Mix(0.0, {"instruct_dialogue": 1, "instruct": 1}),
        Mix(small, {"script_lines": 1, "read_script": 1}),
        Mix(0.0, {"pair_dialogue": 1, "glyph_dialogue": 1, "equal_cells": 1}),
        Mix(small, {"chart_table": 1, "bar_levels": 1, "chart_dialogue": 1}),
        Mix(0.0, {"motion": 1, "speed": 1, "changed": 1, "film_count": 1}),
        Mix(0.0, {"page_dialogue": 2, "page": 1, "page_lines": 1}),
        Mix(0.0, {"action_dialogue": 1, "next_action": 1}),
        Mix(small, {"read_paragraph": 1, "line_stack": 1, "find_word": 1}),
        Mix(0.0, {"name_dialogue": 1, "glyph_caption": 1, "pair_rows": 1}),
    )
    return tuple(chain.from_iterable(zip(known, asked, strict=False)))


def widening(ease: float) -> tuple[Mix, ...]:
    """One lesson after the other, at one ease."""
    return mixes(cycle(Mix(ease, lesson) for lesson in ONE_OF_SEVERAL), 0.25)


def while_the_rate_falls() -> tuple[Mix, ...]:
    """Lessons together, at eases that take turns, and every third time the full tasks."""
    eases, lessons = cycle((0.7, 0.4, 0.1)), cycle((TOGETHER, TOGETHER, TOGETHER, {"form_one": 1}))
    full = cycle(Mix(0.0, weights) for weights in FULL_PLACES)
    return mixes((next(full) if number % 3 == 2 else Mix(next(eases), next(lessons)) for number in count()), 0.0)


WIDENS = ((1500, 1.0), (3000, 0.85), (4500, 0.7), (6000, 0.55), (FALLS, 0.4))
"""Until which step a lesson on one of several has which ease."""
SHARP = (*(Lessons(until, widening(ease)) for until, ease in WIDENS), Lessons(END, while_the_rate_falls()))
STAGES = stages_over(SHARP, {"2-everything": 15_000, "3-questions": END}, rate=RATE, falls=FALLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpRecipe(WideRecipe):
    """Everything that decides the weights."""

    name: ClassVar[str] = "sharp"
    stages: ClassVar[tuple[Stage, ...]] = STAGES
    records_seed: ClassVar[int] = 1
    store: Path = Path("runs/sharp-store")
    """Built from what `qwen2vl data draw --recipe sharp` writes."""
    model: str = "runs/whole-weights"
    """The checkpoint to begin with: what the recipe `whole` made."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(validate_every=1500, save_every=500))
