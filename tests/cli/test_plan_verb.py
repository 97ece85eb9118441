"""`qwen2vl plan` with a store and without one, for every kind of recipe."""

import json
import re
from dataclasses import replace

import pytest

from qwen2vl.data.plan import Phase
from qwen2vl.recipes import nano
from qwen2vl.recipes.nano import drawn_stages, nano_processor
from qwen2vl.spec.config import NANO
from qwen2vl.spec.costs import num_parameters
from qwen2vl.training import estimate
from qwen2vl.training import run as training_run
from tests.data.conftest import build_store, records_in, write_lines

STAGES = drawn_stages()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build_store(tmp_path_factory.mktemp("records"), nano_processor(), 12)


def plan(run, tmp_path, *argv):
    result = run("plan", *argv, "--run-dir", tmp_path / "run", "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_nano_before_its_store_is_built(run, tmp_path):
    report = plan(run, tmp_path, "nano", "--store", tmp_path / "none", "--train.precision", "fp32")
    assert report["parameters"] == num_parameters(NANO)
    assert [stage["stage"] for stage in report["stages"]] == [stage.name for stage in STAGES]
    assert sum(stage["steps"] for stage in report["stages"]) == sum(stage.steps for stage in STAGES)
    first, full, last = report["stages"]
    assert first["trained"] == report["parameters"]
    assert last["trained"]["tower"] == 0
    assert first["memory"]["masters"] == first["memory"]["gradients"] == 0
    assert last["memory"]["activations"] < full["memory"]["activations"]
    assert first["fill_tokens"] == 1.0
    assert first["samples"] is None
    assert report["sources"] == []
    assert report["fits"] is True
    assert report["seconds"] == pytest.approx(report["flops"] / (report["peak_tflops"] * 1e12 * 0.4))
    assert not (tmp_path / "run").exists()


def test_the_tables(run, tmp_path):
    result = run("plan", "nano", "--store", tmp_path / "none", "--tflops", "100", "--mfu", "0.5")
    assert result.code == 0, result.err
    lines = {line.split("  ")[0]: line for line in result.out.splitlines()}
    assert "2-all" in lines["stage"]
    assert re.search(r"0$", lines["trained in tower"])
    assert {"weights", "activations", "checkpoint copy", "FLOPs per token", "time"} <= set(lines)
    assert "at 50% of 100 TFLOP/s" in result.out
    assert "upper bounds" in result.out
    assert "This machine" not in result.out


def test_a_store_gives_samples_epochs_and_fill(run, tmp_path, store, monkeypatch):
    stage = replace(STAGES[0], steps=16, phases=(Phase(mixtures=({"pairs": 2, "text": 1},)),), packs_per_step=1)
    monkeypatch.setattr(nano, "drawn_stages", lambda first_step: (stage,))
    report = plan(run, tmp_path, "nano", "--store", store.path)
    (stage,), sources = report["stages"], {source["source"]: source for source in report["sources"]}
    assert stage["from_store"] is True
    assert stage["samples"] == sum(source["drawn"] for source in sources.values())
    assert sources["pairs"]["drawn"] > sources["text"]["drawn"] > 0
    assert sources["pairs"]["epochs"] == pytest.approx(sources["pairs"]["drawn"] / 12)
    assert 0.5 < stage["fill_tokens"] < 1
    assert 0 < stage["visual_tokens"] < stage["tokens"]


def test_stages_of_the_largest_model_without_data(run, tmp_path):
    words = ["stage2", "--size", "72b", "--tokenizer", "nano", "--store", tmp_path / "none", "--tflops", "989"]
    report = plan(run, tmp_path, *words, "--processes", "512")
    (stage,) = report["stages"]
    assert report["fits"] is None
    assert report["device"] == "cuda"
    assert report["peak_tflops"] == 512 * 989
    assert stage["memory"]["moments"] == pytest.approx(8 * report["parameters"]["total"], rel=1e-6)
    assert stage["flops_per_token"] > 6 * 0.98 * report["parameters"]["decoder"]
    shorter = plan(run, tmp_path, *words, "--max-steps", "10")
    assert shorter["stages"][0]["steps"] == 10


def test_an_adapter(run, tmp_path, taught_directory):
    """Planning builds the store, which the run then uses."""
    file = write_lines(tmp_path / "all.jsonl", records_in(tmp_path))
    words = ["finetune", "--data", file, "--model", taught_directory, "--tokens", "512", "--held-out", "0"]
    whole, adapter = plan(run, tmp_path, *words), plan(run, tmp_path, *words, "--lora-rank", "2")
    assert (tmp_path / "run" / "store" / "store.json").is_file()
    (one,), (other,) = whole["stages"], adapter["stages"]
    assert 0 < other["trained"]["total"] < 0.1 * one["trained"]["total"]
    assert other["memory"]["moments"] < 0.1 * one["memory"]["moments"]
    assert sum(source["samples"] for source in adapter["sources"]) == 6


def test_the_length_of_a_fine_tune_is_said_before_it_starts(run, tmp_path):
    """62 samples in epochs; shortened, the steps that are left."""
    record = {
        "kind": "text",
        "source": "words",
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
    }
    file = write_lines(tmp_path / "all.jsonl", [record | {"id": str(number)} for number in range(62)])
    words = ["finetune", "--data", file]
    report = plan(run, tmp_path, *words)
    (stage,), (source,) = report["stages"], report["sources"]
    assert stage["course"] == "finetune: 62 samples, 8 epochs, 64 steps, 7 or 8 samples a step"
    assert (stage["samples"], stage["steps"], stage["samples_per_step"]) == (496, 64, 7.75)
    assert (source["samples"], source["drawn"], source["epochs"]) == (62, 496, 8)
    three = plan(run, tmp_path, *words, "--epochs", "3", "--batch", "4")
    assert three["stages"][0]["course"] == "finetune: 62 samples, 3 epochs, 47 steps, 3 or 4 samples a step"
    assert plan(run, tmp_path, *words, "--max-steps", "32")["stages"][0]["samples"] == 248
    result = run("plan", *words, "--run-dir", tmp_path / "run")
    assert result.out.splitlines()[2] == stage["course"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--tflops", "0"], "--tflops is 0.0: it must be over 0"),
        (["--mfu", "1.5"], "--mfu is 1.5: it is a share of the peak rate"),
        (["--processes", "0"], "--processes is 0: it must be at least 1"),
        (["--max-steps", "0"], "--max-steps is 0: it must be at least 1"),
    ],
)
def test_numbers_without_meaning_are_refused(run, words, sentence):
    result = run("plan", "nano", *words)
    assert result.code == 2
    assert sentence in result.err


def test_a_run_that_cannot_fit_is_refused_before_anything_is_built(run, tmp_path, store, monkeypatch):
    stage = replace(STAGES[0], steps=1, phases=(Phase(mixtures=({"pairs": 1},)),))
    monkeypatch.setattr(nano, "drawn_stages", lambda first_step: (stage,))
    monkeypatch.setattr(training_run, "initial_model", lambda spec: pytest.fail("the model was built"))
    monkeypatch.setattr(estimate, "free_bytes", lambda place: 10**8)
    words = ["nano", "--store", store.path, "--run-dir", tmp_path / "run"]
    assert plan(run, tmp_path, *words[:3])["fits"] is False
    result = run("train", *words)
    assert result.code == 2
    assert not (tmp_path / "run").exists()
    assert re.search(r'stage "1-skills" needs \d\.\d\d GB of cpu, which has 0\.10 GB free', result.err)
