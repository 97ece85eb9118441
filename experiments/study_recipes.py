"""The paper's ablations at nano's size [paper 8.6, 8.8, 8.9]: which variants, taught what with how much work, asked what.

A study is a table. A row is a variant, trained from nothing by the same recipe on the same records, once for each seed; a
column is a source of held-out items. Every variant has the same number of FLOPs, not of steps: what sees more
tokens sees fewer samples.

Here are the configurations only: `python -m experiments.studies NAME` draws, trains, asks and writes the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from qwen2vl.data.forecast import Forecast, forecast
from qwen2vl.data.plan import Budgets, Phase
from qwen2vl.data.store import Store
from qwen2vl.model.init import new_model
from qwen2vl.processing.processor import Processor
from qwen2vl.recipes.drawn import BUDGETS, MEDIA, PACKS_PER_STEP
from qwen2vl.recipes.nano import FIRST_NANO, RATE, nano_processor
from qwen2vl.spec.config import FACTOR, Qwen2VLConfig
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.run import DataSource, Prepared, version_begun_with
from qwen2vl.training.train_config import Rates, Stage, TrainConfig

WORK = 6e13
"""FLOPs of a variant at full size: 12 to 15 minutes of a quiet core that trains nano."""
NO_SPIKE = 1e6
"""A task whose loss had fallen to nearly nothing jumps by more than a spike when others join it: skipping its steps, as the
guard of a long run does, would keep it from being learnt again."""
PROBED_STEPS = 8
"""Steps of every mixture from which the work of one is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A part of the training: its share of the work, and the mixtures that its steps take in turn."""

    share: float
    mixtures: tuple[Mapping[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A row of the table: one way to train."""

    name: str
    """Of its folders."""
    title: str
    lessons: tuple[Lesson, ...]
    config: Qwen2VLConfig = FIRST_NANO
    media: MediaSettings = MEDIA


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A kind of held-out items."""

    title: str
    source: str
    """As of records, but of the test split: "shape_rows@0.5", "slides_first@64-64"."""
    part: str = ""
    """Rows of a variant of their own for the columns of one part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One ablation."""

    name: str
    title: str
    variants: tuple[Variant, ...]
    columns: tuple[Column, ...]
    records: Mapping[str, int]
    """Source to how many records are drawn, at full size."""
    seeds: tuple[int, ...] = (0, 1)
    work: float = WORK
    """FLOPs of a variant, at full size."""
    budgets: Budgets = BUDGETS
    packs_per_step: int = PACKS_PER_STEP

    def variant(self, name: str) -> Variant:
        return next(variant for variant in self.variants if variant.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecipe:
    """One variant of a study with one seed."""

    study: Study
    variant: Variant
    store: Path
    share: float = 1.0
    """Of the work, for trials."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(save_every=200, spike=NO_SPIKE))

    @property
    def name(self) -> str:
        return f"study-{self.study.name}-{self.variant.name}"

    def prepare(self, run_dir: Path) -> Prepared:
        processor = self.processor()
        store = Store(self.store, version_begun_with(run_dir))
        return Prepared(
            config=self.variant.config,
            processor=processor,
            stages=(self.stage(DataSource(store, processor, self.train.seed)),),
            store=self.store,
            model=lambda: new_model(self.variant.config, self.train.seed),
        )

    def processor(self) -> Processor:
        return Processor(nano_processor().tokenizer, self.variant.config, self.variant.media)

    def stage(self, data: DataSource) -> Stage:
        """As many steps of every lesson as come to its share of the work."""
        phases, end = list[Phase](), 0
        for number, lesson in enumerate(self.variant.lessons):
            probe = self._stage(f"probe {number}", (Phase(mixtures=lesson.mixtures),), steps=1)
            steps = PROBED_STEPS * len(lesson.mixtures)
            flops = forecast(data(probe).plan, steps).flops / steps
            end += max(1, round(lesson.share * self.share * self.study.work / flops))
            phases.append(Phase(mixtures=lesson.mixtures, until=end))
        return self._stage(self.variant.name, (*phases[:-1], replace(phases[-1], until=None)), steps=end)

    def _stage(self, name: str, phases: tuple[Phase, ...], steps: int) -> Stage:
        return Stage(
            name=name,
            steps=steps,
            rates=Rates(tower=RATE, merger=RATE, decoder=RATE),
            phases=phases,
            budgets=self.study.budgets,
            packs_per_step=self.study.packs_per_step,
            window=256,
            warmup_steps=steps // 20,
            decay=0.4,
        )

    def forecast(self, run_dir: Path) -> Forecast:
        """What the whole run reads and costs."""
        prepared = self.prepare(run_dir)
        (stage,) = prepared.stages
        return forecast(
            DataSource(prepared.open_store(run_dir), prepared.processor, self.train.seed)(stage).plan, stage.steps
        )


