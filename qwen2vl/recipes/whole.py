"""nano over both worlds at length: everything that `wide` began, to the full questions.

    qwen2vl data draw runs/whole-records --recipe whole
    qwen2vl data build runs/whole-records/*.jsonl --out runs/whole-store --tokenizer runs/whole-records/tokenizer
    qwen2vl train whole --model runs/wide-weights                (the same command again resumes)

It begins with what `wide` has taught; `sharp` goes on from it to the shipped nano.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from qwen2vl.recipes.curriculum import PLACES, READING, WORDS, Lessons, Mix
from qwen2vl.recipes.drawn import stages_over
from qwen2vl.recipes.wide import WideRecipe
from qwen2vl.training.train_config import Stage, TrainConfig

RATE = 1e-3
FALLS = 8000
"""Step from which the rate falls."""


def mixes(new: float, small: float) -> tuple[Mix, ...]:
    """One round over both worlds: more than a third of it the first, in its full form.

    new: ease of emoji, pairs, actions and longer videos; small: of small print, which takes longest (lines, documents,
    charts, other alphabets).
    """
    return (
        Mix(0.0, READING),
        Mix(new, {"glyph_rows": 1}),
        Mix(0.0, PLACES),
        Mix(small, {"line_stack": 2, "read_line": 1}),
        Mix(0.0, {"colour_shape": 2, "relate": 1}),
        Mix(small, {"chart_table": 1, "bar_levels": 1}),
        Mix(new, {"events": 1, "late": 1, "order": 1}),
        Mix(0.0, WORDS),
        Mix(new, {"glyph_places": 1, "glyph_ground": 2, "glyph_point": 1}),
        Mix(small, {"receipt_lines": 1, "table_rows": 1, "table": 1}),
        Mix(0.0, {"count_nine": 2, "count": 1, "glyph_count": 1}),
        Mix(0.0, {"screen": 2, "screen_dialogue": 1, "screen_lines": 1}),
        Mix(new, {"pair_dialogue": 1, "glyph_dialogue": 1, "equal_cells": 1}),
        Mix(small, {"receipt_dialogue": 1, "form_dialogue": 1, "table_dialogue": 1}),
        Mix(0.0, WORDS),
        Mix(new, {"glyph_name": 2, "glyph_look_up": 1, "which_picture": 1}),
        Mix(small, {"chart_dialogue": 1}),
        Mix(0.0, PLACES),
        Mix(small, {"words_in_boxes": 1, "find_word": 1, "read_paragraph": 1}),
        Mix(0.0, {"read_number": 2, "text": 1, "caption": 1}),
        Mix(new, {"instruct_dialogue": 1, "instruct": 1}),
        Mix(new, {"event_rows": 1, "flash_rows": 1, "film_dialogue": 1}),
        Mix(0.0, {"name_dialogue": 1}),
        Mix(new, {"action_dialogue": 1, "next_action": 1, "screen_dialogue": 1}),
        Mix(small, {"chart_value": 2, "chart_compare": 1, "chart_trend": 1}),
        Mix(0.0, {"compare": 2, "difference": 1, "same_object": 1}),
        Mix(small, {"receipt": 2, "form": 1, "read_in_box": 1}),
        Mix(0.0, {"page_dialogue": 2, "page": 1, "page_lines": 1}),
        Mix(new, {"pair_rows": 1, "glyph_caption": 1}),
        Mix(small, {"script_lines": 1, "read_script": 1}),
        Mix(new, {"motion": 1, "speed": 1, "changed": 1, "film_count": 1}),
    )  # fmt: skip


WHOLE = (
    Lessons(3500, mixes(0.25, 0.8)),
    Lessons(7500, mixes(0.25, 0.5)),
    Lessons(12000, mixes(0.0, 0.25)),
    Lessons(24_000, mixes(0.0, 0.0)),
)
STAGES = stages_over(WHOLE, {"2-everything": 21_500, "3-questions": 24_000}, rate=RATE, falls=FALLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRecipe(WideRecipe):
    """Everything that decides the weights."""

    name: ClassVar[str] = "whole"
    stages: ClassVar[tuple[Stage, ...]] = STAGES
    store: Path = Path("runs/whole-store")
    """Built from what `qwen2vl data draw --recipe whole` writes."""
    model: str = "runs/wide-weights"
    """The checkpoint to begin with: what the recipe `wide` made."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(validate_every=2000, save_every=1000))
