"""Needs and data of a run before it begins. No model is built, and no image or video of a store is opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from qwen2vl.data.forecast import Forecast, forecast
from qwen2vl.data.selection import Selection
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.training.estimate import Estimate, estimate
from qwen2vl.training.run_data import open_run_data
from qwen2vl.training.run_spec import EpochStage, RunSpec, StoredRecords
from qwen2vl.training.train_config import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUse:
    """One source of records over the whole run."""

    samples: int
    """Number of samples that can be read."""
    lowered: int
    """Number of samples that fit a pack only under lower pixel limits."""
    refused: int
    """Number of samples that fit no pack."""
    drawn: float
    """Number of samples that the run reads, repetitions included."""

    @property
    def epochs(self) -> float:
        return self.drawn / self.samples


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOutlook:
    """One stage before it begins."""

    needs: Estimate
    work: Forecast
    """Work over the samples of the store, or over full packs without a store."""
    course: str | None
    """Length in words; None without a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutlook:
    """A run before it begins."""

    stages: tuple[StageOutlook, ...]
    sources: Mapping[str, SourceUse] | None
    """None without a store."""


def plan_run(
    spec: RunSpec,
    run_dir: Path,
    device: torch.device,
    *,
    processes: int = 1,
    num_workers: int = 1,
    max_steps: int | None = None,
) -> RunOutlook:
    """Memory, work and use of the records of every stage.

    Works without a store that is missing; builds a store that the run would build. Raises ConfigError for what cannot be
    planned.
    """
    model, settings = spec.on_meta_device(), spec.processor.settings
    is_missing = isinstance(spec.records, StoredRecords) and not spec.records.exist
    data = None if is_missing else open_run_data(spec, run_dir, Replicas())
    stages = spec.stages if data is None else data.stages
    assert not isinstance(stages, EpochStage), "a stage in epochs comes with records"
    sources, outlooks = dict[str, SourceUse](), list[StageOutlook]()
    for stage in shorten(stages, max_steps):
        needs = estimate(model, stage, spec.train, settings, device, processes=processes, num_workers=num_workers)
        work, course = needs.full, None
        if data is not None:
            selection = data.selections[stage.name]
            course = course_in_words(stage, selection)
            work = forecast(selection.plan, stage.steps)
            for name, samples in work.drawn.items():
                rows, index = data.store.sources[name], selection.index
                lowered, refused = (int(np.isin(rows, list(over)).sum()) for over in (index.caps, index.refused))
                lengths = selection.plan.lengths[name]
                assert lengths is not None, "a plan names only sources that exist"
                here = SourceUse(samples=len(lengths), lowered=lowered, refused=refused, drawn=samples)
                sources[name] = combine(sources[name], here) if name in sources else here
        outlooks.append(StageOutlook(needs=needs, work=work, course=course))
    return RunOutlook(stages=tuple(outlooks), sources=None if data is None else sources)


def course_in_words(stage: Stage, selection: Selection) -> str:
    """Samples, epochs, steps and samples a step of a stage; without the epochs where a mixture decides what a step reads."""
    if stage.samples is None:
        return f"{stage.name}: {stage.steps} steps of {stage.packs_per_step} packs"
    count = sum(map(len, selection.plan.lengths.values()))
    fewest, most = stage.samples // stage.steps, -(-stage.samples // stage.steps)
    per_step = str(most) if fewest == most else f"{fewest} or {most}"
    held_out = f" (and {len(selection.held_out)} held out)" if selection.held_out else ""
    return (
        f"{stage.name}: {count} samples{held_out}, {stage.samples / count:.4g} epochs, {stage.steps} steps, "
        f"{per_step} samples a step"
    )


def shorten(stages: Sequence[Stage], max_steps: int | None) -> list[Stage]:
    """The stages that contain the first `max_steps` steps of a run, the last one shortened to them; all stages for None."""
    left, kept = sum(stage.steps for stage in stages) if max_steps is None else max_steps, list[Stage]()
    for stage in stages:
        if left > 0:
            steps = min(stage.steps, left)
            samples = None if stage.samples is None else steps * stage.samples // stage.steps
            kept.append(replace(stage, steps=steps, samples=samples))
        left -= stage.steps
    return kept


def combine(one: SourceUse, other: SourceUse) -> SourceUse:
    """Use of one source in two stages; `samples`, `lowered` and `refused` are those of the stage that has more of them."""
    return SourceUse(
        samples=max(one.samples, other.samples),
        lowered=max(one.lowered, other.lowered),
        refused=max(one.refused, other.refused),
        drawn=one.drawn + other.drawn,
    )
