"""The data of a run: its specification and its store give the stages, and the samples that each of them reads."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.build import build, rejected_in_words
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.lengths import Index, index_store
from qwen2vl.data.plan import Phase
from qwen2vl.data.selection import Selection, is_held_out, select_samples, shares_by_size, shares_of
from qwen2vl.data.store import Store
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.processing.processor import Processor
from qwen2vl.training.epochs import course_of
from qwen2vl.training.loop import StageData
from qwen2vl.training.parts import passes_of
from qwen2vl.training.run_spec import EpochStage, RecordsFile, RunSpec
from qwen2vl.training.train_config import Stage

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """Stages of a run and the samples of each."""

    store: Store
    stages: tuple[Stage, ...]
    selections: Mapping[str, Selection]
    """Stage name -> what it reads."""
    held_out: float
    """Share of every source that no step reads."""

    def of_stage(self, stage: Stage) -> StageData:
        selection = self.selections[stage.name]
        return StageData(plan=selection.plan, reader=selection.reader)


def open_run_data(spec: RunSpec, run_dir: Path, replicas: Replicas) -> RunData:
    """Open the store, or build it first, and plan all stages; no image or video of a store is opened.

    Raises ConfigError for a store that is missing or does not fit the model, and stages that cannot be planned.
    """
    store = open_store(spec, run_dir, replicas)
    held_out = share_held_out(spec, store)
    stages = complete_stages(spec, store)
    selections = {
        stage.name: select_for(stage, store, spec.processor, seed=spec.train.seed, held_out=held_out)
        for stage in stages
    }
    return RunData(store=store, stages=stages, selections=selections, held_out=held_out)


HELD_OUT, MIN_HELD_OUT = 0.02, 500
"""Share of the samples that is held out unless the run says otherwise, and the number of samples from which on: one of few
samples is missed in training, and measures nothing."""


def share_held_out(spec: RunSpec, store: Store) -> float:
    """Share of every source that no step reads."""
    if spec.held_out is not None:
        return spec.held_out
    return HELD_OUT if len(store) >= MIN_HELD_OUT else 0.0


def open_store(spec: RunSpec, run_dir: Path, replicas: Replicas) -> Store:
    """The store of a run, at the version that the run began with: records added later do not concern it."""
    records, path = spec.records, spec.records.path
    if isinstance(records, RecordsFile):
        path = run_dir / "store"
        if replicas.leads:
            tokenizer, media = spec.processor.tokenizer, spec.processor.settings
            settings = BuildSettings(store=path, tokenizer=tokenizer, media_root=records.media_root, media=media)
            report = build([records.path], settings, max_rejected=records.max_rejected)
            if report.rejected:
                log.warning("%s", rejected_in_words(report.rejected, report.rows + len(report.rejected), path))
        replicas.wait()
    elif records.how_to_build and not records.exist:
        raise ConfigError(f'there is no store "{path}": {records.how_to_build}')
    return Store(path, store_version(run_dir))


def store_version(run_dir: Path) -> str | None:
    """The version of the store that a run began with; None for a run that has not begun."""
    config = run_dir / "config.json"
    return json.loads(config.read_text()).get("store_version") if config.is_file() else None


def complete_stages(spec: RunSpec, store: Store) -> tuple[Stage, ...]:
    """The stages of a run with the settings that depend on the store: mixtures and number of steps."""
    if isinstance(spec.stages, EpochStage):
        return (stage_over_all(spec, spec.stages, store),)
    by_size = (Phase(mixtures=(shares_by_size(store),)),)
    return tuple(stage if stage.phases else replace(stage, phases=by_size) for stage in spec.stages)


def stage_over_all(spec: RunSpec, stage: EpochStage, store: Store) -> Stage:
    """A stage in steps from a stage in epochs. Raises ConfigError when no record fits a pack."""
    processor, share = spec.processor, share_held_out(spec, store)
    settings = processor.settings.with_limits(stage.min_pixels, stage.max_pixels)
    index = index_store(store, tuple(store.sources), processor.config, settings, stage.budgets)
    trained = {
        name: lengths.tokens[~is_held_out(lengths.rows.tolist(), share)] for name, lengths in index.sources.items()
    }
    tokens = np.concatenate([np.zeros(0, np.int64), *trained.values()])
    if not len(tokens):
        reason = next(iter(index.refused.values()), "there is none")
        raise ConfigError(
            f'no record of "{spec.records.path}" fits a pack of {stage.budgets.tokens} tokens ({reason}): raise --tokens'
        )
    course = course_of(stage, tokens)
    return Stage(
        name=stage.name,
        steps=course.steps,
        samples=course.samples,
        rates=stage.rates,
        phases=(Phase(mixtures=(shares_of({name: len(lengths) for name, lengths in trained.items()}),)),),
        budgets=stage.budgets,
        packs_per_step=course.most_packs,
        min_pixels=stage.min_pixels,
        max_pixels=stage.max_pixels,
        max_tokens=stage.max_tokens,
        warmup_steps=max(1, course.steps * 3 // 100),
        schedule="cosine",
        decay=1.0,
    )


def select_for(stage: Stage, store: Store, processor: Processor, *, seed: int, held_out: float = 0.0) -> Selection:
    """The samples that a stage reads; logs how many samples do not fit a pack as they are. Raises ConfigError."""
    settings = processor.settings.with_limits(stage.min_pixels, stage.max_pixels, stage.max_tokens)
    selection = select_samples(
        store,
        processor.with_settings(settings),
        stage.plan_config(seed),
        passes=passes_of(stage.rates),
        held_out=held_out,
    )
    warn_of_misfits(stage, selection.index)
    return selection


def warn_of_misfits(stage: Stage, index: Index) -> None:
    if index.caps:
        log.warning(
            "stage %s: the images of %d samples shrink so that they fit a pack of %d tokens, %d of them visual",
            stage.name,
            len(index.caps),
            stage.budgets.tokens,
            stage.budgets.visual_tokens,
        )
    if index.refused:
        row, reason = next(iter(index.refused.items()))
        log.warning("stage %s: %d samples are left out, row %d: %s", stage.name, len(index.refused), row, reason)
