"""Checkpoints: a full disk does not damage them, and old ones are deleted."""

import json
from dataclasses import replace

import pytest
from torch.distributed.checkpoint.api import CheckpointException, _wrap_exception

from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.training import checkpoints
from qwen2vl.training.loop import Events
from qwen2vl.training.run_directory import RunDirectory, read_metrics

from .conftest import CONFIG, curve_of, stage_of, trainer_of


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_full_disk_is_one_sentence_and_the_run_can_be_resumed(tmp_path, store, small_model, monkeypatch, is_wrapped):
    trainer_of(tmp_path / "whole", store, small_model()).train()

    def full(*_, **__):
        error = OSError(28, "No space left on device")
        raise CheckpointException("", {0: _wrap_exception(error)}) if is_wrapped else error

    with monkeypatch.context() as patch:
        trainer = trainer_of(tmp_path / "run", store, small_model())
        trainer.train(2)
        patch.setattr(checkpoints, "save_distributed", full)
        with pytest.raises(Qwen2VLError, match="No space left on device.*make room"):
            trainer_of(tmp_path / "run", store, small_model()).train()
    trainer_of(tmp_path / "run", store, small_model()).train()
    assert curve_of(tmp_path / "run") == curve_of(tmp_path / "whole")


def test_old_checkpoints_are_deleted_except_the_best_one(tmp_path, store, small_model):
    losses = iter([2.0, 1.0, 3.0, 4.0])
    events = Events(on_step=lambda line: None, validate=lambda model: {"validation_loss": next(losses)})
    config = replace(CONFIG, save_every=2, validate_every=3)
    trainer_of(tmp_path, store, small_model(), [stage_of(steps=12)], config, events).train()
    checkpoints = RunDirectory(tmp_path, json.loads((tmp_path / "config.json").read_text())).checkpoints
    assert checkpoints.best_step() == 6
    assert checkpoints.steps() == [6, 10, 12]
    assert [line["validation_loss"] for line in read_metrics(tmp_path / "metrics.jsonl") if "loss" not in line] == [
        2.0, 1.0, 3.0, 4.0,
    ]  # fmt: skip
