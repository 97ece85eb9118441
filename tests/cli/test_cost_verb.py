import json
import os
import subprocess
import sys

import pytest

from qwen2vl.processing.processor import load_processor
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import plan_media


def cost(run, *argv):
    result = run("cost", *argv, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_the_reference_image(run):
    told = cost(run, "--size", "224x224", "--model", "2b")
    assert (told["tokens"], told["prompt_tokens"]) == (64, 66)
    assert told["kv_bytes"] == 64 * 28672
    assert told["pixel_bytes"] == 256 * 1176
    (item,) = told["items"]
    assert (item["kind"], item["resized"], item["grid"], item["num_frames"]) == ("image", [224, 224], [1, 16, 16], 1)


@pytest.mark.parametrize("model", ["2b", "7b", "72b", "nano"])
def test_it_is_plan_media(run, model):
    told = cost(run, "--size", "1920x1080", "--model", model)
    plan = plan_media(1080, 1920, config=Qwen2VLConfig.named(model))
    if model != "nano":
        assert told["tokens"] == plan.num_tokens
        assert told["tower_tflops"] == pytest.approx(plan.tower_flops / 1e12)


def test_a_video_of_ten_minutes_stays_under_its_cap(run):
    told = cost(run, "--clip", "1280x720x600", "--model", "7b")
    (item,) = told["items"]
    assert item["num_frames"] == 768
    assert 0 < told["tokens"] <= 16384


def test_several_add_up(run, files):
    told = cost(
        run, "--image", files / "photo.png", "--video", files / "video.mp4", "--size", "56x56", "--clip", "56x56x2.5"
    )
    assert [item["kind"] for item in told["items"]] == ["image", "video", "image", "video"]
    for key in ("tokens", "prompt_tokens", "tower_tflops", "pixel_bytes", "kv_bytes"):
        assert told[key] == pytest.approx(sum(item[key] for item in told["items"]))
    assert told["prompt_tokens"] == told["tokens"] + 2 * 4


def test_the_preview_is_what_chat_then_has(run, files, taught_directory):
    told = cost(run, "--image", files / "photo.png", "--video", files / "video.mp4", "--model", taught_directory)
    processor = load_processor(taught_directory)
    media = [{"type": "image", "image": str(files / "photo.png")}, {"type": "video", "video": str(files / "video.mp4")}]
    prepared = processor.prepare([{"role": "user", "content": media}])
    assert [item["tokens"] for item in told["items"]] == [info.num_tokens for info in prepared.media]
    assert [tuple(item["grid"]) for item in told["items"]] == [info.grid for info in prepared.media]
    assert [tuple(item["original_size"]) for item in told["items"]] == [info.original_size for info in prepared.media]
    assert told["pixel_bytes"] == prepared.inputs.patches.numel()


def test_the_table(run, files):
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
