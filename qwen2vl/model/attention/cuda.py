"""Attention for CUDA devices: torch's variable-length flash attention.

Shape legend: T = rows, N = query heads, M = key/value heads, K = head size.
"""

import torch
from torch import Tensor

from qwen2vl.model.attention.layout import AttentionLayout


@torch.compiler.disable  # type: ignore[untyped-decorator]  # the length of the longest segment would be part of the graph
def attend_varlen(q_TNK: Tensor, k_TMK: Tensor, v_TMK: Tensor, layout: AttentionLayout) -> Tensor:
    """One call for a whole packed row, [T, N, K]; for bf16 and fp16 only, and not over a cache."""
    from torch.nn.attention.varlen import varlen_attn  # loads kernels that only a GPU can run

    assert layout.bounds is not None, "a row over a cache has no bounds"
    longest = max(segment.keys for segment in layout.segments)
    window = (-1, 0) if layout.causal else (-1, -1)
    grouped = q_TNK.shape[1] > k_TMK.shape[1]
    return varlen_attn(  # type: ignore[return-value]  # a pair only when more results are requested
        q_TNK, k_TMK, v_TMK, layout.bounds, layout.bounds, longest, longest, window_size=window, enable_gqa=grouped
    )