FIRST_WORDS = {"read_word@1": 1}
"""Aligned letters, which leave chance by themselves alone; everything after them is learnt much sooner."""


def taught(tasks: Mapping[str, float]) -> tuple[Lesson, ...]:
    """Tasks and the ease that they are asked at: first words, the first two, all in their easiest geometry, all as asked.

    A step has one task, so that its answers are of one length.
    """
    easiest, asked = (
        tuple({f"{task}@{ease:g}": 1} for task, ease in eases.items()) for eases in (dict.fromkeys(tasks, 1.0), tasks)
    )
    return (
        Lesson(share=0.1, mixtures=(FIRST_WORDS,)),
        Lesson(share=0.12, mixtures=easiest[:2]),
        Lesson(share=0.33, mixtures=easiest),
        Lesson(share=0.45, mixtures=asked),
    )


def sources_of(lessons: tuple[Lesson, ...], each: int) -> dict[str, int]:
    """So many records of everything that the lessons read."""
    return {source: each for lesson in lessons for mixture in lesson.mixtures for source in mixture}


def fixed(tokens: int) -> MediaSettings:
    """Every image at about so many visual tokens, whatever its size; sides keep their ratio."""
    return replace(MEDIA, min_pixels=tokens * FACTOR**2, max_pixels=tokens * FACTOR**2)


SEEN = {"read_lines": 0.75, "shape_rows": 0.5, "place_cells": 0.75}
"""Image tasks that leave chance soon, and the ease at which their images have 6 to 42 tokens. Reading takes longest."""
FIXED_TOKENS = (4, 16, 36)
"""Far under, about and far over the 14 tokens that the images have on average as they are."""
SEEN_COLUMNS = (
    Column(title="lines read", source="read_lines@0.75"),
    Column(title="shapes named", source="shape_rows@0.5"),
    Column(title="places found", source="place_cells@0.75"),
)

DYNAMIC_RESOLUTION = Study(
    name="dynamic_resolution",
    title="Dynamic resolution against fixed token counts",
    variants=(
        *(
            Variant(name=f"fixed-{tokens}", title=f"fixed, {tokens}", lessons=taught(SEEN), media=fixed(tokens))
            for tokens in FIXED_TOKENS
        ),
        Variant(name="dynamic", title="dynamic", lessons=taught(SEEN)),
    ),
    columns=SEEN_COLUMNS,
    records=sources_of(taught(SEEN), 16_000),
)

WATCHED = {"film_rows": 0.5, "track": 0.75}
ONE_AXIS = replace(FIRST_NANO, text=replace(FIRST_NANO.text, rope="1d"))

MROPE = Study(
    name="mrope",
    title="M-RoPE against 1D rotary positions",
    variants=(
        Variant(name="1d", title="1D", lessons=taught(SEEN | WATCHED), config=ONE_AXIS),
        Variant(name="mrope", title="M-RoPE", lessons=taught(SEEN | WATCHED)),
    ),
    columns=(
        *SEEN_COLUMNS,
        Column(title="videos told", source="film_rows@0.5"),
        Column(title="motion tracked", source="track@0.75"),
    ),
    records=sources_of(taught(SEEN | WATCHED), 12_000),
)

TRAINED_FRAMES, LONGEST = 8, 64
LENGTHS = (8, 16, 24, 32, 40, 64)
"""Frames of the videos that are asked about. The paper's longest has five times the tokens of training."""
ASKED = {"first": "first slide", "last": "last slide", "after": "slide after another"}


def of_slides(most: int) -> tuple[Lesson, ...]:
    """First only naming all slides, then also one of them, in videos of 4 to `most` frames."""
    named, *asked = ({f"slides_{what}@4-{most}": 1} for what in ("list", *ASKED))
    mixed = {source: 1 for mixture in asked for source in mixture}
    return (Lesson(share=0.4, mixtures=(named,)), Lesson(share=0.6, mixtures=(mixed, named, mixed)))


LENGTH = Study(
    name="length",
    title="Videos longer than those of training",
    variants=(
        Variant(name="1d-8", title="1D, videos of up to 8 frames", lessons=of_slides(TRAINED_FRAMES), config=ONE_AXIS),
        Variant(name="mrope-8", title="M-RoPE, videos of up to 8 frames", lessons=of_slides(TRAINED_FRAMES)),
        Variant(name="mrope-64", title="M-RoPE, videos of up to 64 frames", lessons=of_slides(LONGEST)),
    ),
    columns=tuple(
        Column(title=f"{frames} frames", source=f"slides_{asked}@{frames}-{frames}", part=title)
        for asked, title in ASKED.items()
        for frames in LENGTHS
    ),
    records=sources_of(of_slides(TRAINED_FRAMES), 20_000) | sources_of(of_slides(LONGEST), 6_000),
)

STUDIES = {study.name: study for study in (DYNAMIC_RESOLUTION, MROPE, LENGTH)}
