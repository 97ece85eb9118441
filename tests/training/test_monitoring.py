"""TensorBoard holds what metrics.jsonl holds, after a resume too; a trace names the operators and changes nothing."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qwen2vl.common.errors import ConfigError
from qwen2vl.training.monitoring import scalars_of
from qwen2vl.training.run_directory import read_metrics
from qwen2vl.training.train_config import TrainConfig

from .conftest import CONFIG, WITH_HELD_OUT, curve_of, trainer_of

WITH_TENSORBOARD = replace(CONFIG, tensorboard=True)


def scalars_in(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def logged(run: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for line in read_metrics(run / "metrics.jsonl"):
        for name, value in scalars_of(line):
            found.setdefault(name, []).append((line["step"], pytest.approx(value, rel=1e-6)))
    return found


def test_tensorboard_holds_the_metrics_after_a_resume_too(tmp_path, store, small_model):
    """The newest checkpoints are lost, so that steps and a validation are logged twice."""
    figures = iter(range(10))
    events = replace(
        WITH_HELD_OUT, validate=lambda model: {"validation_loss": float(next(figures)), "exact": {"count": 0.5}}
    )
    trainer_of(tmp_path, store, small_model(), config=WITH_TENSORBOARD, events=events).train(4)
    shutil.rmtree(tmp_path / "checkpoints/step-4")
    shutil.rmtree(tmp_path / "checkpoints/step-3")
    trainer_of(tmp_path, store, small_model(), config=WITH_TENSORBOARD, events=events).train()
    scalars = scalars_in(tmp_path / "tensorboard")
    assert scalars == logged(tmp_path)
    assert [step for step, _ in scalars["loss"]] == [1, 2, 3, 4, 5, 6]
    assert scalars["validation_loss"] == [(3, 1.0), (6, 2.0)]
    assert {"learning_rate/tower", "gradient_norm_by_part/decoder", "exact/count", "data_wait_s"} <= set(scalars)
    assert any(name.startswith("loss_by_source/") for name in scalars)


def test_only_numbers_become_scalars():
    line = {"step": 3, "steps": 9, "stage": "one", "loss": 1.5, "skipped_samples": ["a:1"], "exact": {"a@0.5": 1}}
    assert dict(scalars_of(line)) == {"loss": 1.5, "exact/a@0.5": 1}


def test_a_missing_package_is_an_error_before_the_first_step(tmp_path, store, small_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r'pip install "qwen2vl\[train\]"'):
        trainer_of(tmp_path, store, small_model(), config=WITH_TENSORBOARD).train()
    assert curve_of(tmp_path) == []


def test_a_trace_names_the_operators_of_the_steps_and_changes_nothing(tmp_path, store, small_model):
    trainer_of(tmp_path / "plain", store, small_model()).train()
    trainer_of(tmp_path / "traced", store, small_model(), config=replace(CONFIG, profile_steps=2)).train()
    events = json.loads((tmp_path / "traced/profile/trace.json").read_text())["traceEvents"]
    names = {event.get("name") for event in events}
    assert {"aten::mm", "aten::embedding", "aten::native_layer_norm"} <= names
    assert {name for name in names if str(name).startswith("ProfilerStep#")} == {"ProfilerStep#3", "ProfilerStep#4"}
    assert "aten::mm" in (tmp_path / "traced/profile/operators.txt").read_text()
    assert curve_of(tmp_path / "traced") == curve_of(tmp_path / "plain")
    assert not (tmp_path / "plain/profile").exists()


def test_a_run_too_short_for_a_trace_warns(tmp_path, store, small_model, caplog):
    trainer_of(tmp_path, store, small_model(), config=replace(CONFIG, profile_steps=2)).train(2)
    assert "nothing was traced" in caplog.text
    with pytest.raises(ConfigError, match="profile_steps is -1"):
        TrainConfig(profile_steps=-1)
