"""Forecast of what the steps of a stage read, from the first windows of every mixture. No record is opened."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from qwen2vl.data.plan import Cursor, Pack, Plan

DRAWS = 8192
"""Number of draws of every mixture that are packed; the rest of a stage is assumed to be like them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Sums over the steps of a stage and over all processes."""

    steps: int
    packs: int
    samples: float
    tokens: float
    """Number of tokens, text and visual."""
    visual_tokens: float
    flops: float
    """FLOPs as MFU counts them, see `lengths.Passes`."""
    drawn: Mapping[str, float]
    """Source -> number of its samples."""


def forecast(plan: Plan, steps: int) -> Forecast:
    """Forecast the first steps of a plan; exact for one mixture whose steps end within the first `DRAWS` draws.

    The rows of every source must be in ascending order.
    """
    steps_of: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for step in range(steps):
        steps_of.setdefault(tuple(plan.config.mixture_at(step).items()), []).append(step)
    sums = dict.fromkeys(("samples", "tokens", "visual_tokens", "flops"), 0.0)
    drawn, num_packs = dict.fromkeys(plan.lengths, 0.0), 0.0
    for numbers in steps_of.values():
        packed_steps = _first_steps(plan, numbers[0], len(numbers))
        packs = [pack for packs in packed_steps for pack in packs]
        scale = len(numbers) / len(packed_steps)
        num_packs += scale * len(packs)
        rows = [sample for pack in packs for sample in pack.samples]
        sums["samples"] += scale * len(rows)
        sums["visual_tokens"] += scale * sum(pack.visual_tokens for pack in packs)
        sums["flops"] += scale * sum(pack.flops for pack in packs)
        for name in {name for name, _ in rows}:
            rows_of_source = np.array([row for source, row in rows if source == name])
            lengths = plan.lengths[name]
            sums["tokens"] += scale * float(lengths.tokens[np.searchsorted(lengths.rows, rows_of_source)].sum())
            drawn[name] += scale * len(rows_of_source)
    return Forecast(steps=steps, packs=round(num_packs), drawn=drawn, **sums)


def _first_steps(plan: Plan, first: int, most: int) -> list[list[Pack]]:
    """Packs of at most `most` steps of one mixture, whose first step is `first`, until its first draws are used up."""
    cursor, found = Cursor(step=first), list[list[Pack]]()
    while len(found) < most and all(
        plan.config.draws_of(window.number)[0] < DRAWS for window in cursor.windows.values()
    ):
        packs, cursor = plan.step(replace(cursor, step=first))
        found.append(packs)
    return found
