"""Probes at tiny size: they run, check what they measure, and write the form that the tables read."""

from pathlib import Path

from experiments import drawing_speed, long_video
from tests.tools.small_script import run_small


def test_long_video(tmp_path: Path) -> None:
    result = run_small(long_video, tmp_path)
    assert result["settings"]["cases"]["own"]["end_is_seen"]
    assert result["settings"]["cases"]["own"]["middle_is_without"]
    assert result["comparisons"][0]["ceiling"] == 1500


def test_drawing(tmp_path: Path) -> None:
    result = run_small(drawing_speed, tmp_path)
    assert [line["what"] for line in result["comparisons"]] == [
        "Drawing, all tasks", "Drawing, vqa", "Drawing, video", "Drawing, multi_image",
    ]  # fmt: skip
    assert result["settings"]["kilobytes_of_images_an_item"] > 0.1
    assert result["comparisons"][1]["note"] == "colour_shape, count"
