"""The one attention function, and its back-end for any device: one call per bucket of similar segments.

Some buckets are faster as plain matrix products than in torch's fused kernel; this is decided here.

Shape legend: T = query rows, S = key rows, N = query heads, M = key/value heads, K = head size, B = segments in a
bucket, Q and L = longest query and key segment in it, G = heads that share a key, H = B * N.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from qwen2vl.model.attention.cuda import attend_varlen
from qwen2vl.model.attention.layout import AttentionLayout, Bucket
from qwen2vl.model.attention.packed_training import attend_packed
from qwen2vl.model.attention.reference import attend_reference


def attend(q_TNK: Tensor, k_SMK: Tensor, v_SMK: Tensor, layout: AttentionLayout, backend: str | None = None) -> Tensor:
    """Softmax attention of T query rows over S key rows, scaled by K^-0.5, [T, N, K].

    backend: "reference", "sdpa", "varlen", "packed"; None = the fastest one that can compute this row.
    """
    return BACKENDS[backend or choose_backend(q_TNK, layout)](q_TNK, k_SMK, v_SMK, layout)


def choose_backend(q_TNK: Tensor, layout: AttentionLayout) -> str:
    """ "varlen" for 16 bits on a GPU, "packed" in training on a CPU, both for packed rows only; else "sdpa"."""
    if not layout.is_packed:
        return "sdpa"
    if q_TNK.is_cuda:
        return "varlen" if q_TNK.dtype in (torch.bfloat16, torch.float16) else "sdpa"
    return "packed" if torch.is_grad_enabled() else "sdpa"


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attend_sdpa(q_TNK: Tensor, k_SMK: Tensor, v_SMK: Tensor, layout: AttentionLayout) -> Tensor:
    """torch's fused attention or plain products, one call per bucket, [T, N, K].

    Not part of compiled graphs: the number of buckets changes from row to row and would compile them again each time.
    """
    results = []
    for bucket in layout.buckets:
        q, k, v = bucket.queries.take(q_TNK), bucket.keys.take(k_SMK), bucket.keys.take(v_SMK)
        results.append(attend_bucket(q, k, v, bucket))
    return layout.join(results)


def attend_bucket(q_BNQK: Tensor, k_BMLK: Tensor, v_BMLK: Tensor, bucket: Bucket) -> Tensor:
    """Attention of one bucket by the computation that is fastest for it, [B, Q, N, K]."""
    num_heads, kv_heads = q_BNQK.shape[1], k_BMLK.shape[1]
    if q_BNQK.shape[2] == 1 and num_heads > kv_heads:
        # One query each: the heads that share a key become query rows, so keys are read once and never repeated.
        q_BMGK = q_BNQK.squeeze(2).unflatten(1, (kv_heads, -1))
        out = F.scaled_dot_product_attention(q_BMGK, k_BMLK, v_BMLK, attn_mask=bucket.mask)
        return out.flatten(1, 2)[:, None]
    on_cpu = q_BNQK.device.type == "cpu"
    without_gradient = q_BNQK.dtype == torch.bfloat16 and not q_BNQK.requires_grad
    if on_cpu and without_gradient and not bucket.causal and num_heads == kv_heads:
        return attend_in_pieces(q_BNQK, k_BMLK, v_BMLK, bucket)
    out = F.scaled_dot_product_attention(
        q_BNQK, k_BMLK, v_BMLK, attn_mask=bucket.mask, is_causal=bucket.causal, enable_gqa=num_heads > kv_heads
    )
    return out.transpose(1, 2)


def attend_in_pieces(q_BNQK: Tensor, k_BNLK: Tensor, v_BNLK: Tensor, bucket: Bucket) -> Tensor:
    """The formula for bf16 on a CPU without gradients, in pieces whose scores stay in the cache, [B, Q, N, K].

    The fused kernel multiplies as slowly as in float32 there: 78 ms against 49 ms for 1,024 rows of 16 heads on one
    core. Scores are rounded to bf16 before the softmax (which works in float32), as in transformers' plain attention.
    """
    num_heads, rows, keys = q_BNQK.shape[1], q_BNQK.shape[2], k_BNLK.shape[2]
    q_HQK = (q_BNQK * q_BNQK.shape[-1] ** -0.5).flatten(0, 1)
    k_HKL = k_BNLK.contiguous().flatten(0, 1).transpose(1, 2)
    v_HLK = v_BNLK.contiguous().flatten(0, 1)
    hidden = None
    if bucket.mask is not None:
        hidden = torch.zeros_like(bucket.mask, dtype=q_HQK.dtype).masked_fill(~bucket.mask, float("-inf"))
        hidden = hidden.expand(-1, num_heads, -1, -1).flatten(0, 1)
    out_HQK = torch.empty_like(q_HQK)
    max_scores = 4 * 2**20  # 8 MB: more leave the cache between the two products, fewer make the products small
    heads_at_once = max(num_heads, max_scores // (rows * keys))
    rows_at_once = max(64, max_scores // (min(heads_at_once, len(q_HQK)) * keys))
    for first in range(0, len(q_HQK), heads_at_once):
        heads = slice(first, first + heads_at_once)
        for top in range(0, rows, rows_at_once):
            scores = torch.bmm(q_HQK[heads, top : top + rows_at_once], k_HKL[heads])
            if hidden is not None:
                scores += hidden[heads]
            torch.bmm(scores.softmax(-1), v_HLK[heads], out=out_HQK[heads, top : top + rows_at_once])
    return out_HQK.unflatten(0, (-1, num_heads)).transpose(1, 2)


BACKENDS = {"reference": attend_reference, "sdpa": attend_sdpa, "varlen": attend_varlen, "packed": attend_packed}
