"""The forecast of a stage, compared with all steps of its plan."""

from collections import Counter
from dataclasses import replace

import pytest

from qwen2vl.data.forecast import forecast
from qwen2vl.data.plan import Cursor, Phase, Plan

from .test_plan import CONFIG, SOURCES, TURNS


def sums_of_plan(plan: Plan, steps: int) -> dict[str, float]:
    cursor, packs = Cursor(), []
    for _ in range(steps):
        here, cursor = plan.step(cursor)
        packs += here
    rows = [sample for pack in packs for sample in pack.samples]
    return {
        "packs": len(packs),
        "samples": len(rows),
        "tokens": sum(int(SOURCES[name].tokens[row]) for name, row in rows),
        "visual_tokens": sum(pack.visual_tokens for pack in packs),
        "flops": sum(pack.flops for pack in packs),
        **Counter(name for name, _ in rows),
    }


def sums_of_forecast(plan: Plan, steps: int) -> dict[str, float]:
    found = forecast(plan, steps)
    sums = {name: getattr(found, name) for name in ("packs", "samples", "tokens", "visual_tokens", "flops")}
    return sums | {name: count for name, count in found.drawn.items() if count}


def test_the_forecast_of_a_short_stage_is_exact():
    plan = Plan(SOURCES, CONFIG)
    assert sums_of_forecast(plan, 3) == pytest.approx(sums_of_plan(plan, 3))


def test_the_forecast_of_a_long_stage_is_within_5_percent():
    plan = Plan(SOURCES, CONFIG)
    assert sums_of_forecast(plan, 200) == pytest.approx(sums_of_plan(plan, 200), rel=0.05)


def test_every_mixture_of_every_phase_counts_for_its_steps():
    plan = Plan(SOURCES, TURNS)
    assert sums_of_forecast(plan, 400) == pytest.approx(
        sums_of_plan(plan, 400), rel=0.2
    )  # the pages are in ten packs only


def test_a_phase_that_is_not_reached_does_not_count():
    later = replace(CONFIG, phases=(Phase(until=2, mixtures=({"pairs": 1},)), Phase(mixtures=({"text": 1},))))
    found = forecast(Plan(SOURCES, later), 2)
    assert found.drawn == {"pairs": found.samples, "text": 0.0}
