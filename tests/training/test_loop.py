"""Resumed = unbroken, whatever the number of workers and processes; two processes = one; stages move what they say."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch.distributed.checkpoint.api import CheckpointException, _wrap_exception

from qwen2vl.common.errors import CheckpointError, ConfigError, Qwen2VLError
from qwen2vl.data.plan import Phase
from qwen2vl.data.quarantine import read_failures
from qwen2vl.training import checkpoints
from qwen2vl.training import loop as module
from qwen2vl.training.guard import StepGuard
from qwen2vl.training.loop import Events
from qwen2vl.training.parts import part_of
from qwen2vl.training.run_directory import RunDirectory, read_metrics
from qwen2vl.training.train_config import Rates, TrainConfig

from .conftest import ALL, CONFIG, SOURCES, curve_of, lines_of, stage_of, trainer_of

THREE = (
    stage_of("one", 3, Rates(tower=1e-3, merger=1e-3)),
    stage_of("two", 3, ALL),
    stage_of("three", 3, Rates(decoder=1e-3)),
)


def weights_of(model) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def assert_same(one, other):
    for name, weight in one.items():
        assert torch.equal(weight, other[name]), name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resumed_equals_unbroken_bit_for_bit(tmp_path, store, small_model, precision):
    """Three stages, cut inside a stage and at the border of two, gone on with with other numbers of workers."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    config, whole = replace(CONFIG, precision=precision), small_model().to(dtype)
    trainer_of(tmp_path / "whole", store, whole, THREE, config).train()
    for steps, workers in ((2, 0), (3, 2), (7, 1), (None, 0)):
        model = small_model().to(dtype)
        trainer_of(tmp_path / "parts", store, model, THREE, config, num_workers=workers).train(steps)
    assert curve_of(tmp_path / "parts") == curve_of(tmp_path / "whole")
    assert len(curve_of(tmp_path / "whole")) == 9
    assert_same(weights_of(whole), weights_of(model))


def test_each_stage_moves_exactly_what_it_should(tmp_path, store, small_model):
    model = small_model()
    before = [weights_of(model)]
    for end in (3, 6, 9):
        model = small_model()
        trainer_of(tmp_path, store, model, THREE).train(end)
        before.append(weights_of(model))
    moved = [{part_of(name) for name in old if not torch.equal(old[name], new[name])} for old, new in pairwise(before)]
    assert moved == [{"tower", "merger"}, {"tower", "merger", "decoder"}, {"decoder"}]
    assert_still = {name for name in before[2] if part_of(name) != "decoder"}
    for name in assert_still:
        assert torch.equal(before[2][name], before[3][name]), name
    in_all = {name for name in before[1] if torch.equal(before[1][name], before[2][name])}
    assert not in_all, "every parameter moves in the stage that trains everything"


def test_how_packs_are_accumulated_changes_nothing(tmp_path, store, small_model):
    """Four packs a step: in one row, in two, one by one."""
    curves = []
    for size in (4, 2, 1):
        path = tmp_path / str(size)
        trainer_of(path, store, small_model(), config=replace(CONFIG, packs_per_row=size)).train(4)
        curves.append([(line["loss"], line["gradient_norm"]) for line in lines_of(path)])
    for curve in curves[1:]:
        assert sum(curve, ()) == pytest.approx(sum(curves[0], ()), rel=2e-5)


def test_a_stage_keeps_the_moments_of_what_stays_trained(tmp_path, store, small_model):
    trainer = trainer_of(tmp_path, store, small_model(), THREE)
    trainer.train(6)
    moments = {name: each["exp_avg"].clone() for name, each in trainer.state.optimizer.moments.items()}
    trainer.state.enter_stage(THREE[2])
    assert set(trainer.state.optimizer.moments) < set(moments)
    for name, each in trainer.state.optimizer.moments.items():
        assert each["step"] == 3
        assert torch.equal(each["exp_avg"], moments[name])


def test_a_frozen_tower_has_no_graph(tmp_path, store, small_model, reader):
    model = small_model()
    trainer_of(tmp_path, store, model, [THREE[2]])
    inputs = reader.read(0)
    assert not model.visual(inputs.patches, inputs.grids).requires_grad
    assert model.hidden(inputs).requires_grad


def test_a_frozen_tower_under_a_trained_merger_has_none_either(tmp_path, store, small_model, reader):
    model = small_model()
    trainer_of(tmp_path, store, model, [stage_of(rates=Rates(merger=1e-3, decoder=1e-3))])
    seen = []
    model.visual.blocks[-1].register_forward_hook(lambda module, inputs, output: seen.append(output.requires_grad))
    inputs = reader.read(0)
    assert model.visual(inputs.patches, inputs.grids).requires_grad
    assert seen == [False]


