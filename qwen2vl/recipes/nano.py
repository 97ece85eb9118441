"""nano from random weights: a small model, three stages, one curriculum over the drawn world.

    scripts/install-fonts.sh
    qwen2vl data draw runs/nano-records
    qwen2vl data build runs/nano-records/*.jsonl --out runs/nano-store --tokenizer runs/nano-records/tokenizer
    qwen2vl train nano                                           (the same command again resumes)
    qwen2vl convert runs/nano --out runs/nano-weights

Stage 1 trains everything on single skills, because there is no trained decoder yet that could stay frozen; stage 2 trains
everything on all tasks; stage 3 freezes the vision tower and adds the full questions [paper 6].
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

from drawn_world import FIRST_TASKS, corpus_words
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import FIRST_SIZE, build_nano_tokenizer
from qwen2vl.recipes.curriculum import PLACES, READING, WORDS, Lessons, Mix, cut_into_stages
from qwen2vl.recipes.drawn_items import Validation, how_to_build
from qwen2vl.spec.config import NANO
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.run_spec import RunSpec, StoredRecords
from qwen2vl.training.train_config import TrainConfig

FIRST_NANO = replace(NANO, text=replace(NANO.text, vocab_size=FIRST_SIZE))
"""nano before the words of the wider world are added to its vocabulary."""
MEDIA = MediaSettings(
    min_pixels=4 * 784,
    max_pixels=256 * 784,
    video_min_pixels=4 * 784,
    video_max_pixels=64 * 784,
    video_total_pixels=2 * 1024 * 784,
    video_max_tokens=1024,
    max_frames=64,
    image_mean=NANO.vision.image_mean,
    image_std=NANO.vision.image_std,
)
"""Limits of nano: it is trained on small images and short videos only. 784 pixels are one token."""

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
        Mix(0.8, {"motion": 1, "order": 1}),
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
        Mix(0.5, {"motion": 1, "order": 1}),
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
        Mix(0.8, {"motion": 1, "order": 1}),
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
        Mix(0.0, {"screen_dialogue": 2, "screen": 1, "screen_lines": 1}),
        Mix(0.25, WORDS),
        Mix(0.0, {"count": 1}),
        Mix(0.0, {"motion": 1, "order": 1}),
        Mix(0.0, READING),
        Mix(0.0, PLACES),
        Mix(0.0, {"name_dialogue": 1}),
        Mix(0.0, {"page_dialogue": 2, "page": 1, "page_lines": 1}),
        Mix(0.0, {"compare": 1}),
        Mix(0.0, WORDS),
        Mix(0.0, {"screen_dialogue": 2, "screen": 1, "screen_lines": 1}),
        Mix(0.0, {"read_number": 2, "text": 1, "caption": 1}),
    )),
)  # fmt: skip
"""A part ends where its skills were better than chance in an earlier run, or where too many at once were not."""

RATE = 1e-3
STAGES = cut_into_stages(
    CURRICULUM, {"1-skills": 2700, "2-everything": 21_000, "3-questions": 24_000}, rate=RATE, decay_start=9000
)


@cache
def nano_processor() -> Processor:
    """Tokenizer with the words of the first world, and the sizes of nano."""
    return Processor(build_nano_tokenizer(corpus_words()), FIRST_NANO, MEDIA)


def nano(
    *,
    store: Path = Path("runs/nano-store"),
    validation_items: int = 20,
    train: TrainConfig = TrainConfig(validate_every=1000, save_every=250),
) -> RunSpec:
    """Train nano from random weights.

    Args:
        store: Store built from what `qwen2vl data draw` writes.
        validation_items: Number of items of every task, from the held-out half of the world, that are answered to validate.
        train: Settings of the whole run.
    """
    return RunSpec(
        name="nano",
        processor=nano_processor(),
        records=StoredRecords(path=store, how_to_build=how_to_build("nano", store)),
        validate=Validation(nano_processor(), FIRST_TASKS, validation_items),
        stages=STAGES,
        train=train,
    )
