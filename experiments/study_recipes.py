"""The paper's ablations at a small size [paper 8.6, 8.8, 8.9]: the compared variants, their records and their work.

A study is a table. A row is a variant: a way to train from random weights, once for each seed, on the same records. A column
is a source of held-out items. Every variant has the same number of FLOPs, not of steps: a variant that sees more tokens of each sample
sees fewer samples.

Here are the configurations only: `python -m experiments.studies NAME` draws, trains, asks and writes the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from qwen2vl.data.forecast import Forecast, forecast
from qwen2vl.data.plan import Budgets, Phase
from qwen2vl.data.store import Store
from qwen2vl.processing.processor import Processor
from qwen2vl.recipes.nano import MEDIA, nano_processor
from qwen2vl.spec.config import FACTOR, NANO, Qwen2VLConfig
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.run_data import select_for, store_version
from qwen2vl.training.run_spec import RunSpec, StoredRecords
from qwen2vl.training.train_config import Rates, Stage, TrainConfig

STUDIED = replace(
    NANO,
    vision=replace(NANO.vision, hidden_size=192, depth=4, embed_dim=128, num_heads=4),
    text=replace(
        NANO.text,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        mrope_section=(4, 6, 6),
    ),
)
"""The model of all studies, 3 million parameters: smaller than nano, so that it learns within minutes."""
RATE = 1e-3
BUDGETS = Budgets(tokens=896, visual_tokens=896, media=128)
"""Limits of one pack; the two packs of a step hold about 26 conversations."""
PACKS_PER_STEP = 2
WORK = 6e13
"""FLOPs of a variant at full size: 12 to 15 minutes of one idle core."""
NO_SPIKE = 1e6
"""A multiple that no gradient norm reaches, so that no variant skips a step."""
PROBED_STEPS = 8
"""Steps of every mixture from which the work of one step is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A part of the training."""

    share: float
    """Share of the work."""
    mixtures: tuple[Mapping[str, int], ...]
    """Source -> its share of the samples; the steps take the mixtures in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A row of the table: one way to train."""

    name: str
    """Name of its folders."""
    title: str
    lessons: tuple[Lesson, ...]
    config: Qwen2VLConfig = STUDIED
    media: MediaSettings = MEDIA


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A kind of held-out items."""

    title: str
    source: str
    """Source of the items, from the test split, for example "shape_rows@0.5" or "slides_first@64-64"."""
    part: str = ""
    """Columns of one part have their own rows in the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One ablation."""

    name: str
    title: str
    variants: tuple[Variant, ...]
    columns: tuple[Column, ...]
    records: Mapping[str, int]
    """Source -> number of records at full size."""
    seeds: tuple[int, ...] = (0, 1)
    work: float = WORK
    """FLOPs of a variant, at full size."""
    budgets: Budgets = BUDGETS
    packs_per_step: int = PACKS_PER_STEP

    def variant(self, name: str) -> Variant:
        return next(variant for variant in self.variants if variant.name == name)


def study_run(
    study: Study,
    variant: Variant,
    store: Path,
    run_dir: Path,
    *,
    share: float = 1.0,
    seed: int = 0,
) -> RunSpec:
    """The run of one variant with one seed.

    Args:
        study: gives work and budgets.
        variant: gives lessons, model and media settings.
        store: store of the records of the study, which must exist: the number of steps follows from it.
        run_dir: folder of the run; a run that is resumed keeps its version of the store.
        share: share of the work, for trials.
        seed: decides initial weights and data.
    """
    processor = Processor(nano_processor().tokenizer, variant.config, variant.media)
    opened = Store(store, store_version(run_dir))
    return RunSpec(
        name=f"study-{study.name}-{variant.name}",
        processor=processor,
        records=StoredRecords(path=store),
        stages=(stage_of_equal_work(study, variant, opened, processor, share * study.work, seed),),
        train=TrainConfig(seed=seed, save_every=200, spike=NO_SPIKE),
    )


def stage_of_equal_work(
    study: Study, variant: Variant, store: Store, processor: Processor, work: float, seed: int
) -> Stage:
    """One stage in which the steps of each lesson cost its share of the work. work: FLOPs of the stage."""

    def stage(name: str, phases: tuple[Phase, ...], steps: int) -> Stage:
        return Stage(
            name=name,
            steps=steps,
            rates=Rates(tower=RATE, merger=RATE, decoder=RATE),
            phases=phases,
            budgets=study.budgets,
            packs_per_step=study.packs_per_step,
            window=256,
            warmup_steps=steps // 20,
            decay=0.4,
        )

    phases, end = list[Phase](), 0
    for number, lesson in enumerate(variant.lessons):
        probe = stage(f"probe {number}", (Phase(mixtures=lesson.mixtures),), steps=1)
        steps = PROBED_STEPS * len(lesson.mixtures)
        flops = forecast(select_for(probe, store, processor, seed=seed).plan, steps).flops / steps
        end += max(1, round(lesson.share * work / flops))
        phases.append(Phase(mixtures=lesson.mixtures, until=end))
    return stage(variant.name, (*phases[:-1], replace(phases[-1], until=None)), steps=end)


def forecast_run(spec: RunSpec, run_dir: Path) -> Forecast:
    """Records and work of the run of a variant."""
    assert isinstance(spec.stages, tuple), "study_run gives complete stages"
    (stage,) = spec.stages
    store = Store(spec.records.path, store_version(run_dir))
    return forecast(select_for(stage, store, spec.processor, seed=spec.train.seed).plan, stage.steps)


