"""The length of a run in epochs: exact numbers of samples, at least 8 steps an epoch and 60 in all unless given."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.plan import Budgets, Cursor, Lengths, Phase, Plan, PlanConfig
from qwen2vl.training.epochs import Course, course_of
from qwen2vl.training.run_spec import EpochStage
from qwen2vl.training.train_config import Rates

STAGE = EpochStage(
    name="finetune", rates=Rates(decoder=1e-5), budgets=Budgets(tokens=4096, visual_tokens=4096, media=256)
)


@pytest.mark.parametrize(
    ("count", "settings", "samples", "steps"),
    [
        (1, {}, 60, 60),
        (62, {}, 8 * 62, 64),
        (62, {"epochs": 3}, 3 * 62, 24),
        (62, {"epochs": 3, "batch": 4}, 3 * 62, 47),
        (62, {"epochs": 2.5}, 155, 20),
        (5, {"epochs": 1}, 5, 5),
        (200, {}, 600, 75),
        (200, {"batch": 50}, 1600, 64),
        (10_000, {}, 30_000, 3750),
        (10_000, {"batch": 64}, 30_000, 469),
        (62, {"steps": 24}, 186, 24),
        (1, {"steps": 24}, 24, 24),
        (200, {"tokens": 128, "packs_per_step": 1, "epochs": 4}, 800, 645),
    ],
)
def test_the_course_follows_from_the_number_of_samples(count, settings, samples, steps):
    tokens, rest = settings.get("tokens", 4096), {k: v for k, v in settings.items() if k != "tokens"}
    stage = replace(STAGE, budgets=replace(STAGE.budgets, tokens=tokens), **rest)
    course = course_of(stage, np.full(count, 100))
    assert (course.samples, course.steps) == (samples, steps)


def test_packs_of_a_step_are_bounded():
    assert course_of(STAGE, np.full(100, 500)).most_packs == 1
    assert course_of(STAGE, np.full(100, 2000)).most_packs == 8


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"epochs": 0}, "--epochs is 0: it must be over 0"),
        ({"epochs": -1}, "--epochs is -1"),
        ({"epochs": float("nan")}, "--epochs is nan"),
        ({"batch": 0}, "--batch is 0: it must be at least 1"),
        ({"steps": 0}, "--steps is 0"),
        ({"packs_per_step": -2}, "--packs-per-step is -2"),
        ({"epochs": 2, "steps": 5}, "give one of them"),
    ],
)
def test_a_length_that_is_none_is_refused(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        course_of(replace(STAGE, **settings), np.full(62, 100))


@pytest.mark.parametrize("sizes", [{"all": 62}, {"many": 50, "few": 12}])
def test_every_sample_is_read_once_in_every_epoch(sizes):
    """62 samples three times: 24 steps of 7 or 8, whatever the packs of a step."""
    first, sources = 0, {}
    for name, size in sizes.items():
        ones = np.ones(size, dtype=np.int64)
        tokens = np.random.default_rng(1).integers(50, 1000, size)
        rows = first + np.arange(size)
        sources[name] = Lengths(rows=rows, tokens=tokens, visual_tokens=tokens // 2, media=ones, flops=tokens * 1.0)
        first += size
    course = Course(samples=186, steps=24, most_packs=4)
    plan = Plan(
        sources,
        PlanConfig(
            phases=(Phase(mixtures=(sizes,)),),
            budgets=Budgets(tokens=2000, visual_tokens=2000, media=4),
            packs_per_step=1,
            samples=course.samples,
            steps=course.steps,
        ),
    )
    read, cursor, per_step = [], Cursor(), []
    for _ in range(course.steps):
        packs, cursor = plan.step(Cursor.from_dict(cursor.to_dict()))
        per_step.append(sum(len(pack.samples) for pack in packs))
        read += [sample for pack in packs for sample in pack.samples]
    assert set(per_step) == {7, 8}
    assert set(Counter(read).values()) == {3}
    assert {len(set(read[epoch * 62 : epoch * 62 + 62])) for epoch in range(3)} <= set(range(58, 63)), (
        "packs are shuffled"
    )
