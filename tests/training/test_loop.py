"""Resumed = unbroken, whatever the number of workers; two processes = one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from qwen2vl.common.errors import ConfigError
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.training.config import TrainConfig
from qwen2vl.training.loop import Events, train
from qwen2vl.training.state import RunDirectory, read_metrics

CONFIG = TrainConfig(steps=6, warmup_steps=2, save_every=2, validate_every=3)
SILENT = Events(on_step=lambda line: None, validate=lambda model, step: {"validated": step})


def losses(run: RunDirectory) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in read_metrics(run.metrics_file) if "loss" in line}


def run_to(path: Path, rows, model, steps: int | None = None, workers: int = 0) -> RunDirectory:
    run = RunDirectory(path, {"seed": 0})
    train(model, rows, CONFIG, run, SILENT, replicas=Replicas(), num_workers=workers, max_steps=steps)
    return run


def test_resumed_equals_unbroken_bit_for_bit(tmp_path, rows, small_model):
    unbroken, resumed_model = small_model(), small_model()
    whole = run_to(tmp_path / "whole", rows, unbroken)
    run_to(tmp_path / "parts", rows, small_model(), steps=3)
    parts = run_to(tmp_path / "parts", rows, resumed_model, workers=2)
    assert losses(parts) == losses(whole)
    for name, weight in resumed_model.state_dict().items():
        assert torch.equal(weight, unbroken.state_dict()[name]), name


def test_bf16_masters_survive_a_resume(tmp_path, rows, small_model):
    whole = run_to(tmp_path / "whole", rows, small_model().bfloat16())
    run_to(tmp_path / "parts", rows, small_model().bfloat16(), steps=3)
    parts = run_to(tmp_path / "parts", rows, small_model().bfloat16())
    assert losses(parts) == losses(whole)


def test_metrics_after_the_restored_step_are_cut_away(tmp_path, rows, small_model):
    run = run_to(tmp_path, rows, small_model(), steps=4)
    for line in ('{"step": 5, "loss": 1.0}\n', '{"step": 6, "lo'):  # written after the save, then killed in mid-line
        with run.metrics_file.open("a") as file:
            file.write(line)
    run_to(tmp_path, rows, small_model())
    assert list(losses(run)) == [1, 2, 3, 4, 5, 6]
    assert losses(run)[5] != 1.0


def test_a_half_written_checkpoint_is_never_picked_up(tmp_path, rows, small_model):
    run = run_to(tmp_path, rows, small_model(), steps=2)
    (run.checkpoints / ".step-4.123").mkdir()
    (run.checkpoints / ".step-4.123" / "state.pt").write_bytes(b"half")
    (run.checkpoints / "step-5").mkdir()
    assert run.saved_steps() == [2]


def test_older_checkpoints_go_and_validation_is_logged(tmp_path, rows, small_model):
    run = run_to(tmp_path, rows, small_model())
    assert run.saved_steps() == [4, 6]
    assert [line["validated"] for line in read_metrics(run.metrics_file) if "validated" in line] == [3, 6]


def test_max_steps_stops_early_and_does_not_reshape_the_schedule(tmp_path, rows, small_model):
    run = run_to(tmp_path, rows, small_model(), steps=3)
    rates = [line["learning_rate"] for line in read_metrics(run.metrics_file) if "loss" in line]
    assert rates == [CONFIG.rate(step) for step in range(3)]


def test_the_rate_warms_up_stays_and_falls_to_zero():
    config = TrainConfig(steps=100, warmup_steps=10, decay=0.3, learning_rate=1.0)
    assert [config.rate(step) for step in (0, 9, 50, 70)] == pytest.approx([0.1, 1.0, 1.0, 1.0])
    assert config.rate(85) == pytest.approx(0.5)
    assert 0 < config.rate(99) < 0.05


def test_other_settings_in_the_same_run_are_refused(tmp_path):
    RunDirectory(tmp_path, {"seed": 0, "batch": 8})
    with pytest.raises(ConfigError, match=r"other settings \(batch\)"):
        RunDirectory(tmp_path, {"seed": 0, "batch": 16})


SCRIPT = """
import sys
import torch
from tests.training.conftest import SMALL, ShapeRows
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.init import new_model
from qwen2vl.training.config import TrainConfig
from qwen2vl.training.loop import Events, train
from qwen2vl.training.state import RunDirectory

torch.set_num_threads(1)
config = TrainConfig(steps=int(sys.argv[2]), warmup_steps=2, save_every=1000, validate_every=1000)
replicas = Replicas.join()
events = Events(on_step=lambda line: print(line["step"], flush=True), validate=lambda model, step: {})
run = RunDirectory(sys.argv[1], {})
train(new_model(SMALL, 0), ShapeRows(replicas), config, run, events, replicas=replicas, num_workers=int(sys.argv[3]))
replicas.leave()
"""


def start(run_dir: Path, steps: int, workers: int, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    script = run_dir.parent / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, *launcher, str(script), str(run_dir), str(steps), str(workers)]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def test_two_processes_equal_one(tmp_path, rows, small_model):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    process = start(tmp_path / "two", 3, 0, launcher)
    process.communicate(timeout=300)
    assert process.returncode == 0
    config = TrainConfig(steps=3, warmup_steps=2, save_every=1000, validate_every=1000)
    one = RunDirectory(tmp_path / "one", {})
    train(small_model(), rows, config, one, SILENT, replicas=Replicas(), num_workers=0)
    two = losses(RunDirectory(tmp_path / "two", {}))
    assert two == pytest.approx(losses(one), rel=1e-5)


def test_a_terminated_run_saves_its_last_step(tmp_path):
    """The signal goes to the whole group, as a terminal and torchrun send it; workers must not die of it."""
    with start(tmp_path / "run", 10_000, 1) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 3:
            pass
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 0
    run = RunDirectory(tmp_path / "run", json.loads((tmp_path / "run" / "config.json").read_text()))
    assert run.saved_steps()[-1] == max(losses(run)) >= 3
