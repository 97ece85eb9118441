"""Settings of a run: the schedule of the learning rate, and impossible values."""

from dataclasses import replace

import pytest

from qwen2vl.common.errors import ConfigError
from qwen2vl.training.train_config import Rates, TrainConfig

from .conftest import stage_of


def test_the_learning_rate_rises_stays_and_falls():
    stage = replace(stage_of(steps=100, rates=Rates(decoder=1.0)), warmup_steps=10)
    assert [stage.share(step) for step in (0, 9, 50, 70)] == pytest.approx([0.1, 1.0, 1.0, 1.0])
    assert stage.share(85) == pytest.approx(0.5)
    assert 0 < stage.share(99) < 0.05
    cosine = replace(stage, schedule="cosine", decay=1.0, final_rate=0.1)
    assert [cosine.share(step) for step in (50, 99)] == pytest.approx([0.55, 0.1], abs=1e-3)


def test_impossible_settings_are_refused():
    for change, words in (
        ({"save_every": 0}, "save_every is 0"),
        ({"packs_per_row": 0}, "packs_per_row is 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            TrainConfig(**change)
    for change, words in (({"steps": 0}, "steps is 0"), ({"decay": 1.5}, "decay is 1.5")):
        with pytest.raises(ConfigError, match=words):
            replace(stage_of(), **change)
    with pytest.raises(ConfigError, match="one must be above 0"):
        Rates()
    with pytest.raises(ConfigError, match="none may be below 0"):
        Rates(tower=-1.0, decoder=1.0)
