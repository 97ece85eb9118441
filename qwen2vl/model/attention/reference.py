"""The definition of attention, segment by segment: slow, and what every back-end is tested against.

Shape legend: T = query rows, S = key rows, N = query heads, M = key/value heads, K = head size.
"""

import torch
from torch import Tensor

from qwen2vl.model.attention.layout import AttentionLayout


def attend_reference(q_TNK: Tensor, k_SMK: Tensor, v_SMK: Tensor, layout: AttentionLayout) -> Tensor:
    """Softmax attention with the softmax in float32, [T, N, K]; rows outside of all segments are zero."""
    groups = q_TNK.shape[1] // k_SMK.shape[1]
    out_TNK = torch.zeros_like(q_TNK)
    for s in layout.segments:
        q = q_TNK[s.query_start : s.query_start + s.queries].transpose(0, 1)
        k = k_SMK[s.key_start : s.key_start + s.keys].transpose(0, 1).repeat_interleave(groups, 0)
        v = v_SMK[s.key_start : s.key_start + s.keys].transpose(0, 1).repeat_interleave(groups, 0)
        scores = (q @ k.transpose(1, 2)).float() * q.shape[-1] ** -0.5
        if layout.causal:
            hidden = torch.ones(s.queries, s.keys, dtype=torch.bool, device=q.device).triu(s.keys - s.queries + 1)
            scores = scores.masked_fill(hidden, float("-inf"))
        mixed = scores.softmax(-1).to(v.dtype) @ v
        out_TNK[s.query_start : s.query_start + s.queries] = mixed.transpose(0, 1)
    return out_TNK
