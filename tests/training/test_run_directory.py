"""A run directory refuses other settings; its metrics are those of the steps that count."""

import json
from dataclasses import replace

import pytest

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.plan import Phase

from .conftest import CONFIG, lines_of, stage_of, trainer_of


def test_metrics_after_the_restored_step_are_removed(tmp_path, store, small_model):
    trainer_of(tmp_path, store, small_model()).train(4)
    for line in (
        '{"step": 5, "loss": 1.0}\n',
        '{"step": 6, "lo',
    ):  # written after the checkpoint; the last line is incomplete
        with (tmp_path / "metrics.jsonl").open("a") as file:
            file.write(line)
    trainer_of(tmp_path, store, small_model()).train()
    assert [line["step"] for line in lines_of(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert lines_of(tmp_path)[4]["loss"] != 1.0


def test_other_settings_are_refused(tmp_path, store, small_model):
    trainer_of(tmp_path, store, small_model()).train(1)
    with pytest.raises(ConfigError, match=r"other settings \(train.clip_norm\)"):
        trainer_of(tmp_path, store, small_model(), config=replace(CONFIG, clip_norm=2.0))
    trainer_of(tmp_path, store, small_model(), config=replace(CONFIG, save_every=5))


def test_a_mixture_may_change_at_a_step_that_is_not_reached(tmp_path, store, small_model):
    """The change is written to the settings; a change of steps that are done is refused."""
    stage = stage_of()
    trainer_of(tmp_path, store, small_model(), [stage]).train(4)
    (old,) = stage.phases
    later = replace(stage, phases=(replace(old, until=4), Phase(mixtures=({"text": 1},))))
    trainer_of(tmp_path, store, small_model(), [later]).train()
    assert set(lines_of(tmp_path)[3]["loss_by_source"]) > {"text"}
    assert [set(line["loss_by_source"]) for line in lines_of(tmp_path)[4:]] == [{"text"}] * 2
    assert json.loads((tmp_path / "config.json").read_text())["all"]["phases"][0]["until"] == 4
    past = replace(stage, phases=(replace(old, until=3), Phase(mixtures=({"text": 1},))))
    with pytest.raises(ConfigError, match=r"other settings \(all.phases\)"):
        trainer_of(tmp_path, store, small_model(), [past])
