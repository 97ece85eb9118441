"""Steps and their metrics; signals, kills and any number of processes and workers lead to the same run."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.data.quarantine import read_failures
from qwen2vl.model.init import new_model
from qwen2vl.training import guard as guard_module
from qwen2vl.training import loop as module
from qwen2vl.training.guard import Fault, StepGuard
from qwen2vl.training.run_directory import RunDirectory
from tests.data.conftest import build_store

from .conftest import CONFIG, SMALL, SOURCES, curve_of, lines_of, stage_of, trainer_of, weights_of


def test_the_number_of_packs_per_row_does_not_change_the_result(tmp_path, store, small_model):
    """A step of four packs, in one row, in two rows, in four."""
    curves = []
    for size in (4, 2, 1):
        path = tmp_path / str(size)
        trainer_of(path, store, small_model(), config=replace(CONFIG, packs_per_row=size)).train(4)
        curves.append([(line["loss"], line["gradient_norm"]) for line in lines_of(path)])
    for curve in curves[1:]:
        assert sum(curve, ()) == pytest.approx(sum(curves[0], ()), rel=2e-5)


def test_max_steps_stops_early_and_does_not_change_the_schedule(tmp_path, store, small_model):
    trainer_of(tmp_path, store, small_model()).train(3)
    rates = [line["learning_rate"]["decoder"] for line in lines_of(tmp_path)]
    assert rates == [stage_of().learning_rates(step)["decoder"] for step in range(3)]


def test_a_line_of_metrics_describes_its_step(tmp_path, store, small_model):
    trainer_of(tmp_path, store, small_model()).train(2)
    line = lines_of(tmp_path)[1]
    assert set(line["loss_by_source"]) <= set(SOURCES)
    assert set(line["loss_by_kind"]) <= {"caption", "multi_image", "video", "text", "interleaved", "agent"}
    assert line["gradient_norm"] == pytest.approx(sum(n**2 for n in line["gradient_norm_by_part"].values()) ** 0.5)
    assert 0 < line["fill_tokens"] <= 1
    assert 0 < line["mfu_with_tower"] < 1
    assert line["visual_tokens"] > 0 < line["text_tokens"]
    assert len(line["plan_digest"]) == 64
    assert sum(line["loss_by_source"].values()) > 0
    assert line["peak_memory_bytes"] > 10**7


def test_steps_that_are_not_finite_are_skipped_and_too_many_end_the_run(tmp_path, store, small_model, caplog):
    model = small_model()
    with torch.no_grad():
        model.visual.merger.mlp[0].weight[0, 0] = torch.nan
    before = weights_of(model)
    config = replace(CONFIG, max_skipped=0.01)
    message = r"step 3: 3 of the last 200 steps were skipped \(loss not finite 3\), .* the loss is nan in \S+; samples \w+:\d+"
    with pytest.raises(Qwen2VLError, match=message):
        trainer_of(tmp_path, store, model, config=config).train()
    assert "step 1 skipped: the loss is nan in visual.patch_embed.proj.weight; it is done again later" in caplog.text
    line = lines_of(tmp_path)[0]
    assert line["skipped"] == "the loss is nan"
    assert line["skipped_samples"]
    for name, weight in weights_of(model).items():
        assert torch.equal(weight.nan_to_num(), before[name].nan_to_num())


def test_a_skipped_step_is_done_again_with_its_packs_and_its_learning_rate(tmp_path, store, small_model, monkeypatch):
    """A step of four packs; steps 3 and 12 are skipped. A window holds three to four steps."""
    judged, rates = [], []

    def judge(guard, loss, norm, mixture, *, supervised):
        judged.append(norm)
        return Fault("gradient norm too large", "the test says so") if len(judged) in (3, 13) else None

    def update(optimizer, rates_of_step, divisor, max_norm):
        rates.append(rates_of_step["decoder"])
        optimizer.clear()

    trainer = trainer_of(tmp_path, store, small_model(), [stage_of(steps=12)])
    monkeypatch.setattr(StepGuard, "judge", judge)
    monkeypatch.setattr(type(trainer.state.optimizer), "step", update)
    trainer.train()
    lines = lines_of(tmp_path)
    assert [line["step"] for line in lines if "skipped" in line] == [3, 12]
    repeats = {line["step"]: line["repeats"] for line in lines if "repeats" in line}
    later = min(repeats)
    assert 3 < later < 10 and set(repeats) == {later, 12}, "the windows end between, and the stage ends"
    for step, line in ((later, lines[2]), (12, lines[11])):
        (repeat,) = repeats[step]
        assert repeat["plan_digest"] == line["plan_digest"]
        assert repeat["loss"] == pytest.approx(line["loss"], abs=1e-6), "no weight was changed"
    order = [
        stage_of(steps=12).learning_rates(step)["decoder"]
        for step in (0, 1, *range(3, later), 2, *range(later, 11), 11)
    ]
    assert rates == order
    assert trainer.state.guard.summary == "2 steps skipped (gradient norm too large 2), 2 of them trained on later"


def test_a_step_that_spikes_again_is_taken_with_its_gradient_clipped(tmp_path, store, small_model, monkeypatch):
    monkeypatch.setattr(guard_module, "FLOOR", 0.0)
    monkeypatch.setattr(guard_module, "MIN_STEPS", 1)
    config, stage = replace(CONFIG, spike=2.0, clip_norm=1e9), stage_of(steps=3)
    trainer = trainer_of(tmp_path, store, small_model(), [stage], config)
    trainer.state.guard.scales[stage.stream_at(0)] = (1e-3, 1)
    norms = []

    def note_norms(adamw, *_):
        norms.append(sum(float(p.grad.square().sum()) for group in adamw.param_groups for p in group["params"]) ** 0.5)

    handle = register_optimizer_step_pre_hook(note_norms)
    trainer.train()
    handle.remove()
    lines = lines_of(tmp_path)
    assert all(line["gradient_norm"] > 1.0 and "skipped" in line for line in lines)
    assert trainer.state.guard.done_later == len(norms) == 3
    # The limit doubles with every spike, from 0.002, and there are at most five before the last one.
    assert all(0.0039 < norm < 0.0641 for norm in norms)


def test_a_step_that_is_not_finite_again_is_left_out(tmp_path, store, small_model, monkeypatch):
    """The last step of the stage, so that its repeat follows at once."""
    judged = []

    def judge(guard, loss, norm, mixture, *, supervised):
        judged.append(norm)
        return Fault("gradients not finite", "the test says so") if len(judged) > 1 else None

    monkeypatch.setattr(StepGuard, "judge", judge)
    trainer = trainer_of(tmp_path, store, small_model(), [stage_of(steps=2)])
    trainer.train()
    assert len(judged) == 3
    assert lines_of(tmp_path)[-1]["repeats"][0]["skipped"] == "the test says so"
    assert trainer.state.skipped == []
    assert trainer.state.guard.summary == "1 step skipped (gradients not finite 1), 0 of them trained on later"


def test_too_many_unreadable_samples_end_the_run(tmp_path, processor, small_model, monkeypatch):
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
from qwen2vl.training import guard
from qwen2vl.training.loop import Events
from tests.training.conftest import CONFIG, SMALL, stage_of, trainer_of

if __name__ == "__main__":
    torch.set_num_threads(1)
    path, store, steps, save_every, workers, stop_at, spike = sys.argv[1:]
    length = max(12, int(steps))
    replicas = Replicas.join()
    def on_step(line):
        print(line["step"], flush=True)
        if line["step"] == int(stop_at):
            signal.raise_signal(signal.SIGTERM)

    events = Events(on_step=on_step, validate=lambda model: {})
    config = replace(CONFIG, save_every=int(save_every))
    if float(spike):
        guard.FLOOR, guard.MIN_STEPS, guard.FADE = 0.0, 1, 0.5
        config = replace(config, spike=float(spike), max_skipped=1.0)
    model, stages = new_model(SMALL, 0), [stage_of(steps=length)]
    trainer = trainer_of(Path(path), Store(store), model, stages, config, events, int(workers), replicas)
    trainer.train(int(steps))
    replicas.leave()
"""