def lessons_on(tasks: Mapping[str, float]) -> tuple[Lesson, ...]:
    """Lessons in this order: words; the first two tasks in their easiest form; all tasks so; all tasks as the columns ask them.

    tasks: task -> the ease that it is asked at. A step has one task, so that its answers have similar lengths. Aligned letters
    come first and alone: only then do they become better than chance, and everything after them is learnt much sooner.
    """
    easiest = tuple({f"{task}@1": 1} for task in tasks)
    final = tuple({f"{task}@{ease:g}": 1} for task, ease in tasks.items())
    return (
        Lesson(share=0.1, mixtures=({"read_word@1": 1},)),
        Lesson(share=0.12, mixtures=easiest[:2]),
        Lesson(share=0.33, mixtures=easiest),
        Lesson(share=0.45, mixtures=final),
    )


def records_for(lessons: tuple[Lesson, ...], each: int) -> dict[str, int]:
    """Number of records by source: the same for every source that the lessons read."""
    return {source: each for lesson in lessons for mixture in lesson.mixtures for source in mixture}


def fixed(tokens: int) -> MediaSettings:
    """Every image at about this number of visual tokens, whatever its size; sides keep their ratio."""
    return replace(MEDIA, min_pixels=tokens * FACTOR**2, max_pixels=tokens * FACTOR**2)


IMAGE_TASKS = {"read_lines": 0.75, "shape_rows": 0.5, "place_cells": 0.75}
"""Tasks that are soon better than chance, and the ease at which their images have 6 to 42 tokens. Reading takes longest."""
IMAGE_COLUMNS = (
    Column(title="lines read", source="read_lines@0.75"),
    Column(title="shapes named", source="shape_rows@0.5"),
    Column(title="places found", source="place_cells@0.75"),
)
FIXED_TOKENS = (4, 16, 36)
"""Far under, near and far over 14, the mean number of tokens that the images have in their own sizes."""

DYNAMIC_RESOLUTION = Study(
    name="dynamic_resolution",
    title="Dynamic resolution against fixed token counts",
    variants=(
        *(
            Variant(
                name=f"fixed-{tokens}", title=f"fixed, {tokens}", lessons=lessons_on(IMAGE_TASKS), media=fixed(tokens)
            )
            for tokens in FIXED_TOKENS
        ),
        Variant(name="dynamic", title="dynamic", lessons=lessons_on(IMAGE_TASKS)),
    ),
    columns=IMAGE_COLUMNS,
    records=records_for(lessons_on(IMAGE_TASKS), 16_000),
)

VIDEO_TASKS = {"film_rows": 0.5, "track": 0.75}
ONE_AXIS = replace(STUDIED, text=replace(STUDIED.text, rope="1d"))

MROPE = Study(
    name="mrope",
    title="M-RoPE against 1D rotary positions",
    variants=(
        Variant(name="1d", title="1D", lessons=lessons_on(IMAGE_TASKS | VIDEO_TASKS), config=ONE_AXIS),
        Variant(name="mrope", title="M-RoPE", lessons=lessons_on(IMAGE_TASKS | VIDEO_TASKS)),
    ),
    columns=(
        *IMAGE_COLUMNS,
        Column(title="videos described", source="film_rows@0.5"),
        Column(title="motion tracked", source="track@0.75"),
    ),
    records=records_for(lessons_on(IMAGE_TASKS | VIDEO_TASKS), 12_000),
)

TRAINED_FRAMES, LONGEST = 8, 64
LENGTHS = (8, 16, 24, 32, 40, 64)
"""Frames of the videos in the columns. The paper's longest video has five times the tokens of its training."""
QUESTIONS = {"first": "first slide", "last": "last slide", "after": "slide after another"}


def lessons_on_slides(max_frames: int) -> tuple[Lesson, ...]:
    """Two lessons on videos of 4 to `max_frames` frames: name all slides; then name all slides or one of them."""
    name_all, *name_one = ({f"slides_{what}@4-{max_frames}": 1} for what in ("list", *QUESTIONS))
    mixed = {source: 1 for mixture in name_one for source in mixture}
    return (Lesson(share=0.4, mixtures=(name_all,)), Lesson(share=0.6, mixtures=(mixed, name_all, mixed)))


LENGTH = Study(
    name="length",
    title="Videos longer than those of training",
    variants=(
        Variant(
            name="1d-8",
            title="1D, videos of up to 8 frames",
            lessons=lessons_on_slides(TRAINED_FRAMES),
            config=ONE_AXIS,
        ),
        Variant(name="mrope-8", title="M-RoPE, videos of up to 8 frames", lessons=lessons_on_slides(TRAINED_FRAMES)),
        Variant(name="mrope-64", title="M-RoPE, videos of up to 64 frames", lessons=lessons_on_slides(LONGEST)),
    ),
    columns=tuple(
        Column(title=f"{frames} frames", source=f"slides_{what}@{frames}-{frames}", part=title)
        for what, title in QUESTIONS.items()
        for frames in LENGTHS
    ),
    records=records_for(lessons_on_slides(TRAINED_FRAMES), 20_000) | records_for(lessons_on_slides(LONGEST), 6_000),
)

STUDIES = {study.name: study for study in (DYNAMIC_RESOLUTION, MROPE, LENGTH)}
