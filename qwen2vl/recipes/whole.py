"""The third run of nano: all tasks of both worlds, from easy forms to the full questions, over many steps.

    qwen2vl data draw runs/whole-records --recipe whole
    qwen2vl data build runs/whole-records/*.jsonl --out runs/whole-store --tokenizer runs/whole-records/tokenizer
    qwen2vl train whole --model runs/wide-weights                (the same command again resumes)

The run begins with the weights of the recipe `wide`; `sharp` continues from it to the shipped nano.
"""

from pathlib import Path

from drawn_world import TASKS
from qwen2vl.recipes.curriculum import PLACES, READING, WORDS, Lessons, Mix, cut_into_stages
from qwen2vl.recipes.drawn_items import Validation, how_to_build
from qwen2vl.recipes.wide import wide_processor
from qwen2vl.training.run_spec import RunSpec, StoredRecords
from qwen2vl.training.train_config import TrainConfig


def one_round(new: float, small_print: float) -> tuple[Mix, ...]:
    """The mixes of one round over both worlds; more than a third of them are the first world in its full form.

    Args:
        new: ease of emoji, pairs, actions and longer videos.
        small_print: ease of the tasks that take longest to learn: lines, documents, charts, other alphabets.
    """
    return (
        Mix(0.0, READING),
        Mix(new, {"glyph_rows": 1}),
        Mix(0.0, PLACES),
        Mix(small_print, {"line_stack": 2, "read_line": 1}),
        Mix(0.0, {"colour_shape": 2, "relate": 1}),
        Mix(small_print, {"chart_table": 1, "bar_levels": 1}),
        Mix(new, {"events": 1, "late": 1, "order": 1}),
        Mix(0.0, WORDS),
        Mix(new, {"glyph_places": 1, "glyph_ground": 2, "glyph_point": 1}),
        Mix(small_print, {"receipt_lines": 1, "table_rows": 1, "table": 1}),
        Mix(0.0, {"count_nine": 2, "count": 1, "glyph_count": 1}),
        Mix(0.0, {"screen": 2, "screen_dialogue": 1, "screen_lines": 1}),
        Mix(new, {"pair_dialogue": 1, "glyph_dialogue": 1, "equal_cells": 1}),
        Mix(small_print, {"receipt_dialogue": 1, "form_dialogue": 1, "table_dialogue": 1}),
        Mix(0.0, WORDS),
        Mix(new, {"glyph_name": 2, "glyph_look_up": 1, "which_picture": 1}),
        Mix(small_print, {"chart_dialogue": 1}),
        Mix(0.0, PLACES),
        Mix(small_print, {"words_in_boxes": 1, "find_word": 1, "read_paragraph": 1}),
        Mix(0.0, {"read_number": 2, "text": 1, "caption": 1}),
        Mix(new, {"instruct_dialogue": 1, "instruct": 1}),
        Mix(new, {"event_rows": 1, "flash_rows": 1, "film_dialogue": 1}),
        Mix(0.0, {"name_dialogue": 1}),
        Mix(new, {"action_dialogue": 1, "next_action": 1, "screen_dialogue": 1}),
        Mix(small_print, {"chart_value": 2, "chart_compare": 1, "chart_trend": 1}),
        Mix(0.0, {"compare": 2, "difference": 1, "same_object": 1}),
        Mix(small_print, {"receipt": 2, "form": 1, "read_in_box": 1}),
        Mix(0.0, {"page_dialogue": 2, "page": 1, "page_lines": 1}),
        Mix(new, {"pair_rows": 1, "glyph_caption": 1}),
        Mix(small_print, {"script_lines": 1, "read_script": 1}),
        Mix(new, {"motion": 1, "speed": 1, "changed": 1, "film_count": 1}),
    )  # fmt: skip


CURRICULUM = (
    Lessons(3500, one_round(new=0.25, small_print=0.8)),
    Lessons(7500, one_round(new=0.25, small_print=0.5)),
    Lessons(12_000, one_round(new=0.0, small_print=0.25)),
    Lessons(24_000, one_round(new=0.0, small_print=0.0)),
)
RATE = 1e-3
DECAY_START = 8000
STAGES = cut_into_stages(
    CURRICULUM, {"2-everything": 21_500, "3-questions": 24_000}, rate=RATE, decay_start=DECAY_START
)


def whole(
    *,
    store: Path = Path("runs/whole-store"),
    model: str = "runs/wide-weights",
    validation_items: int = 16,
    train: TrainConfig = TrainConfig(validate_every=2000, save_every=1000),
) -> RunSpec:
    """Train nano at length on both worlds.

    Args:
        store: Store built from what `qwen2vl data draw --recipe whole` writes.
        model: Checkpoint directory to begin with: what the recipe `wide` made.
        validation_items: Number of items of every task, from the held-out half of the world, that are answered to validate.
        train: Settings of the whole run.
    """
    return RunSpec(
        name="whole",
        processor=wide_processor(),
        begin_with=model,
        records=StoredRecords(path=store, how_to_build=how_to_build("whole", store)),
        validate=Validation(wide_processor(), TASKS, validation_items),
        stages=STAGES,
        train=train,
    )
