"""A run before it begins: what its stages need, and what they will read where the store is there already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from qwen2vl.data.forecast import Forecast, forecast
from qwen2vl.data.lengths import Index
from qwen2vl.data.plan import Plan
from qwen2vl.data.store import Store
from qwen2vl.training.estimate import Estimate, estimate
from qwen2vl.training.run import DataSource, Prepared
from qwen2vl.training.train_config import Stage, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlan:
    """One source over the whole run."""

    samples: int
    """That can be drawn."""
    lowered: int
    """Brought under the budget by lower pixel limits."""
    refused: int
    """That fit in no pack."""
    drawn: float

    @property
    def epochs(self) -> float:
        return self.drawn / self.samples


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    needs: Estimate
    work: Forecast
    """From the store, or of full packs without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    stages: tuple[StagePlan, ...]
    sources: Mapping[str, SourcePlan] | None
    """None without a store."""


def plan_run(
    prepared: Prepared,
    config: TrainConfig,
    run_dir: Path,
    device: torch.device,
    *,
    processes: int = 1,
    num_workers: int = 1,
    max_steps: int | None = None,
) -> RunPlan:
    """Builds no model and reads no image. Raises ConfigError for what cannot be planned."""
    model, settings = prepared.outline(), prepared.processor.settings
    data = None
    if prepared.has_store:
        data = DataSource(prepared.open_store(run_dir), prepared.processor, config.seed, prepared.held_out)
    sources, planned = dict[str, SourcePlan](), list[StagePlan]()
    for stage in shortened(prepared.stages, max_steps):
        needs = estimate(model, stage, config, settings, device, processes=processes, num_workers=num_workers)
        work = needs.full
        if data is not None:
            index, read = data.indexed(stage)
            work = forecast(read.plan, stage.steps)
            for name in work.drawn:
                sources[name] = counted(name, sources.get(name), data.store, index, read.plan, work)
        planned.append(StagePlan(needs=needs, work=work))
    return RunPlan(stages=tuple(planned), sources=None if data is None else sources)


def shortened(stages: Sequence[Stage], max_steps: int | None) -> list[Stage]:
    """The stages that a run of so many steps comes to, the last one as long as it gets."""
    left, kept = sum(stage.steps for stage in stages) if max_steps is None else max_steps, list[Stage]()
    for stage in stages:
        if left > 0:
            kept.append(replace(stage, steps=min(stage.steps, left)))
        left -= stage.steps
    return kept


def counted(name: str, before: SourcePlan | None, store: Store, index: Index, plan: Plan, work: Forecast) -> SourcePlan:
    """A source after one more stage; of samples over a budget, those of the stage that has most of them."""
    rows, lengths = store.sources[name], plan.lengths[name]
    assert lengths is not None, "a plan names no source that is not there"
    lowered, refused = (int(np.isin(rows, list(over)).sum()) for over in (index.caps, index.refused))
    return SourcePlan(
        samples=max(len(lengths), before.samples if before else 0),
        lowered=max(lowered, before.lowered if before else 0),
        refused=max(refused, before.refused if before else 0),
        drawn=work.drawn[name] + (before.drawn if before else 0),
    )
