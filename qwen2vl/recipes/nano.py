"""nano from random weights: one run over the whole drawn world.

    scripts/install-fonts.sh
    qwen2vl data draw runs/nano-records --num-workers 2
    qwen2vl data build runs/nano-records/*.jsonl --out runs/nano-store --tokenizer runs/nano-records/tokenizer --num-workers 2
    qwen2vl train nano                                           (the same command again resumes)
    qwen2vl convert runs/nano --out runs/nano-weights --dtype bf16

The first stage teaches single skills in their easiest forms, in small steps. From then on every step reads all tasks together,
each item with an ease of its own. The learning rate is level and falls once, over the last quarter; the tower is locked at the end.
"""

from collections.abc import Mapping
from functools import cache, partial
from itertools import accumulate
from pathlib import Path

from drawn_world import TASKS, corpus_pieces, corpus_words
from qwen2vl.common.errors import ConfigError
from qwen2vl.data.plan import Budgets, Phase
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.recipes.drawn_items import Validation, how_to_build
from qwen2vl.spec.config import NANO, Qwen2VLConfig
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.run_spec import RunSpec, StoredRecords
from qwen2vl.training.train_config import Rates, Stage, TrainConfig

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

AREAS: tuple[tuple[int, Mapping[str, int]], ...] = (
    (30, {
        "line_stack": 6, "read_line": 3, "spaced_lines": 1, "read_word": 3, "read_lines": 2, "read_number": 1,
        "picture_stack": 5, "word_on_texture": 2, "read_paragraph": 2, "find_word": 1, "read_in_box": 1,
        "words_in_boxes": 1, "read_script": 1, "script_lines": 2, "language_lines": 3, "read_language": 2,
    }),
    (20, {
        "place_talk": 5, "scene_talk": 4, "list_boxes": 1, "list_points": 1, "name_box": 2, "pick_box": 1, "shape_at": 1,
        "ground": 2, "point": 1, "glyph_ground": 2, "glyph_point": 1, "glyph_places": 1, "glyph_one": 1,
    }),
    (15, {
        "receipt_dialogue": 5, "receipt": 2, "receipt_lines": 1, "form_dialogue": 3, "form": 1, "form_one": 1,
        "form_lines": 1, "table_dialogue": 4, "table": 1, "table_rows": 2, "notice_dialogue": 1, "notice_lines": 1,
        "page_dialogue": 1, "page": 1, "page_lines": 1,
    }),
    (12, {"chart_dialogue": 7, "chart_value": 3, "chart_compare": 1, "chart_trend": 1, "chart_table": 1, "bar_levels": 1}),
    (10, {
        "screen_dialogue": 4, "screen": 2, "screen_boxes": 1, "control_one": 1, "screen_lines": 1, "action_dialogue": 4,
        "next_action": 2, "action_steps": 1,
    }),
    (13, {
        "count_talk": 3, "count_nine": 2, "count": 1, "colour_shape": 2, "relate": 1, "caption": 1, "overlap": 1,
        "pair_talk": 3, "compare": 1, "difference": 2, "same_object": 1, "which_picture": 1, "picture_talk": 2,
        "glyph_talk": 3, "glyph_name": 2, "glyph_count": 1, "glyph_caption": 1, "glyph_look_up": 1, "glyph_know": 1,
        "glyph_article": 1, "motion_talk": 3, "event_talk": 3, "speed_talk": 1, "change_talk": 2, "motion": 1, "order": 1,
        "events": 1, "late": 1, "speed": 1, "changed": 1, "film_count": 1, "text": 1, "small_talk": 2, "image_talk": 2,
        "cannot_tell": 2, "instruct": 1, "instruct_dialogue": 1,
    }),
)  # fmt: skip
"""The tasks by area, in order of difficulty: reading, places, documents, charts, screens, the rest.

An area has its share of the samples in percent, and its tasks share that by their weights.
"""


def mixture() -> dict[str, int]:
    """The mixture of all areas: source to its weight."""
    return {
        task: round(10_000 * share * weight / sum(weights.values()))
        for share, weights in AREAS
        for task, weight in weights.items()
    }


