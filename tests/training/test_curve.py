import pytest
from PIL import Image

from qwen2vl.common.errors import ConfigError
from qwen2vl.training.curve import draw_curves, running_mean


def test_curves_are_drawn_to_a_picture(tmp_path):
    lines = [{"step": step, "loss": 10 / step} for step in range(1, 301)]
    lines.append({"step": 300, "validation_loss": 0.5, "exact": {"count": 0.4, "order": 0.6}})
    draw_curves(lines, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 600
        assert len(picture.convert("RGB").getcolors(10**6)) > 50


def test_the_mean_ends_at_the_last_step():
    steps, means = running_mean(list(range(1, 301)), [1.0] * 200 + [3.0] * 100)
    assert (steps[0], steps[-1]) == (100, 300)
    assert (means[0], means[-1]) == (1.0, 3.0)


def test_an_empty_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no step yet"):
        draw_curves([], tmp_path / "curves.png")