def test_metrics_after_the_restored_step_are_cut_away(tmp_path, store, small_model):
    trainer_of(tmp_path, store, small_model()).train(4)
    for line in ('{"step": 5, "loss": 1.0}\n', '{"step": 6, "lo'):  # written after the save, then killed in mid-line
        with (tmp_path / "metrics.jsonl").open("a") as file:
            file.write(line)
    trainer_of(tmp_path, store, small_model()).train()
    assert [line["step"] for line in lines_of(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert lines_of(tmp_path)[4]["loss"] != 1.0


@pytest.mark.parametrize("damage", ["truncated", "no facts", "half a folder"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, store, small_model, damage, caplog):
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


def test_a_run_whose_checkpoints_do_not_fit_is_not_begun_anew(tmp_path, store, small_model):
    trainer_of(tmp_path, store, small_model()).train(2)
    other = small_model()
    del other.model.layers[1]
    other.model.embed_tokens.weight.data = torch.zeros(10, 128)
    with pytest.raises(CheckpointError, match="does not fit the model or is damaged"):
        trainer_of(tmp_path, store, other).train()
    assert len(lines_of(tmp_path)) == 2


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_afterwards(
    tmp_path, store, small_model, monkeypatch, is_wrapped
):
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


def test_older_checkpoints_go_and_the_best_one_stays(tmp_path, store, small_model):
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


def test_max_steps_stops_early_and_does_not_reshape_the_schedule(tmp_path, store, small_model):
    trainer_of(tmp_path, store, small_model()).train(3)
    rates = [line["learning_rate"]["decoder"] for line in lines_of(tmp_path)]
    assert rates == [stage_of().learning_rates(step)["decoder"] for step in range(3)]


def test_the_rate_warms_up_stays_and_falls():
    stage = replace(stage_of(steps=100, rates=Rates(decoder=1.0)), warmup_steps=10)
    assert [stage.share(step) for step in (0, 9, 50, 70)] == pytest.approx([0.1, 1.0, 1.0, 1.0])
    assert stage.share(85) == pytest.approx(0.5)
    assert 0 < stage.share(99) < 0.05
    cosine = replace(stage, schedule="cosine", decay=1.0, final_rate=0.1)
    assert [cosine.share(step) for step in (50, 99)] == pytest.approx([0.55, 0.1], abs=1e-3)


def test_other_settings_in_the_same_run_are_refused(tmp_path, store, small_model):
    trainer_of(tmp_path, store, small_model()).train(1)
    with pytest.raises(ConfigError, match=r"other settings \(train.clip_norm\)"):
        trainer_of(tmp_path, store, small_model(), config=replace(CONFIG, clip_norm=2.0))
    trainer_of(tmp_path, store, small_model(), config=replace(CONFIG, save_every=5))


def test_a_mixture_may_change_at_a_step_that_lies_ahead(tmp_path, store, small_model):
    """The change is recorded in the settings; changing what was already drawn is refused."""
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


def test_a_line_says_what_a_step_was(tmp_path, store, small_model):
    trainer_of(tmp_path, store, small_model()).train(2)
    line = lines_of(tmp_path)[1]
    assert set(line["loss_by_source"]) <= set(SOURCES)
    assert set(line["loss_by_kind"]) <= {"caption", "multi_image", "video", "text", "interleaved", "agent"}
    assert line["gradient_norm"] == pytest.approx(sum(n**2 for n in line["gradient_norm_by_part"].values()) ** 0.5)
    assert 0 < line["fill_tokens"] <= 1
    assert 0 < line["mfu_with_tower"] < 1
    assert line["visual_tokens"] > 0 < line["text_tokens"]
    assert len(line["plan_digest"]) == 64
    weighted = sum(lines_of(tmp_path)[1]["loss_by_source"].values())
    assert weighted > 0
    assert line["peak_memory_bytes"] > 10**7


def test_bad_steps_are_skipped_and_named_and_end_the_run_when_there_are_too_many(tmp_path, store, small_model, caplog):
    model = small_model()
    with torch.no_grad():
        model.visual.merger.mlp[0].weight[0, 0] = torch.nan
    before = weights_of(model)
    config = replace(CONFIG, max_skipped=2)
    with pytest.raises(
        Qwen2VLError, match=r"step 3: the loss is nan in \S+, 3 skipped steps in a row; samples \w+:\d+"
    ):
        trainer_of(tmp_path, store, model, config=config).train()
    assert "step 1 skipped" in caplog.text
    line = lines_of(tmp_path)[0]
    assert line["skipped"] == "the loss is nan"
    assert line["skipped_samples"]
    for name, weight in weights_of(model).items():
        assert torch.equal(weight.nan_to_num(), before[name].nan_to_num())


def test_a_spike_is_skipped():
    guard = StepGuard(spike=3.0, max_skipped=5)
    assert [guard.judge(loss, 1.0) for loss in [2.0] * 30] == [None] * 30
    assert "over 3 times the median 2.000" in guard.judge(7.0, 1.0)
    assert guard.judge(5.0, 1.0) is None
    assert guard.judge(99.0, 1.0, "a mixture that has just begun") is None
    again = StepGuard(3.0, 5)
    again.restore(json.loads(json.dumps(guard.state())))
    assert again.state() == guard.state()


def test_too_many_unreadable_samples_end_the_run(tmp_path, processor, small_model, monkeypatch):
    from tests.data.conftest import build_store

    (tmp_path / "records").mkdir()
    store = build_store(tmp_path / "records", processor, 12)
    (tmp_path / "records" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    monkeypatch.setattr(module, "MIN_FAILURES", 5)
    with pytest.raises(Qwen2VLError, match="samples could not be read, over the limit of 5%"):
        trainer_of(tmp_path / "run", store, small_model()).train()
    assert all("a.png" in failure.reason for failure in read_failures(tmp_path / "run/quarantine/all"))


SCRIPT = """
import signal
import sys
from pathlib import Path
import torch
from dataclasses import replace
from qwen2vl.data.store import Store
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.init import new_model
from qwen2vl.training.loop import Events
from tests.training.conftest import CONFIG, SMALL, stage_of, trainer_of

if __name__ == "__main__":
    torch.set_num_threads(1)
    path, store, steps, save_every, workers, stop_at = sys.argv[1:]
    length = max(12, int(steps))
    replicas = Replicas.join()
    def on_step(line):
        print(line["step"], flush=True)
        if line["step"] == int(stop_at):
            signal.raise_signal(signal.SIGTERM)

    events = Events(on_step=on_step, validate=lambda model: {})
    config = replace(CONFIG, save_every=int(save_every))
    model, stages = new_model(SMALL, 0), [stage_of(steps=length)]
    trainer = trainer_of(Path(path), Store(store), model, stages, config, events, int(workers), replicas)
    trainer.train(int(steps))
    replicas.leave()
"""


def start(run: Path, store, steps: int, *, save_every=1, workers=0, processes=1, stop_at=0) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    script = run.parent / "script.py"
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), str(script)]
    command += [str(run), str(store.path), str(steps), str(save_every), str(workers), str(stop_at)]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, store):
    folder = tmp_path_factory.mktemp("unbroken")
    from qwen2vl.model.init import new_model

    from .conftest import SMALL

    torch.set_num_threads(1)
    trainer_of(folder / "run", store, new_model(SMALL, 0), [stage_of(steps=12)]).train()
    return curve_of(folder / "run")


def test_a_run_moved_to_two_and_three_processes_and_back_sees_the_same_batches(tmp_path, store, unbroken):
    run = tmp_path / "run"
    for steps, processes in ((3, 1), (6, 2), (8, 1), (12, 3)):
        process = start(run, store, steps, processes=processes)
        process.communicate(timeout=300)
        assert process.returncode == 0
    assert [(step, digest) for step, _, digest in curve_of(run)] == [(step, digest) for step, _, digest in unbroken]
    assert [loss for _, loss, _ in curve_of(run)] == pytest.approx([loss for _, loss, _ in unbroken], rel=2e-5)
    assert curve_of(run)[:3] == unbroken[:3]


def test_a_run_killed_at_any_step_goes_on_bit_for_bit(tmp_path, store, unbroken):
    run = tmp_path / "run"
    for kill_after, workers in ((2, 1), (5, 2), (9, 0)):
        with start(run, store, 12, save_every=2, workers=workers) as process:
            assert process.stdout is not None
            while int(process.stdout.readline()) < kill_after:
                pass
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
    start(run, store, 12, workers=1).communicate(timeout=120)
    assert curve_of(run) == unbroken


@pytest.mark.parametrize("processes", [1, 2])
def test_a_terminated_run_saves_its_last_step(tmp_path, store, processes):
    """The signal goes to the whole group, as a terminal and torchrun send it: workers die at once."""
    with start(tmp_path / "run", store, 100_000, save_every=1000, workers=1, processes=processes) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 3:
            pass
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=120)
    assert (process.returncode == 0) == (processes == 1)  # torchrun itself ends by the signal
    run = RunDirectory(tmp_path / "run", json.loads((tmp_path / "run" / "config.json").read_text()))
    last = lines_of(tmp_path / "run")[-1]["step"]
    assert run.checkpoints.steps() == [last]
    assert 3 <= last < 100_000


def test_one_process_that_is_asked_to_stop_stops_all(tmp_path, store):
    """As `--max-minutes` asks: the first process alone has the signal, and none waits for another."""
    with start(tmp_path / "run", store, 100_000, save_every=1000, processes=2, stop_at=3) as process:
        process.communicate(timeout=120)
    assert process.returncode == 0
    run = RunDirectory(tmp_path / "run", json.loads((tmp_path / "run" / "config.json").read_text()))
    assert run.checkpoints.steps() == [4]


def test_settings_that_cannot_be_are_refused():
    for change, words in (
        ({"save_every": 0}, "save_every is 0"),
        ({"packs_per_row": 0}, "packs_per_row is 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            TrainConfig(**change)
    for change, words in (({"steps": 0}, "steps is 0"), ({"decay": 1.5}, "decay is 1.5")):
        with pytest.raises(ConfigError, match=words):
            replace(stage_of(), **change)
    with pytest.raises(ConfigError, match="one must be over it"):
        Rates()
    with pytest.raises(ConfigError, match="none may be under 0"):
        Rates(tower=-1.0, decoder=1.0)
