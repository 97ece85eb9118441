"""Every script at toy size: it runs, both sides agree, and its result has the shape that the tables read."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import (
    bench_drawing,
    bench_first_token,
    bench_loader,
    bench_long_video,
    bench_planning,
    bench_preprocess,
    bench_prompt_memory,
    bench_tower,
    bench_training,
    bench_training_parts,
    run,
)
from benchmarks.agreement import Disagreement, check_exact, check_rounded, check_top
from benchmarks.drawn import image_prompt
from benchmarks.gpu import run as gpu
from benchmarks.measuring import gemm_rate, interleave, median
from benchmarks.mixed_sizes import build_store
from benchmarks.peer import SMALL, fill, random_model, transformers_twin
from tools.results import Comparison

pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def keep_threads():
    """Scripts set torch's threads for their process; here the process is everybody's."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def small(script: Any, folder: Path, *options: str) -> dict[str, Any]:
    assert script.main(["--small", "--threads", "1", "--out", str(folder), *options]) == 0
    (path,) = folder.glob("*.json")
    result = json.loads(path.read_text())
    assert result["small"]
    assert {"name", "title", "date", "machine", "versions", "settings", "agreement", "limits"} <= set(result)
    assert {"cpu", "cores", "threads", "memory_gb"} <= set(result["machine"])
    assert result["agreement"]["checks"]
    for line in result["comparisons"]:
        assert line["what"]
        assert line["ours"]["raw"]
        assert line["ours"]["min"] <= line["ours"]["median"] <= line["ours"]["max"]
        assert (line["ratio"] is None) == (line["theirs"] is None)
    return result


def test_tower(tmp_path: Path) -> None:
    result = small(bench_tower, tmp_path, "--no-compile")
    assert [line["what"] for line in result["comparisons"]] == [
        "Vision tower, best of each side",
        "Vision tower, both eager",
    ]
    assert result["comparisons"][0]["floor"] == 1.3
    assert result["agreement"]["checks"][0]["largest_relative_difference"] < 1e-5


def test_first_token(tmp_path: Path) -> None:
    first, decoding = small(bench_first_token, tmp_path)["comparisons"]
    assert (first["unit"], decoding["unit"]) == ("s", "tokens/s")
    assert decoding["ratio"] == pytest.approx(decoding["ours"]["median"] / decoding["theirs"]["median"])
    assert first["ratio"] == pytest.approx(first["theirs"]["median"] / first["ours"]["median"])


def test_preprocess(tmp_path: Path) -> None:
    result = small(bench_preprocess, tmp_path)
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


def test_long_video(tmp_path: Path) -> None:
    result = small(bench_long_video, tmp_path)
    assert result["settings"]["cases"]["own"]["end_is_seen"]
    assert result["settings"]["cases"]["own"]["middle_is_without"]
    assert result["comparisons"][0]["ceiling"] == 1500


def test_drawing(tmp_path: Path) -> None:
    result = small(bench_drawing, tmp_path)
    assert [line["what"] for line in result["comparisons"]] == [
        "Drawing, all tasks", "Drawing, vqa", "Drawing, video", "Drawing, multi_image",
    ]  # fmt: skip
    assert result["settings"]["kilobytes_of_images_an_item"] > 0.1
    assert result["comparisons"][1]["note"] == "colour_shape, count"


def test_planning(tmp_path: Path) -> None:
    result = small(bench_planning, tmp_path)
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
    result = small(bench_loader, tmp_path)
    assert [line["ceiling"] for line in result["comparisons"] if line["ceiling"]] == [2, 2, 2, 5, 64]


def test_training(tmp_path: Path) -> None:
    result = small(bench_training, tmp_path, "--no-memory")
    checks = result["agreement"]["checks"]
    assert [check["largest_relative_difference"] < 1e-5 for check in checks] == [True] * len(bench_training.SIZES)
    assert [line["floor"] for line in result["comparisons"]] == [1.5, None, None, None, None]
    padding = result["settings"]["share_of_padding"]
    assert padding[bench_training.GROUPED] < padding[bench_training.USUAL] < padding["micro-batches of 16"]


def test_training_parts(tmp_path: Path) -> None:
    result = small(bench_training_parts, tmp_path, "--no-memory")
    assert result["peer"] == bench_training_parts.FIRST
    kept = {line["what"]: line["ratio"] for line in result["comparisons"] if line["what"].startswith("Kept")}
    assert [ratio is None or ratio > 1 for ratio in kept.values()] == [True] * 3


def test_memory_of_training_in_its_own_process(tmp_path: Path) -> None:
    options = Namespace(small=True, threads=1, out=tmp_path)
    store = build_store(tmp_path, 40)
    assert bench_training.memory_in_child("ours", store, options) > 0
    assert bench_training_parts.memory_in_child("tower frozen", store, options) > 0


def test_curves_that_part_are_refused() -> None:
    assert bench_training.check_curve("a", [2.0, 1.0], [2.0, 1.0])["largest_relative_difference"] == 0
    with pytest.raises(Disagreement, match="loss curve beside a: 0.01 apart"):
        bench_training.check_curve("a", [2.0, 1.01], [2.0, 1.0])


def test_gpu_script_on_the_cpu(tmp_path: Path) -> None:
    result = small(gpu, tmp_path, "--device", "cpu")
    checked = {check["what"] for check in result["agreement"]["checks"]}
    assert {"decoder, packed, sdpa, bfloat16", "tower packed, float32", "whole tower, bf16"} <= checked
    assert {line["unit"] for line in result["comparisons"]} == {"s", "tokens/s", "conversations/s"}


def test_small_runs_never_touch_the_results(capsys: pytest.CaptureFixture[str]) -> None:
    for script in (bench_tower, run):
        with pytest.raises(SystemExit):
            script.main(["--small"])
        assert "--small needs --out" in capsys.readouterr().err


def test_both_models_are_one_set_of_bytes() -> None:
    model = random_model(SMALL, torch.float32)
    twin = transformers_twin(model)
    with torch.no_grad():
        model.visual.blocks[0].mlp.fc1.weight[0, 0] = 77.0
    assert twin.model.visual.blocks[0].mlp.fc1.weight[0, 0] == 77.0
    assert twin.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_weights_are_a_pool_laid_round_and_round() -> None:
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


def test_interleaving_alternates() -> None:
    seen: list[str] = []
    times = interleave({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 3)
    assert "".join(seen) == "abbaab"
    assert [len(values) for values in times.values()] == [3, 3]


def test_medians_ratios_and_verdicts() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2.5
    quick = Comparison(what="a", unit="s", ours=[1, 1, 9], theirs=[2.0], floor=1.5, aim=3.0)
    assert (quick.ratio, quick.holds) == (2.0, True)
    many = Comparison(what="a", unit="tokens/s", better="higher", ours=[3.0], theirs=[2.0], floor=2.0)
    assert (many.ratio, many.holds) == (1.5, False)
    heavy = Comparison(what="a", unit="MB", ours=[10.0], ceiling=10.0)
    assert (heavy.ratio, heavy.holds) == (None, False)
    full = Comparison(what="a", unit="", ours=[0.9], better="higher", least=0.9)
    assert full.holds
    assert full.to_json()["least"] == 0.9
    assert Comparison(what="a", unit="s", ours=[1.0]).holds is None
    assert gemm_rate(torch.float32, 8, seconds=0.001) > 0
