"""A resumed run equals an uninterrupted one, at the borders of stages too; damaged checkpoints are not used."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from qwen2vl.common.errors import CheckpointError
from qwen2vl.data.plan import Phase
from qwen2vl.training import guard
from qwen2vl.training.parts import part_of
from qwen2vl.training.train_config import Rates

from .conftest import CONFIG, SOURCES, THREE_STAGES, curve_of, lines_of, stage_of, trainer_of, weights_of


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path, store, small_model, precision):
    """Three stages, interrupted inside a stage and at the border of two, resumed with other numbers of workers."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    config, whole = replace(CONFIG, precision=precision), small_model().to(dtype)
    trainer_of(tmp_path / "whole", store, whole, THREE_STAGES, config).train()
    for steps, workers in ((2, 0), (3, 2), (7, 1), (None, 0)):
        model = small_model().to(dtype)
        trainer_of(tmp_path / "parts", store, model, THREE_STAGES, config, num_workers=workers).train(steps)
    assert curve_of(tmp_path / "parts") == curve_of(tmp_path / "whole")
    assert len(curve_of(tmp_path / "whole")) == 9
    other = weights_of(model)
    for name, weight in weights_of(whole).items():
        assert torch.equal(weight, other[name]), name


def test_a_resumed_run_with_skipped_steps_equals_an_uninterrupted_one(tmp_path, store, small_model, monkeypatch):
    """Interrupted at every kind of place: before a skip, while steps wait, and where they are done again."""
    monkeypatch.setattr(guard, "FLOOR", 0.0)
    monkeypatch.setattr(guard, "MIN_STEPS", 1)
    monkeypatch.setattr(guard, "FADE", 0.5)  # so that the gradients of some steps are over the scale
    config, whole = replace(CONFIG, spike=1.1, max_skipped=1.0, save_every=100), small_model()
    stages = (stage_of("one", 9), stage_of("two", 3, Rates(decoder=1e-3)))
    trainer_of(tmp_path / "whole", store, whole, stages, config).train()
    waiting = []
    for steps in (2, 7, 9, 10, None):
        model = small_model()
        trainer = trainer_of(tmp_path / "parts", store, model, stages, config, num_workers=steps == 7)
        trainer.train(steps)
        waiting.append(len(trainer.state.skipped))
    assert max(waiting) > 0 == waiting[-1], "some steps waited over an interruption"
    names = ("step", "loss", "gradient_norm", "plan_digest", "skipped", "repeats")
    lines = [[[line.get(name) for name in names] for line in lines_of(tmp_path / run)] for run in ("whole", "parts")]
    assert lines[0] == lines[1]
    assert any(line[-1] for line in lines[0])
    other = weights_of(model)
    for name, weight in weights_of(whole).items():
        assert torch.equal(weight, other[name]), name


def test_steps_of_an_epoch_that_are_skipped_wait_for_its_end(tmp_path, store, small_model, monkeypatch):
    """Where a step is a window: 144 samples are two epochs of three steps."""
    all_limits = guard.StepGuard.limit
    tight = lambda self, mixture: 1e-9 if self.scales.get(mixture, (0, 0))[1] in (1, 4) else all_limits(self, mixture)  # noqa: E731
    monkeypatch.setattr(guard.StepGuard, "limit", tight)
    by_size = (Phase(mixtures=(dict.fromkeys(SOURCES, 12),)),)
    stage = replace(stage_of("one", 6), samples=144, phases=by_size)
    assert stage.steps_per_epoch == 3
    config = replace(CONFIG, max_skipped=1.0)
    trainer_of(tmp_path / "whole", store, small_model(), [stage], config).train()
    for steps in (2, None):
        trainer = trainer_of(tmp_path / "parts", store, small_model(), [stage], config)
        trainer.train(steps)
    lines = [
        [(line["plan_digest"], line.get("repeats"), "skipped" in line) for line in lines_of(tmp_path / run)]
        for run in ("whole", "parts")
    ]
    assert lines[0] == lines[1]
    assert [line[2] for line in lines[0]] == [False, True, False, True, False, False]
    repeats = {step: [each["stage_step"] for each in line[1]] for step, line in enumerate(lines[0], 1) if line[1]}
    assert repeats == {3: [2], 6: [4]}


def test_each_stage_changes_the_parts_it_trains_and_no_others(tmp_path, store, small_model):
    model = small_model()
    weights = [weights_of(model)]
    for end in (3, 6, 9):
        model = small_model()
        trainer_of(tmp_path, store, model, THREE_STAGES).train(end)
        weights.append(weights_of(model))
    changed = [{name for name in old if not torch.equal(old[name], new[name])} for old, new in pairwise(weights)]
    assert [set(map(part_of, names)) for names in changed] == [
        {"tower", "merger"}, {"tower", "merger", "decoder"}, {"decoder"},
    ]  # fmt: skip
    assert changed[1] == set(weights[0]), "every parameter changes in the stage that trains all parts"


def test_parameters_that_stay_trained_keep_their_moments(tmp_path, store, small_model):
    trainer = trainer_of(tmp_path, store, small_model(), THREE_STAGES)
    trainer.train(6)
    moments = {name: each["exp_avg"].clone() for name, each in trainer.state.optimizer.moments.items()}
    trainer.state.enter_stage(THREE_STAGES[2])
    assert set(trainer.state.optimizer.moments) < set(moments)
    for name, each in trainer.state.optimizer.moments.items():
        assert each["step"] == 3
        assert torch.equal(each["exp_avg"], moments[name])


@pytest.mark.parametrize("damage", ["truncated", "no facts", "half a folder"])
def test_a_damaged_checkpoint_is_not_used(tmp_path, store, small_model, damage, caplog):
    trainer_of(tmp_path / "whole", store, small_model()).train()
    trainer_of(tmp_path / "run", store, small_model()).train(4)
    newest = tmp_path / "run/checkpoints/step-4"
    if damage == "truncated":
        file = max(newest.iterdir(), key=lambda file: file.stat().st_size)
        file.write_bytes(file.read_bytes()[:1000])
    else:
        (newest / "run.json").unlink()
    if damage == "half a folder":
        newest.rename(newest.with_name(".step-4.123"))
    trainer = trainer_of(tmp_path / "run", store, small_model())
    assert trainer.run_directory.checkpoints.steps() == [2]
    trainer.train()
    assert ("step-4 is not whole" in caplog.text) == (damage != "half a folder")
    assert curve_of(tmp_path / "run") == curve_of(tmp_path / "whole")


def test_a_run_whose_checkpoints_do_not_fit_does_not_start_from_scratch(tmp_path, store, small_model):
    trainer_of(tmp_path, store, small_model()).train(2)
    other = small_model()
    del other.model.layers[1]
    other.model.embed_tokens.weight.data = torch.zeros(10, 128)
    with pytest.raises(CheckpointError, match="does not fit the model or is damaged"):
        trainer_of(tmp_path, store, other).train()
    assert len(lines_of(tmp_path)) == 2