SKILLS: tuple[tuple[int, Mapping[str, int]], ...] = (
    (150, {"read_word@1": 1}),
    (100, {"read_lines@1": 2, "read_word@1": 1}),
    (150, {"shape_rows@1": 1}),
    (600, {"spaced_lines@0.8": 1}),
    (400, {"line_stack@1": 1}),
    (150, {"glyph_rows@1": 1}),
    (150, {"list_boxes@1": 1}),
    (100, {"name_box@1": 1}),
    (100, {"film_rows@1": 1, "event_rows@1": 1}),
    (100, {"chart_table@1": 1, "bar_levels@1": 1}),
    (100, {"receipt_lines@1": 1, "table_rows@1": 1}),
    (100, {"count_rows@1": 1}),
)  # fmt: skip
"""Single skills in their easiest forms, with many answers for the cost of an image: number of steps, then the mixture.

Each is taught alone before all of them are taught in turn. Alone, letters were read after 100 steps; with all skills in turn from
the first step on they were still guessed after 600, in larger steps. Lines that start at any pixel take longest: 200 steps were
not enough.
"""


def skill_phases() -> tuple[Phase, ...]:
    """One phase a skill, then a phase with all of them in turn."""
    ends = accumulate(steps for steps, _ in SKILLS)
    alone = (Phase(mixtures=(skill,), until=end) for end, (_, skill) in zip(ends, SKILLS, strict=True))
    return (*alone, Phase(mixtures=tuple(skill for _, skill in SKILLS)))


SKILL_STEPS = 3000
SKILL_BUDGETS = Budgets(tokens=1024, visual_tokens=1024, media=512)
"""Small packs: how soon a skill is better than chance depends on the number of steps more than on that of samples."""

STEPS = 30_000
"""Number of steps that read all tasks."""
FALL = 7500
"""Number of steps at the end in which the rate falls."""
LOCKED = 1500
"""Number of steps at the end in which the tower is locked."""
RATE = 1.5e-3
BUDGETS = Budgets(tokens=4096, visual_tokens=4096, media=512)
PACKS_PER_STEP = 2


def drawn_stages(
    steps: int = STEPS, rate: float = RATE, packs_per_step: int = PACKS_PER_STEP, first_step: int = 0
) -> tuple[Stage, ...]:
    """All stages of a run over the drawn world; the rate falls over the last two without a jump.

    steps: number of steps that read all tasks. first_step: number of these that were trained before, in a run whose
    checkpoints are lost; then no stage of single skills comes first. Raises ConfigError after the level rate.
    """
    fall, locked = (round(part * steps / STEPS) for part in (FALL, LOCKED))
    if not 0 <= first_step <= steps - fall:
        raise ConfigError(
            f"first_step is {first_step}: it must be from 0 to {steps - fall}, where the rate begins to fall"
        )
    low, every_task = rate * locked / fall, (Phase(mixtures=(mixture(),)),)
    stage = partial(Stage, packs_per_step=packs_per_step)
    rates = Rates(tower=rate, merger=rate, decoder=rate)
    skills = stage(
        name="1-skills", steps=SKILL_STEPS, rates=rates, phases=skill_phases(), budgets=SKILL_BUDGETS, decay=0.0
    )
    everything = stage(
        name="2-all",
        steps=steps - locked - first_step,
        rates=rates,
        phases=every_task,
        budgets=BUDGETS,
        decay=(fall - locked) / (steps - locked - first_step),
        final_rate=locked / fall,
    )
    last = stage(
        name="3-locked-tower",
        steps=locked,
        rates=Rates(merger=low, decoder=low),
        phases=every_task,
        budgets=BUDGETS,
        warmup_steps=0,
        decay=1.0,
    )
    return (everything, last) if first_step else (skills, everything, last)


@cache
def nano_processor(config: Qwen2VLConfig = NANO) -> Processor:
    """The tokenizer with the words of the drawn world, and the limits of nano, for a model of any size."""
    tokenizer = build_nano_tokenizer(corpus_words(), corpus_pieces(), config.text.vocab_size)
    return Processor(tokenizer, config, MEDIA)


def nano(
    *,
    store: Path = Path("runs/nano-store"),
    model: str = "",
    first_step: int = 0,
    validation_items: int = 8,
    train: TrainConfig = TrainConfig(compile=True, validate_every=1000, save_every=250),
) -> RunSpec:
    """Train nano from random weights.

    Args:
        store: Store built from what `qwen2vl data draw` writes.
        model: Checkpoint directory to begin with, where the checkpoints of an earlier leg of the run are lost.
        first_step: Number of steps over all tasks that this checkpoint was trained.
        validation_items: Number of items of every task, from the held-out half of the world, that are answered to validate.
        train: Settings of the whole run.
    """
    return RunSpec(
        name="nano",
        processor=nano_processor(),
        begin_with=model,
        records=StoredRecords(path=store, how_to_build=how_to_build("nano", store)),
        validate=Validation(nano_processor(), TASKS, validation_items),
        stages=drawn_stages(first_step=first_step),
        train=train,
    )
