"""Every script at tiny size: it runs, both sides agree, and its result has the form that the tables read."""

import json
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import (
    bench_first_token,
    bench_loader,
    bench_planning,
    bench_preprocess,
    bench_prompt_memory,
    bench_tower,
    bench_training,
    bench_training_parts,
    run,
)
from benchmarks.agreement import check_exact, check_rounded, check_top
from benchmarks.gpu import run as gpu
from benchmarks.mixed_size_runs import build_store
from benchmarks.peer import SMALL, fill, random_model, transformers_twin
from benchmarks.synthetic_inputs import image_prompt
from tests.tools.small_script import run_small
from tools.benchmark_tables import NAMES
from tools.script import Disagreement

pytest.importorskip("transformers")


def test_tower(tmp_path: Path) -> None:
    result = run_small(bench_tower, tmp_path, "--no-compile")
    assert [line["what"] for line in result["comparisons"]] == [
        "Vision tower, best of each side",
        "Vision tower, both eager",
    ]
    assert result["comparisons"][0]["floor"] == 1.3
    assert result["agreement"]["checks"][0]["largest_relative_difference"] < 1e-5


def test_first_token(tmp_path: Path) -> None:
    first, decoding = run_small(bench_first_token, tmp_path)["comparisons"]
    assert (first["unit"], decoding["unit"]) == ("s", "tokens/s")
    assert decoding["ratio"] == pytest.approx(decoding["ours"]["median"] / decoding["theirs"]["median"])
    assert first["ratio"] == pytest.approx(first["theirs"]["median"] / first["ours"]["median"])


def test_preprocess(tmp_path: Path) -> None:
    result = run_small(bench_preprocess, tmp_path)
    assert len(result["comparisons"]) == 4
    assert all(check["largest_pixel_difference"] <= 1 / 255 + 1e-5 for check in result["agreement"]["checks"])


def test_prompt_memory_of_one_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--small", "--threads", "1", "--out", str(tmp_path), "--logits", str(tmp_path / "last.pt")]
    found = {}
    for side in bench_prompt_memory.SIDES:
        assert bench_prompt_memory.main([*options, "--child", side]) == 0
        found[side] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {side: one["rows"] for side, one in found.items()} == {"ours": 1, "as generate()": 1, "plain forward": 128}
    assert all(one["growth"] >= 0 and one["before"] > 0 for one in found.values())


def test_planning(tmp_path: Path) -> None:
    result = run_small(bench_planning, tmp_path)
    assert result["peer"] == "the other way"
    assert [line["least"] for line in result["comparisons"] if "least" in line] == [0.995, 0.5]
    assert [line["ceiling"] for line in result["comparisons"] if line["ceiling"]] == [1.03, 1.1] * 2
    assert all(line["ratio"] > 1 for line in result["comparisons"][:3])


def test_packers_that_break_a_rule_are_refused() -> None:
    sizes = np.array([[8192, 0, 1], [5, 0, 1]])
    for packs, words in (([[0]], "not every sample"), ([[0, 1]], "over a budget")):
        with pytest.raises(Disagreement, match=words):
            bench_planning.density(sizes, lambda *_, packs=packs: packs, "a packer", [])


def test_loader(tmp_path: Path) -> None:
    result = run_small(bench_loader, tmp_path)
    assert [line["ceiling"] for line in result["comparisons"] if line["ceiling"]] == [2, 2, 2, 5, 64]


def test_training(tmp_path: Path) -> None:
    result = run_small(bench_training, tmp_path, "--no-memory")
    checks = result["agreement"]["checks"]
    assert [check["largest_relative_difference"] < 1e-5 for check in checks] == [True] * len(bench_training.SIZES)
    assert [line["floor"] for line in result["comparisons"]] == [1.5, None, None, None, None]
    padding = result["settings"]["share_of_padding"]
    assert padding[bench_training.GROUPED] < padding[bench_training.USUAL] < padding["micro-batches of 16"]


def test_training_parts(tmp_path: Path) -> None:
    result = run_small(bench_training_parts, tmp_path, "--no-memory")
    assert result["peer"] == bench_training_parts.FIRST
    kept = {line["what"]: line["ratio"] for line in result["comparisons"] if line["what"].startswith("Kept")}
    assert [ratio is None or ratio > 1 for ratio in kept.values()] == [True] * 3


def test_memory_of_training_is_measured_in_a_child_process(tmp_path: Path) -> None:
    options = Namespace(small=True, threads=1, out=tmp_path)
    store = build_store(tmp_path, 40)
    assert bench_training.memory_in_child("ours", store, options) > 0
    assert bench_training_parts.memory_in_child("tower frozen", store, options) > 0


def test_different_loss_curves_are_refused() -> None:
    assert bench_training.check_curve("a", [2.0, 1.0], [2.0, 1.0])["largest_relative_difference"] == 0
    with pytest.raises(Disagreement, match="loss curve beside a: 0.01 apart"):
        bench_training.check_curve("a", [2.0, 1.01], [2.0, 1.0])


def test_gpu_script_on_the_cpu(tmp_path: Path) -> None:
    result = run_small(gpu, tmp_path, "--device", "cpu")
    checked = {check["what"] for check in result["agreement"]["checks"]}
    assert {"decoder, packed, sdpa, bfloat16", "tower packed, float32", "whole tower, bf16"} <= checked
    assert {line["unit"] for line in result["comparisons"]} == {"s", "tokens/s", "conversations/s"}


def test_every_result_has_a_script() -> None:
    assert {*run.SCRIPTS, "gpu"} == set(NAMES)
    assert all(find_spec(module) for module, _ in run.SCRIPTS.values())


def test_small_runs_never_change_the_results(capsys: pytest.CaptureFixture[str]) -> None:
    for script in (bench_tower, run):
        with pytest.raises(SystemExit):
            script.main(["--small"])
        assert "--small needs --out" in capsys.readouterr().err


def test_both_models_share_their_weights() -> None:
    model = random_model(SMALL, torch.float32)
    twin = transformers_twin(model)
    with torch.no_grad():
        model.visual.blocks[0].mlp.fc1.weight[0, 0] = 77.0
    assert twin.model.visual.blocks[0].mlp.fc1.weight[0, 0] == 77.0
    assert twin.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_weights_repeat_the_pool() -> None:
    flat = torch.zeros(8)
    assert fill(flat, torch.tensor([1.0, 2, 3]), 2) == 1
    assert flat.tolist() == [3, 1, 2, 3, 1, 2, 3, 1]


def test_words_of_a_prompt_are_never_placeholders() -> None:
    prompt = image_prompt(SMALL, (1, 4, 4), 200)
    assert int((prompt.ids == SMALL.tokens.image_pad).sum()) == 4


def test_disagreement_is_refused() -> None:
    same = torch.linspace(0, 1, 10)
    assert check_exact("a", same, same)["largest_relative_difference"] == 0
    with pytest.raises(Disagreement, match="over the tolerance"):
        check_exact("a", same, same + 0.01)
    with pytest.raises(Disagreement, match="over the tolerance"):
        check_rounded("a", same, same.flip(0))
    with pytest.raises(Disagreement, match="shapes"):
        check_exact("a", same, same[:5])
    with pytest.raises(Disagreement, match="not finite"):
        check_exact("a", same, same.log())
    tied = torch.tensor([0.0, 1.0, 1.001])
    assert check_top("a", torch.tensor([0.0, 1.002, 1.001]), tied)["top_token"] == [1, 2]
