"""Runs of every recipe: what does not fit is counted, a run stops in time, resumes, and keeps its version of the store."""

import json

import pytest

from qwen2vl.cli.main import main
from qwen2vl.data.store import Store
from qwen2vl.training.run_directory import read_metrics
from tests.data.conftest import records_in, write_lines


@pytest.fixture
def train(tmp_path, taught_directory, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = [record | {"id": f"{record['id']}-{copy}"} for copy in range(6) for record in records_in(tmp_path)]
    write_lines(tmp_path / "my.jsonl", records)
    words = ["train", "finetune", "--model", str(taught_directory), "--steps", "4", "--packs-per-step", "1"]
    return [*words, "--num-workers", "0", "--train.precision", "fp32", "--run-dir", "run"]


def test_what_does_not_fit_a_pack_is_counted(train, caplog):
    assert main([*train, "--data", "my.jsonl", "--tokens", "36", "--max-steps", "1"]) == 0
    assert "samples are left out, row" in caplog.text


def test_a_run_stops_in_time_and_resumes(train, tmp_path, capsys):
    """The time is over before the first step ends, so the run stops after the second: both are saved, neither is repeated."""
    train += ["--data", "my.jsonl", "--tokens", "512"]
    assert main([*train, "--max-minutes", "1e-6"]) == 0
    assert capsys.readouterr().err.splitlines()[-1].startswith("2 steps done")
    assert main([*train, "--max-minutes", "1000"]) == 0
    assert [line["step"] for line in read_metrics(tmp_path / "run/metrics.jsonl") if "loss" in line] == [1, 2, 3, 4]
    assert main([*train, "--max-minutes", "0"]) == 2
    assert "--max-minutes is 0.0: it must be over 0" in capsys.readouterr().err


def test_a_run_keeps_the_version_of_the_store_that_it_began_with(train, tmp_path, taught_directory):
    """Records that are added in the middle of a run change none of its steps."""
    build = ["data", "build", "my.jsonl", "--tokenizer", str(taught_directory), "--out", "store"]
    assert main(build) == 0
    train += ["--data", "store", "--tokens", "512"]
    assert main([*train, "--run-dir", "whole"]) == 0
    assert main([*train, "--max-steps", "2"]) == 0
    before = Store("store").version
    (more,) = [record | {"id": "more"} for record in records_in(tmp_path)[:1]]
    write_lines(tmp_path / "more.jsonl", [more])
    build[2] = "more.jsonl"
    assert main(build) == 0
    assert Store("store").version != before
    assert main(train) == 0
    digests = [
        [line["plan_digest"] for line in read_metrics(tmp_path / name / "metrics.jsonl") if "loss" in line]
        for name in ("whole", "run")
    ]
    assert digests[0] == digests[1]
    assert json.loads((tmp_path / "run/config.json").read_text())["store_version"] == before
