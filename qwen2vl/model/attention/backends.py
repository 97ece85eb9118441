"""The one attention function, and its back-end for any device: one call per bucket of similar segments.

On a CPU two kinds of bucket are faster as plain matrix products than in torch's fused kernel; this is decided here.

Shape legend: T = query rows, S = key rows, N = query heads, M = key/value heads, K = head size, B = segments in a
bucket, Q and L = longest query and key segment in it, G = heads that share a key, H = B * N, R = G * Q.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from qwen2vl.model.attention.cuda import attend_varlen
from qwen2vl.model.attention.layout import AttentionLayout, Bucket
from qwen2vl.model.attention.reference import attend_reference


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attend(q_TNK: Tensor, k_SMK: Tensor, v_SMK: Tensor, layout: AttentionLayout, backend: str | None = None) -> Tensor:
    """Softmax attention of T query rows over S key rows, scaled by K^-0.5, [T, N, K].

    backend: "reference", "sdpa", "varlen"; None = the fastest one that can compute this row.
    Not part of compiled graphs: the number of buckets changes from row to row and would compile them again each time.
    """
    backends = {"reference": attend_reference, "sdpa": attend_sdpa, "varlen": attend_varlen}
    return backends[backend or choose_backend(q_TNK, layout)](q_TNK, k_SMK, v_SMK, layout)


def choose_backend(q_TNK: Tensor, layout: AttentionLayout) -> str:
    """ "varlen" where it can run (CUDA, 16 bits, a packed row), else "sdpa"."""
    fits = q_TNK.is_cuda and q_TNK.dtype in (torch.bfloat16, torch.float16) and layout.bounds is not None
    return "varlen" if fits else "sdpa"


def attend_sdpa(q_TNK: Tensor, k_SMK: Tensor, v_SMK: Tensor, layout: AttentionLayout) -> Tensor:
    """torch's fused attention or plain products, one call per bucket, [T, N, K]."""
    pieces = []
    for bucket in layout.buckets:
        q, k, v = bucket.queries.take(q_TNK), bucket.keys.take(k_SMK), bucket.keys.take(v_SMK)
        rows = attend_bucket(q, k, v, bucket).flatten(0, 1)
        pieces.append(rows if bucket.kept is None else rows.index_select(0, bucket.kept))
    joined = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
    return joined if layout.order is None else joined.index_select(0, layout.order)


def attend_bucket(q_BNQK: Tensor, k_BMLK: Tensor, v_BMLK: Tensor, bucket: Bucket) -> Tensor:
    """Attention of one bucket by the computation that is fastest for it, [B, Q, N, K]."""
    num_heads, kv_heads = q_BNQK.shape[1], k_BMLK.shape[1]
    if q_BNQK.shape[2] == 1 and num_heads > kv_heads:
        # One query each: the heads that share a key become query rows, so keys are read once and never repeated.
        q_BMGK = q_BNQK.squeeze(2).unflatten(1, (kv_heads, -1))
        out = F.scaled_dot_product_attention(q_BMGK, k_BMLK, v_BMLK, attn_mask=bucket.mask)
        return out.flatten(1, 2)[:, None]
    on_cpu = q_BNQK.device.type == "cpu"
    if on_cpu and torch.is_grad_enabled() and k_BMLK.shape[2] <= longest_plain(q_BNQK.element_size()):
        return attend_plain(q_BNQK, k_BMLK, v_BMLK, bucket)
    without_gradient = q_BNQK.dtype == torch.bfloat16 and not q_BNQK.requires_grad
    if on_cpu and without_gradient and not bucket.causal and num_heads == kv_heads:
        return attend_in_pieces(q_BNQK, k_BMLK, v_BMLK, bucket)
    out = F.scaled_dot_product_attention(
        q_BNQK, k_BMLK, v_BMLK, attn_mask=bucket.mask, is_causal=bucket.causal, enable_gqa=num_heads > kv_heads
    )
    return out.transpose(1, 2)


def longest_plain(element_size: int) -> int:
    """Longest segment, in rows, that is trained with `attend_plain` on a CPU, for numbers of this many bytes.

    Up to here it is faster than the fused kernel, whose bf16 backward pass is 5 to 9 times slower at 36 to 64 rows. In
    float32 the fused kernel is a fifth faster from 144 rows on, and keeps no scores (measured on two cores).
    """
    return 64 if element_size == 4 else 256


def attend_plain(q_BNQK: Tensor, k_BMLK: Tensor, v_BMLK: Tensor, bucket: Bucket) -> Tensor:
    """The formula as batched products, [B, Q, N, K]; heads that share keys become query rows, so no key is copied."""
    length, kv_heads = q_BNQK.shape[2], k_BMLK.shape[1]
    q_BMRK = q_BNQK.unflatten(1, (kv_heads, -1)).flatten(2, 3) * q_BNQK.shape[-1] ** -0.5
    scores = (q_BMRK @ k_BMLK.transpose(2, 3)).unflatten(2, (-1, length))
    # -inf is added, not filled in: an addition passes its gradient on unchanged. The softmax itself works in float32.
    if bucket.causal:
        scores = scores + torch.full((length, length), float("-inf"), dtype=scores.dtype, device=scores.device).triu(1)
    elif bucket.mask is not None:
        hidden = torch.zeros_like(bucket.mask, dtype=scores.dtype).masked_fill(~bucket.mask, float("-inf"))
        scores = scores + hidden[:, :, None]
    weights = scores.softmax(-1).flatten(2, 3)
    return (weights @ v_BMLK).unflatten(2, (-1, length)).flatten(1, 2).transpose(1, 2)


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
