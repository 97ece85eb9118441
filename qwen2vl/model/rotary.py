"""Rotary positions: three axes for the decoder (M-RoPE), rows and columns for the tower. Tables in float32 always.

Shape legend: T = rows, N = heads, K = head size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from qwen2vl.spec.config import TextConfig, VisionConfig

VISION_THETA = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RotaryTable:
    """cos and sin, float32 [T, 1, K/2]."""

    cos: Tensor
    sin: Tensor


def text_rotary(positions_3T: Tensor, config: TextConfig) -> RotaryTable:
    """M-RoPE: frequency slot j turns by the axis that owns it, sections (16, 24, 24) in published models [paper 3.2].

    Equal positions on all axes are exactly 1D rotary.
    """
    device = positions_3T.device
    half = config.head_dim // 2
    theta = config.rope_theta ** (-torch.arange(half, dtype=torch.float32, device=device) / half)
    sections = torch.tensor(config.mrope_section, device=device)
    axis_of_slot = torch.repeat_interleave(torch.arange(3, device=device), sections, output_size=half)
    return table(positions_3T.float().T[:, axis_of_slot] * theta)


def vision_rotary(positions_T2: Tensor, config: VisionConfig) -> RotaryTable:
    """2D rotary: the first half of the slots turns by row, the second by column, same frequencies [paper 2.4]."""
    quarter = config.head_dim // 4
    theta = VISION_THETA ** (-torch.arange(quarter, dtype=torch.float32, device=positions_T2.device) / quarter)
    return table((positions_T2.float()[:, :, None] * theta).flatten(1))


def table(angles: Tensor) -> RotaryTable:
    return RotaryTable(cos=angles.cos()[:, None], sin=angles.sin()[:, None])


def rotate(x_TNK: Tensor, rope: RotaryTable) -> Tensor:
    """Half-split rotation: dims j and j + K/2 turn together. Computed in float32, returned in the input's dtype."""
    low, high = x_TNK.float().chunk(2, dim=-1)
    if torch.is_grad_enabled():
        turned = torch.cat([low * rope.cos - high * rope.sin, high * rope.cos + low * rope.sin], dim=-1)
        return turned.to(x_TNK.dtype)
    turned = torch.empty_like(
        x_TNK, memory_format=torch.contiguous_format
    )  # halves are rounded into place: no fp32 copy of the whole
    half = low.shape[-1]
    turned[..., :half] = (low * rope.cos).addcmul_(high, rope.sin, value=-1)
    turned[..., half:] = (high * rope.cos).addcmul_(low, rope.sin)
    return turned
