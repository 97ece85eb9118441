"""Attention of packed rows for training on a CPU: an operation of torch with a backward pass of its own.

The forward pass keeps the softmax weights, so the backward pass is four batched products a bucket. As one operation it is
opaque to the compiler: layers compile as a whole, whatever the segments of a row. Graphs of the compiler have tensors and
numbers as arguments, so the operation receives the boundaries of the segments and looks up the layout that belongs to them.

Shape legend: T = rows, N = query heads, M = key/value heads, K = head size, B = segments in a bucket, L = longest segment
in it, G = heads that share a key, H = B * M, R = G * L.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from qwen2vl.model.attention.layout import AttentionLayout, Bucket


def attend_packed(q_TNK: Tensor, k_TMK: Tensor, v_TMK: Tensor, layout: AttentionLayout) -> Tensor:
    """Attention of a packed row with gradients, [T, N, K]."""
    rows = (x.contiguous() for x in (q_TNK, k_TMK, v_TMK))
    out_TNK: Tensor
    out_TNK, _ = torch.ops.qwen2vl.attend_packed(*rows, layout.bounds, layout.kept_weights, layout.causal)
    return out_TNK


@torch.library.custom_op("qwen2vl::attend_packed", mutates_args=())
def _forward(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, kept_weights: int, causal: bool) -> tuple[Tensor, Tensor]:
    """Result [T, N, K], and the kept softmax weights of all buckets in one row."""
    layout, kept, results = _layout(bounds, causal), q.new_empty(q.shape[1] * kept_weights), []
    for bucket, weights_HRL in _with_weights(layout, kept, k.shape[1]):
        q_HRK, k_HLK, v_HLK = (_take(x, bucket, k.shape[1]) for x in (q, k, v))
        if weights_HRL is None:
            mixed_HRK = _fused(q_HRK, k_HLK, v_HLK, bucket)
        else:
            torch.bmm(q_HRK * q.shape[2] ** -0.5, k_HLK.transpose(1, 2), out=weights_HRL)
            _hide(weights_HRL, bucket)
            torch.softmax(weights_HRL, -1, out=weights_HRL)
            mixed_HRK = torch.bmm(weights_HRL, v_HLK)
        results.append(_split(mixed_HRK, bucket))
    return layout.join(results).contiguous(), kept


@_forward.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, kept_weights: int, causal: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(q), q.new_empty(q.shape[1] * kept_weights)


@torch.library.custom_op("qwen2vl::attend_packed_backward", mutates_args=())
def _backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, kept: Tensor, bounds: Tensor, causal: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q [T, N, K], k and v [T, M, K]."""
    layout, results = _layout(bounds, causal), list[tuple[Tensor, ...]]()
    for bucket, weights_HRL in _with_weights(layout, kept, k.shape[1]):
        q_HRK, k_HLK, v_HLK, grad_HRK = (_take(x, bucket, k.shape[1]) for x in (q, k, v, grad))
        if bucket.kept is not None:
            _clear_padding(grad_HRK, bucket, bucket.kept)
        if weights_HRL is None:
            found = _fused_gradients(grad_HRK, q_HRK, k_HLK, v_HLK, bucket)
        else:
            by_weight = torch.bmm(grad_HRK, v_HLK.transpose(1, 2))
            by_score = torch._softmax_backward_data(by_weight, weights_HRL, -1, q.dtype).mul_(q.shape[2] ** -0.5)
            by_query = torch.bmm(by_score, k_HLK)
            by_key = torch.bmm(by_score.transpose(1, 2), q_HRK)
            found = by_query, by_key, torch.bmm(weights_HRL.transpose(1, 2), grad_HRK)
        results.append(tuple(_split(x, bucket) for x in found))
    by_query, by_key, by_value = (layout.join(x).contiguous() for x in zip(*results, strict=True))
    return by_query, by_key, by_value


