"""The fourth run of nano: which of several things a question means, and letters on any background.

    qwen2vl data draw runs/sharp-records --recipe sharp
    qwen2vl data build runs/sharp-records/*.jsonl --out runs/sharp-store --tokenizer runs/sharp-records/tokenizer
    qwen2vl train sharp --model runs/whole-weights               (the same command again resumes)

After `whole`, nano found the only shape of an image, but among several shapes its box was around any one of them. In this run
every second step asks for one of several things, first in cells, then in the full task. This made boxes more exact but hardly
taught which thing is meant (docs/nano.md). The run begins with the weights of the recipe `whole`, at half its rate, because the full
rate had cost `whole` some of its skill in places and letters. Its records have another seed than those of `whole`.
"""

from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path

from drawn_world import TASKS
from qwen2vl.recipes.curriculum import PLACES, READING, WORDS, Lessons, Mix, cut_into_stages
from qwen2vl.recipes.drawn_items import Validation, how_to_build
from qwen2vl.recipes.wide import wide_processor
from qwen2vl.training.run_spec import RunSpec, StoredRecords
from qwen2vl.training.train_config import TrainConfig


def one_round(one_of_several: Iterator[Mix], small_print: float) -> tuple[Mix, ...]:
    """Mixes of one round over what nano has learnt before, each followed by the next mix of `one_of_several`.

    small_print: ease of small letters.
    """
    learnt_before = (
        Mix(0.0, WORDS),
        Mix(0.0, {"colour_shape": 2, "relate": 1}),
        Mix(small_print, {"line_stack": 2, "read_line": 1}),
        Mix(0.0, {"glyph_name": 2, "glyph_look_up": 1, "which_picture": 1}),
        Mix(small_print, {"word_on_texture": 1}),
        Mix(0.0, {"count_nine": 2, "count": 1, "glyph_count": 1}),
        Mix(small_print, {"chart_value": 2, "chart_compare": 1, "chart_trend": 1}),
        Mix(0.0, {"event_rows": 1, "flash_rows": 1, "film_dialogue": 1}),
        Mix(0.0, READING),
        Mix(0.0, {"compare": 2, "difference": 1, "same_object": 1}),
        Mix(small_print, {"receipt_lines": 1, "table_rows": 1, "table": 1}),
        Mix(0.0, {"events": 1, "late": 1, "order": 1}),
        Mix(0.0, {"word_on_texture": 1}),
        Mix(0.0, {"read_number": 2, "text": 1, "caption": 1}),
        Mix(small_print, {"receipt": 2, "form": 1, "read_in_box": 1}),
        Mix(0.0, {"instruct_dialogue": 1, "instruct": 1}),
        Mix(small_print, {"script_lines": 1, "read_script": 1}),
        Mix(0.0, {"pair_dialogue": 1, "glyph_dialogue": 1, "equal_cells": 1}),
        Mix(small_print, {"chart_table": 1, "bar_levels": 1, "chart_dialogue": 1}),
        Mix(0.0, {"motion": 1, "speed": 1, "changed": 1, "film_count": 1}),
        Mix(0.0, {"page_dialogue": 2, "page": 1, "page_lines": 1}),
        Mix(0.0, {"action_dialogue": 1, "next_action": 1}),
        Mix(small_print, {"read_paragraph": 1, "line_stack": 1, "find_word": 1}),
        Mix(0.0, {"name_dialogue": 1, "glyph_caption": 1, "pair_rows": 1}),
    )
    return tuple(mix for before in learnt_before for mix in (before, next(one_of_several)))


def single_lessons(ease: float) -> Iterator[Mix]:
    """Endless series of mixes of one task each, which asks for one of several things, at one ease."""
    tasks = (
        "place_one", "glyph_one", "place_one", "control_one", "place_one", "glyph_one", "place_one", "form_one",
    )  # fmt: skip
    return (Mix(ease, {task: 1}) for task in cycle(tasks))


def mixed_lessons() -> Iterator[Mix]:
    """Endless series of mixes of the same tasks together, at three eases in turn; every third mix has full tasks."""
    together = {"place_one": 3, "glyph_one": 2, "control_one": 1}
    lessons, eases = cycle((together, together, together, {"form_one": 1})), cycle((0.7, 0.4, 0.1))
    full_tasks = cycle((
        {"ground": 2, "point": 1},
        {"glyph_ground": 2, "glyph_point": 1},
        PLACES,
        {"screen": 2, "screen_dialogue": 1, "screen_lines": 1},
    ))  # fmt: skip
    for number in count():
        yield Mix(0.0, next(full_tasks)) if number % 3 == 2 else Mix(next(eases), next(lessons))


RATE = 5e-4
DECAY_START = 7500
"""At the full rate the lessons hardly improved any more after this step."""
CURRICULUM = (
    Lessons(1500, one_round(single_lessons(1.0), small_print=0.25)),
    Lessons(3000, one_round(single_lessons(0.85), small_print=0.25)),
    Lessons(4500, one_round(single_lessons(0.7), small_print=0.25)),
    Lessons(6000, one_round(single_lessons(0.55), small_print=0.25)),
    Lessons(DECAY_START, one_round(single_lessons(0.4), small_print=0.25)),
    Lessons(16_500, one_round(mixed_lessons(), small_print=0.0)),
)
STAGES = cut_into_stages(
    CURRICULUM, {"2-everything": 15_000, "3-questions": 16_500}, rate=RATE, decay_start=DECAY_START
)


def sharp(
    *,
    store: Path = Path("runs/sharp-store"),
    model: str = "runs/whole-weights",
    validation_items: int = 16,
    train: TrainConfig = TrainConfig(validate_every=1500, save_every=500),
) -> RunSpec:
    """Teach nano which of several things is meant.

    Args:
        store: Store built from what `qwen2vl data draw --recipe sharp` writes.
        model: Checkpoint directory to begin with: what the recipe `whole` made.
        validation_items: Number of items of every task, from the held-out half of the world, that are answered to validate.
        train: Settings of the whole run.
    """
    return RunSpec(
        name="sharp",
        processor=wide_processor(),
        begin_with=model,
        records=StoredRecords(path=store, how_to_build=how_to_build("sharp", store), seed=1),
        validate=Validation(wide_processor(), TASKS, validation_items),
        stages=STAGES,
        train=train,
    )