def start(
    run: Path, store, steps: int, *, save_every=1, workers=0, processes=1, stop_at=0, spike=0.0
) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    script = run.parent / "script.py"
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), str(script)]
    command += [str(run), str(store.path), str(steps), str(save_every), str(workers), str(stop_at), str(spike)]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, store):
    folder = tmp_path_factory.mktemp("uninterrupted")
    torch.set_num_threads(1)
    trainer_of(folder / "run", store, new_model(SMALL, 0), [stage_of(steps=12)]).train()
    return curve_of(folder / "run")


def test_a_run_may_change_its_number_of_processes(tmp_path, store, uninterrupted):
    run = tmp_path / "run"
    for steps, processes in ((3, 1), (6, 2), (8, 1), (12, 3)):
        process = start(run, store, steps, processes=processes)
        process.communicate(timeout=300)
        assert process.returncode == 0
    assert [(step, digest) for step, _, digest in curve_of(run)] == [
        (step, digest) for step, _, digest in uninterrupted
    ]
    assert [loss for _, loss, _ in curve_of(run)] == pytest.approx([loss for _, loss, _ in uninterrupted], rel=2e-5)
    assert curve_of(run)[:3] == uninterrupted[:3]


def test_processes_agree_on_skipped_steps_and_do_them_again_together(tmp_path, store, monkeypatch):
    """One process is interrupted while a skipped step waits; two continue."""
    monkeypatch.setattr(guard_module, "FLOOR", 0.0)
    monkeypatch.setattr(guard_module, "MIN_STEPS", 1)
    monkeypatch.setattr(guard_module, "FADE", 0.5)  # so that the gradients of some steps are over the scale
    config = replace(CONFIG, spike=1.1, max_skipped=1.0, save_every=100)
    trainer_of(tmp_path / "alone", store, new_model(SMALL, 0), [stage_of(steps=12)], config).train()
    alone = lines_of(tmp_path / "alone")
    first = next(line["step"] for line in alone if "skipped" in line)
    trainer_of(tmp_path / "run", store, new_model(SMALL, 0), [stage_of(steps=12)], config).train(first)
    process = start(tmp_path / "run", store, 12, save_every=100, processes=2, spike=1.1)
    process.communicate(timeout=300)
    assert process.returncode == 0
    together = lines_of(tmp_path / "run")
    assert [line["step"] for line in alone if "skipped" in line] == [
        line["step"] for line in together if "skipped" in line
    ]
    for one, two in zip(alone, together, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=5e-5)
        for repeat, other in zip(one.get("repeats", ()), two.get("repeats", ()), strict=True):
            assert repeat["plan_digest"] == other["plan_digest"]
            assert repeat["loss"] == pytest.approx(other["loss"], rel=5e-5)


