"""Random queries, keys and values, and packed layouts on the CPU."""

import torch

from qwen2vl.model.attention import AttentionLayout

CPU = torch.device("cpu")


def rows(total: int, heads: int, seed: int, grad: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(total, heads, 8, generator=generator).requires_grad_(grad)


def packed(lengths: list[int], causal: bool) -> AttentionLayout:
    bounds = torch.tensor([0, *lengths]).cumsum(0).tolist()
    return AttentionLayout.packed(bounds, causal=causal, device=CPU)
