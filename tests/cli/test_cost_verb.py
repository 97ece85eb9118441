import json
import os
import subprocess
import sys

import pytest

from qwen2vl.processing.processor import load_processor
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import plan_media
from qwen2vl.spec.media_settings import MediaSettings


def cost(run, *argv):
    result = run("cost", *argv, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_224x224_is_64_tokens(run):
    printed = cost(run, "--size", "224x224", "--model", "2b")
    assert (printed["tokens"], printed["prompt_tokens"]) == (64, 66)
    assert printed["kv_bytes"] == 64 * 28672
    assert printed["pixel_bytes"] == 256 * 1176
    (item,) = printed["items"]
    assert (item["kind"], item["resized"], item["grid"], item["num_frames"]) == ("image", [224, 224], [1, 16, 16], 1)


@pytest.mark.parametrize("model", ["2b", "7b", "72b", "nano"])
def test_the_numbers_are_those_of_plan_media(run, model):
    """Those of nano are those of the packaged checkpoint, which may be older than the size that is trained."""
    config = Qwen2VLConfig.load("nano") if model == "nano" else Qwen2VLConfig.named(model)
    settings = MediaSettings.load("nano") if model == "nano" else MediaSettings()
    printed = cost(run, "--size", "1920x1080", "--model", model)
    plan = plan_media(1080, 1920, config=config, settings=settings)
    assert printed["tokens"] == plan.num_tokens
    assert printed["tower_tflops"] == pytest.approx(plan.tower_flops / 1e12)
    assert printed["kv_bytes"] == plan.kv_bytes


@pytest.mark.parametrize(
    ("argv", "least", "most"),
    [
        (["--model", "7b"], 46_080, 46_080),
        (["--model", "7b", "--max-tokens", "16384"], 12_000, 16_384),
        (["--model", "nano"], 512, 1_024),
        (["--model", "nano", "--max-tokens", "2048"], 1_025, 2_048),
    ],
)
def test_a_video_of_ten_minutes_costs_what_the_limits_allow(run, argv, least, most):
    printed = cost(run, "--clip", "1920x1080x600", *argv)
    (item,) = printed["items"]
    assert item["num_frames"] == (768 if "7b" in argv else 64)
    assert least <= printed["tokens"] <= most


def test_the_total_is_the_sum_of_the_items(run, files):
    printed = cost(
        run, "--image", files / "photo.png", "--video", files / "video.mp4", "--size", "56x56", "--clip", "56x56x2.5"
    )
    assert [item["kind"] for item in printed["items"]] == ["image", "video", "image", "video"]
    for key in ("tokens", "prompt_tokens", "tower_tflops", "pixel_bytes", "kv_bytes"):
        assert printed[key] == pytest.approx(sum(item[key] for item in printed["items"]))
    assert printed["prompt_tokens"] == printed["tokens"] + 2 * 4


def test_sizes_and_tokens_are_those_that_chat_uses(run, files, taught_directory):
    printed = cost(run, "--image", files / "photo.png", "--video", files / "video.mp4", "--model", taught_directory)
    processor = load_processor(taught_directory)
    media = [{"type": "image", "image": str(files / "photo.png")}, {"type": "video", "video": str(files / "video.mp4")}]
    prepared = processor.prepare([{"role": "user", "content": media}])
    assert [item["tokens"] for item in printed["items"]] == [info.num_tokens for info in prepared.media]
    assert [tuple(item["grid"]) for item in printed["items"]] == [info.grid for info in prepared.media]
    assert [tuple(item["original_size"]) for item in printed["items"]] == [
        info.original_size for info in prepared.media
    ]
    assert printed["pixel_bytes"] == prepared.inputs.patches.numel()


def test_the_table_has_a_row_for_each_item_and_for_all(run, files):
    result = run("cost", "--image", files / "photo.png", "--size", "224x224", "--model", "2b")
    assert result.code == 0
    for text in ("photo.png", "140x84", "1x16x16", "0.338 TFLOP", "64", "66", "all"):
        assert text in result.out


def test_neither_torch_nor_a_model_is_loaded():
    program = (
        "import sys; from qwen2vl.cli.main import main\n"
        "main(['cost', '--size', '224x224', '--json']); assert 'torch' not in sys.modules, 'torch was imported'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env={**os.environ})