@_backward.register_fake
def _(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, kept: Tensor, bounds: Tensor, causal: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, bounds, _, ctx.causal = inputs
    ctx.save_for_backward(q, k, v, output[1], bounds)


def _gradients(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    found = torch.ops.qwen2vl.attend_packed_backward(grad.contiguous(), *ctx.saved_tensors, ctx.causal)
    return (*found, None, None, None)


_forward.register_autograd(_gradients, setup_context=_save)


def _layout(bounds: Tensor, causal: bool) -> AttentionLayout:
    return AttentionLayout.packed(bounds.tolist(), causal=causal, device=bounds.device)


def _with_weights(layout: AttentionLayout, kept: Tensor, kv_heads: int) -> Iterator[tuple[Bucket, Tensor | None]]:
    """Every bucket with its part of the kept weights, [H, R, L]; None where they are not kept."""
    begin, heads = 0, len(kept) // max(1, layout.kept_weights)
    for bucket in layout.buckets:
        end = begin + heads * bucket.kept_weights
        shape = bucket.queries.count * kv_heads, -1, bucket.queries.length
        yield bucket, kept[begin:end].view(shape) if end > begin else None
        begin = end


def _take(x_TNK: Tensor, bucket: Bucket, kv_heads: int) -> Tensor:
    """Rows of a bucket, [T, N, K] to [H, R, K]: heads that share a key become query rows, so no key is copied."""
    x_BNLK = bucket.queries.take(x_TNK)
    return x_BNLK.reshape(len(x_BNLK) * kv_heads, -1, x_TNK.shape[2])


def _split(x_HRK: Tensor, bucket: Bucket) -> Tensor:
    """Inverse of `_take` within a bucket, [H, R, K] to [B, L, N, K]."""
    count, length = bucket.queries.count, bucket.queries.length
    return x_HRK.reshape(count, -1, length, x_HRK.shape[2]).transpose(1, 2)


def _hide(scores_HRL: Tensor, bucket: Bucket) -> None:
    """Set the scores of keys that a row must not see to -inf."""
    length = bucket.queries.length
    by_head = scores_HRL.view(bucket.queries.count, -1, length, length)
    if bucket.causal:
        by_head += scores_HRL.new_full((length, length), float("-inf")).triu(1)
    elif (bias := _bias(scores_HRL, bucket)) is not None:
        by_head += bias


def _clear_padding(grad_HRK: Tensor, bucket: Bucket, real: Tensor) -> None:
    """Set the gradients of padding to 0: its rows repeat a real row, whose gradient would be added again."""
    count, length = bucket.queries.count, bucket.queries.length
    is_padding = grad_HRK.new_ones(count * length).index_fill_(0, real, 0).view(count, 1, length, 1)
    grad_HRK.view(count, -1, length, grad_HRK.shape[2]).masked_fill_(is_padding.bool(), 0)


def _fused(q_HRK: Tensor, k_HLK: Tensor, v_HLK: Tensor, bucket: Bucket) -> Tensor:
    """The same by torch's fused kernel, [H, R, K]."""
    return _run_fused(_repeated(q_HRK, k_HLK, v_HLK, bucket), bucket)[0].reshape(q_HRK.shape)


def _fused_gradients(
    grad_HRK: Tensor, q_HRK: Tensor, k_HLK: Tensor, v_HLK: Tensor, bucket: Bucket
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value; autograd is off within an operation, so the kernels are called by name."""
    inputs, count = _repeated(q_HRK, k_HLK, v_HLK, bucket), bucket.queries.count
    out_BNLK, log_sums = _run_fused(inputs, bucket)
    by_query, by_key, by_value = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
        grad_HRK.view_as(inputs[0]), *inputs, out_BNLK, log_sums, 0.0, bucket.causal, attn_mask=_bias(inputs[0], bucket)
    )
    kv_heads = len(k_HLK) // count
    summed = (x.unflatten(1, (kv_heads, -1)).sum(2).reshape(k_HLK.shape) for x in (by_key, by_value))
    return by_query.reshape(q_HRK.shape), *summed


def _repeated(q_HRK: Tensor, k_HLK: Tensor, v_HLK: Tensor, bucket: Bucket) -> list[Tensor]:
    """Queries, keys and values, [B, N, L, K] each: the kernel's backward pass has no heads that share a key."""
    q_BNLK, k_BMLK, v_BMLK = (_split(x, bucket).transpose(1, 2) for x in (q_HRK, k_HLK, v_HLK))
    groups = q_BNLK.shape[1] // k_BMLK.shape[1]
    return [q_BNLK, k_BMLK.repeat_interleave(groups, 1), v_BMLK.repeat_interleave(groups, 1)]


def _run_fused(inputs: list[Tensor], bucket: Bucket) -> tuple[Tensor, Tensor]:
    """Result [B, N, L, K] and the sums that the backward pass needs."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    out_BNLK, log_sums = kernel(*inputs, 0.0, bucket.causal, attn_mask=_bias(inputs[0], bucket))
    return out_BNLK, log_sums


def _bias(q: Tensor, bucket: Bucket) -> Tensor | None:
    """What is added to scores, [B, 1, 1, L]: -inf for padding; None = nothing."""
    if bucket.mask is None:
        return None
    return torch.zeros_like(bucket.mask, dtype=q.dtype).masked_fill(~bucket.mask, float("-inf"))
