"""What the steps of a stage will read, from packing the first windows of every mixture: no record is opened."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from qwen2vl.data.plan import Cursor, Pack, Plan

WINDOWS = 4
"""Of every mixture that are packed; the rest of a stage is taken to be like them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Sums over the steps of a stage, of all processes together."""

    steps: int
    packs: int
    samples: float
    tokens: float
    """Text and visual."""
    visual_tokens: float
    flops: float
    """As MFU counts them: see `lengths.Passes`."""
    drawn: Mapping[str, float]
    """Samples by source."""


def forecast(plan: Plan, steps: int) -> Forecast:
    """Exact for a stage of one mixture that ends within its first windows. Rows of every source must rise."""
    turns: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for step in range(steps):
        turns.setdefault(tuple(plan.config.mixture_at(step).items()), []).append(step)
    sums = dict.fromkeys(("samples", "tokens", "visual_tokens", "flops"), 0.0)
    drawn = dict.fromkeys(plan.lengths, 0.0)
    for its_steps in turns.values():
        steps_seen = _first_steps(plan, its_steps[0], len(its_steps))
        packs = [pack for packs in steps_seen for pack in packs]
        scale = len(its_steps) / len(steps_seen)
        rows = [sample for pack in packs for sample in pack.samples]
        sums["samples"] += scale * len(rows)
        sums["visual_tokens"] += scale * sum(pack.visual_tokens for pack in packs)
        sums["flops"] += scale * sum(pack.flops for pack in packs)
        for name in {name for name, _ in rows}:
            its_rows = np.array([row for source, row in rows if source == name])
            lengths = plan.lengths[name]
            assert lengths is not None
            sums["tokens"] += scale * float(lengths.tokens[np.searchsorted(lengths.rows, its_rows)].sum())
            drawn[name] += scale * len(its_rows)
    return Forecast(steps=steps, packs=steps * plan.config.packs_per_step, drawn=drawn, **sums)


def _first_steps(plan: Plan, first: int, most: int) -> list[list[Pack]]:
    """Packs of the steps that one mixture has, until its first windows are used up."""
    cursor, found = Cursor(step=first), list[list[Pack]]()
    while len(found) < most and all(window.number < WINDOWS for window in cursor.windows.values()):
        packs, cursor = plan.step(replace(cursor, step=first))
        found.append(packs)
    return found
