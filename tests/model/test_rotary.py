"""Rotary tables against the formulas of the paper, written out by hand."""

from dataclasses import replace

import numpy as np
import torch

from qwen2vl.model.rotary import RotaryTable, rotate, text_rotary, vision_rotary
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.positions import mrope_positions


def angles(rope: RotaryTable) -> torch.Tensor:
    return torch.atan2(rope.sin, rope.cos).squeeze(1)


def wrapped(angle: torch.Tensor) -> torch.Tensor:
    return torch.atan2(angle.sin(), angle.cos())


def test_frequencies_are_those_of_the_published_models() -> None:
    """theta_0 = 1, theta_15, theta_16, theta_39, theta_40, theta_63, each used by the axis that it belongs to."""
    config = Qwen2VLConfig.named("7b").text
    expected = {0: 1.0, 15: 0.0392419, 16: 0.0316228, 39: 2.20673e-4, 40: 1.77828e-4, 63: 1.24094e-6}
    for axis, owned in enumerate([(0, 15), (16, 39), (40, 63)]):
        positions = torch.zeros(3, 1, dtype=torch.int64)
        positions[axis] = 1
        found = angles(text_rotary(positions, config))[0]
        for slot in owned:
            np.testing.assert_allclose(found[slot].item(), expected[slot], rtol=1e-5)
        others = [slot for slot in range(64) if not owned[0] <= slot <= owned[1]]
        assert found[others].abs().max() == 0


def test_equal_axes_are_plain_rotary(tiny: Qwen2VLConfig) -> None:
    positions = torch.arange(40).expand(3, -1)
    half = tiny.text.head_dim // 2
    theta = torch.tensor([tiny.text.rope_theta ** (-2 * j / tiny.text.head_dim) for j in range(half)])
    plain = torch.arange(40)[:, None] * theta
    torch.testing.assert_close(angles(text_rotary(positions, tiny.text)), wrapped(plain), atol=1e-5, rtol=1e-5)


def test_the_tower_rotates_by_row_then_by_column() -> None:
    config = Qwen2VLConfig.named("2b").vision
    theta = torch.tensor([10_000 ** (-2 * k / 40) for k in range(20)])
    found = angles(vision_rotary(torch.tensor([[3, 5]]), config.head_dim))[0]
    torch.testing.assert_close(found, wrapped(torch.cat([3 * theta, 5 * theta])), atol=1e-5, rtol=1e-5)


def test_rotation_pairs_halves_and_keeps_the_dtype() -> None:
    turn = torch.tensor([[[0.5, 1.5]]])
    rope = RotaryTable(cos=turn.cos(), sin=turn.sin())
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    plain = torch.view_as_complex(torch.tensor([[1.0, 3.0], [2.0, 4.0]])) * torch.polar(torch.ones(2), turn[0, 0])
    torch.testing.assert_close(rotate(x, rope)[0, 0], torch.cat([plain.real, plain.imag]))
    assert rotate(x.bfloat16(), rope).dtype == torch.bfloat16


def test_one_axis_counts_every_token(tiny: Qwen2VLConfig) -> None:
    tokens = tiny.tokens
    ids = [30, tokens.vision_start, *[tokens.image_pad] * 6, tokens.vision_end, 31]
    ablation = replace(tiny, text=replace(tiny.text, rope="1d"))
    assert (mrope_positions(ids, [(1, 4, 6)], ablation) == np.arange(10)).all()
    assert mrope_positions(ids, [(1, 4, 6)], tiny).max() < 9
