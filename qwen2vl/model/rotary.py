"""Rotary positions: three axes in the decoder (M-RoPE), rows and columns in the tower. Always computed in float32.

Shape legend: T = rows, N = heads, K = head size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from qwen2vl.spec.config import TextConfig

VISION_THETA = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RotaryTable:
    """Cosine and sine of every row's angles, float32 [T, 1, K/2]."""

    cos: Tensor
    sin: Tensor

    @classmethod
    def of(cls, angles: Tensor) -> "RotaryTable":
        """The table of float32 angles [T, K/2]."""
        return cls(cos=angles.cos()[:, None], sin=angles.sin()[:, None])


def text_rotary(positions_3T: Tensor, config: TextConfig) -> RotaryTable:
    """M-RoPE: each of the K/2 frequencies belongs to one axis, (16, 24, 24) of them in published models [paper 3.2].

    Equal positions on all axes give exactly the usual one-axis rotary.
    """
    device, half = positions_3T.device, sum(config.mrope_section)
    theta = config.rope_theta ** (-torch.arange(half, dtype=torch.float32, device=device) / half)
    sections = torch.tensor(config.mrope_section, device=device)
    axes = torch.repeat_interleave(torch.arange(3, device=device), sections, output_size=half)
    return RotaryTable.of(positions_3T.float().T[:, axes] * theta)


def vision_rotary(positions_T2: Tensor, head_dim: int) -> RotaryTable:
    """2D rotary: the first K/4 frequencies turn by row, the same ones again by column [paper 2.4]."""
    quarter = head_dim // 4
    theta = VISION_THETA ** (-torch.arange(quarter, dtype=torch.float32, device=positions_T2.device) / quarter)
    return RotaryTable.of((positions_T2.float()[:, :, None] * theta).flatten(1))


def rotate(x_TNK: Tensor, rope: RotaryTable) -> Tensor:
    """Half-split rotation: elements j and j + K/2 turn together. Computed in float32, returned in the input's dtype."""
    low, high = x_TNK.float().chunk(2, dim=-1)
    if torch.is_grad_enabled():
        rotated = torch.cat([low * rope.cos - high * rope.sin, high * rope.cos + low * rope.sin], dim=-1)
        return rotated.to(x_TNK.dtype)
    # Each half is rounded into its place, so no float32 copy of the whole is made.
    rotated = torch.empty_like(x_TNK, memory_format=torch.contiguous_format)
    half = low.shape[-1]
    rotated[..., :half] = (low * rope.cos).addcmul_(high, rope.sin, value=-1)
    rotated[..., half:] = (high * rope.cos).addcmul_(low, rope.sin)
    return rotated