def test_a_run_killed_at_any_step_resumes_bit_for_bit(tmp_path, store, uninterrupted):
    run = tmp_path / "run"
    for kill_after, workers in ((2, 1), (5, 2), (9, 0)):
        with start(run, store, 12, save_every=2, workers=workers) as process:
            assert process.stdout is not None
            while int(process.stdout.readline()) < kill_after:
                pass
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
    start(run, store, 12, workers=1).communicate(timeout=120)
    assert curve_of(run) == uninterrupted


@pytest.mark.parametrize("processes", [1, 2])
def test_a_terminated_run_saves_its_last_step(tmp_path, store, processes):
    """The signal goes to the whole process group, as from a terminal or torchrun, so that workers end at once."""
    with start(tmp_path / "run", store, 100_000, save_every=1000, workers=1, processes=processes) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 3:
            pass
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=120)
    assert (process.returncode == 0) == (processes == 1)  # torchrun itself is ended by the signal
    run = RunDirectory(tmp_path / "run", json.loads((tmp_path / "run" / "config.json").read_text()))
    last = lines_of(tmp_path / "run")[-1]["step"]
    assert run.checkpoints.steps() == [last]
    assert 3 <= last < 100_000


def test_one_process_that_is_asked_to_stop_stops_all(tmp_path, store):
    """Only the first process receives the signal, as with `--max-minutes`, and no process waits for another for ever."""
    with start(tmp_path / "run", store, 100_000, save_every=1000, processes=2, stop_at=3) as process:
        process.communicate(timeout=120)
    assert process.returncode == 0
    run = RunDirectory(tmp_path / "run", json.loads((tmp_path / "run" / "config.json").read_text()))
    assert run.checkpoints.steps() == [4]
