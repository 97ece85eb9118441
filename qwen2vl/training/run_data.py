"""The data of a run: its specification and its store give the stages, and the samples that each of them reads."""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.lengths import Index, index_store
from qwen2vl.data.plan import Phase
from qwen2vl.data.selection import Selection, select_samples, shares_by_size
from qwen2vl.data.store import Store
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.processing.processor import Processor
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

    def of_stage(self, stage: Stage) -> StageData:
        selection = self.selections[stage.name]
        return StageData(plan=selection.plan, reader=selection.reader)


def open_run_data(spec: RunSpec, run_dir: Path, replicas: Replicas) -> RunData:
    """Open the store, or build it first, and plan all stages; no image or video of a store is opened.

    Raises ConfigError for a store that is missing or does not fit the model, and stages that cannot be planned.
    """
    store = open_store(spec, run_dir, replicas)
    stages = complete_stages(spec, store)
    selections = {
        stage.name: select_for(stage, store, spec.processor, seed=spec.train.seed, held_out=spec.held_out)
        for stage in stages
    }
    return RunData(store=store, stages=stages, selections=selections)


def open_store(spec: RunSpec, run_dir: Path, replicas: Replicas) -> Store:
    """The store of a run, at the version that the run began with: records added later do not concern it."""
    records, path = spec.records, spec.records.path
    if isinstance(records, RecordsFile):
        path = run_dir / "store"
        if replicas.leads:
            tokenizer, media = spec.processor.tokenizer, spec.processor.settings
            build(
                [records.path],
                BuildSettings(store=path, tokenizer=tokenizer, media_root=records.media_root, media=media),
            )
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


FILL = 0.97
"""Assumed share of a pack that is filled, from which the steps of an epoch are computed: less with few samples, more with many."""


def stage_over_all(spec: RunSpec, stage: EpochStage, store: Store) -> Stage:
    """A stage in steps from a stage in epochs. Raises ConfigError when no record fits a pack."""
    shares, processor = shares_by_size(store), spec.processor
    index = index_store(store, tuple(shares), processor.config, processor.settings, stage.budgets)
    num_tokens = sum(int(lengths.tokens.sum()) for lengths in index.sources.values())
    if not num_tokens:
        reason = next(iter(index.refused.values()), "there is none")
        raise ConfigError(
            f'no record of "{spec.records.path}" fits a pack of {stage.budgets.tokens} tokens ({reason}): raise --tokens'
        )
    steps_per_epoch = num_tokens * (1 - spec.held_out) / (stage.budgets.tokens * stage.packs_per_step * FILL)
    steps = stage.steps or max(1, math.ceil(stage.epochs * steps_per_epoch))
    return Stage(
        name=stage.name,
        steps=steps,
        rates=stage.rates,
        phases=(Phase(mixtures=({name: share for name, share in shares.items() if len(index.sources[name])},)),),
        budgets=stage.budgets,
        packs_per_step=stage.packs_per_step,
        window=min(2048, len(store)),
        min_pixels=stage.min_pixels,
        max_pixels=stage.max_pixels,
        max_tokens=stage.max_tokens,
        warmup_steps=max(1, steps * 3 // 100),
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
