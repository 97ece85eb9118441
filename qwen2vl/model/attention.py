"""The one attention function, and the plan that tells it who sees whom.

A packed row holds many segments (frames in the tower, documents in the decoder, cached sequences while decoding).
A plan is made once per forward from their boundaries and shared by all layers. It gathers segments of similar length
into buckets, each of which is one batched call: a video of 64 frames is one call, and no N x N mask over the row exists.

Shape legend: T = query rows, S = key rows, N = query heads, M = key/value heads, K = head size, B = segments in a
bucket, Q and L = longest query and key segment in it.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PADDING_ALLOWED = 0.3
"""Shortest over longest in a bucket is at least 1 - this: up to 30 % of a bucket's rows are wasted to save calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """`queries` rows from `query_start` look at `keys` rows from `key_start`; the last of both are the same token."""

    query_start: int
    queries: int
    key_start: int
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """B equally long stretches of rows: evenly spaced ones are a view (no copy), others are gathered by index."""

    start: int
    count: int
    stride: int
    length: int
    index: Tensor | None

    def take(self, x: Tensor) -> Tensor:
        """[rows, heads, K] to [B, heads, length, K]."""
        if self.index is not None:
            return x.index_select(0, self.index).unflatten(0, (self.count, self.length)).transpose(1, 2)
        if self.stride == self.length:
            return (
                x.narrow(0, self.start, self.count * self.length)
                .unflatten(0, (self.count, self.length))
                .transpose(1, 2)
            )
        row, head, element = x.stride()
        size = (self.count, x.shape[1], self.length, x.shape[2])
        return x.as_strided(size, (self.stride * row, head, row, element), x.storage_offset() + self.start * row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Segments that are attended to in one call."""

    queries: Rows
    keys: Rows
    causal: bool
    """Queries and keys are the same rows, and a row sees itself and those before it."""
    mask: Tensor | None
    """bool [B, 1, 1 or Q, L], True = visible; None = nothing hidden."""
    kept: Tensor | None
    """int64: which of the B * Q rows are not padding; None = all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionPlan:
    """Who sees whom in one row: the same for every layer of a forward."""

    segments: tuple[Segment, ...]
    causal: bool
    buckets: tuple[Bucket, ...]
    order: Tensor | None
    """Where each row's result lies in the concatenation of buckets; None = already in order."""
    bounds: Tensor | None = None
    """int32 [segments + 1] on the device where segments lie end to end and see themselves; None = over a cache."""


def plan_packed(boundaries: Sequence[int], *, causal: bool, device: torch.device) -> AttentionPlan:
    """Every segment sees itself: boundaries [0, 4, 6] are segments of 4 and 2 rows. Empty segments are skipped."""
    pairs = itertools.pairwise(boundaries)
    segments = [
        Segment(query_start=int(a), queries=int(b - a), key_start=int(a), keys=int(b - a)) for a, b in pairs if b > a
    ]
    plan = plan_attention(segments, causal=causal, device=device)
    if device.type != "cuda":
        return plan
    ends = [s.query_start + s.queries for s in segments]
    return replace(plan, bounds=torch.tensor([0, *ends], dtype=torch.int32, device=device))


def plan_attention(segments: Sequence[Segment], *, causal: bool, device: torch.device) -> AttentionPlan:
    """Group segments into buckets of similar length. Costs O(S log S) on the CPU, once per forward."""
    groups = group_by_length(segments)
    buckets = tuple(make_bucket([segments[i] for i in group], causal, device) for group in groups)
    return AttentionPlan(
        segments=tuple(segments), causal=causal, buckets=buckets, order=restoring_order(segments, groups, device)
    )


def group_by_length(segments: Sequence[Segment]) -> list[list[int]]:
    """Indices of segments that share a call.

    Prompts over a cached prefix (queries < keys, more than one query) go alone: each needs a mask of its own shape.
    Decoding steps (one query each) all go together, because a short mask over keys is cheap.
    """
    single = [i for i, s in enumerate(segments) if s.queries == 1 and s.keys > 1]
    alone = [[i] for i, s in enumerate(segments) if 1 < s.queries < s.keys]
    rest = [i for i, s in enumerate(segments) if s.queries == s.keys]
    rest.sort(key=lambda i: segments[i].keys)  # stable: equal lengths stay in the row's order, so views stay possible
    groups: list[list[int]] = []
    for i in rest:
        if groups and segments[groups[-1][0]].keys >= (1 - PADDING_ALLOWED) * segments[i].keys:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups + alone + ([single] if single else [])


def make_bucket(group: list[Segment], causal: bool, device: torch.device) -> Bucket:
    queries = np.array([s.queries for s in group])
    keys = np.array([s.keys for s in group])
    same_rows = all(s.queries == s.keys for s in group)
    mask = None
    if not same_rows and queries.max() > 1 and causal:  # one prompt over a cached prefix: aligned to the lower right
        mask = torch.ones(1, 1, queries[0], keys[0], dtype=torch.bool, device=device).tril(int(keys[0] - queries[0]))
    elif keys.min() < keys.max() and not (same_rows and causal):
        # Causal buckets need none: their padding stands at the end, where no real row looks.
        mask = (torch.arange(int(keys.max())) < torch.as_tensor(keys)[:, None])[:, None, None].to(device)
    kept = None
    if queries.min() < queries.max():
        real = np.arange(queries.max()) < queries[:, None]
        kept = torch.from_numpy(np.flatnonzero(real)).to(device)
    return Bucket(
        queries=make_rows([s.query_start for s in group], queries, device),
        keys=make_rows([s.key_start for s in group], keys, device, cached=not same_rows),
        causal=causal and same_rows and bool(keys.max() > 1),
        mask=mask,
        kept=kept,
    )


def make_rows(starts: Sequence[int], lengths: np.ndarray, device: torch.device, cached: bool = False) -> Rows:
    """A view where rows are evenly spaced and equally long.

    In a cache unequal lengths will do as well: every sequence has room for the longest, and the mask hides the rest.
    """
    count, longest, first = len(starts), int(lengths.max()), int(starts[0])
    stride = int(starts[1] - starts[0]) if count > 1 else longest
    evenly = stride >= longest and bool((np.diff(starts) == stride).all())
    if evenly and (cached or (stride == longest and (lengths == longest).all())):
        return Rows(start=first, count=count, stride=stride, length=longest, index=None)
    # Short segments repeat their last row: any finite value will do, it is masked or dropped.
    offsets = np.minimum(np.arange(longest)[None], lengths[:, None] - 1)
    index = torch.from_numpy((np.asarray(starts)[:, None] + offsets).reshape(-1)).to(device)
    return Rows(start=first, count=count, stride=stride, length=longest, index=index)


def restoring_order(segments: Sequence[Segment], groups: list[list[int]], device: torch.device) -> Tensor | None:
    rows = [
        np.arange(segments[i].query_start, segments[i].query_start + segments[i].queries) for g in groups for i in g
    ]
    order = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
    if (order == np.arange(len(order))).all():
        return None
    return torch.from_numpy(np.argsort(order)).to(device)


def attend_reference(q_TNK: Tensor, k_SMK: Tensor, v_SMK: Tensor, plan: AttentionPlan) -> Tensor:
    """The definition, segment by segment with softmax in float32: slow, and what every back-end is tested against."""
    groups = q_TNK.shape[1] // k_SMK.shape[1]
    out_TNK = torch.zeros_like(q_TNK)
    for s in plan.segments:
        q = q_TNK[s.query_start : s.query_start + s.queries].transpose(0, 1)
        k = k_SMK[s.key_start : s.key_start + s.keys].transpose(0, 1).repeat_interleave(groups, 0)
        v = v_SMK[s.key_start : s.key_start + s.keys].transpose(0, 1).repeat_interleave(groups, 0)
        scores = (q @ k.transpose(1, 2)).float() * q.shape[-1] ** -0.5
        if plan.causal:
            hidden = torch.ones(s.queries, s.keys, dtype=torch.bool, device=q.device).triu(s.keys - s.queries + 1)
            scores = scores.masked_fill(hidden, float("-inf"))
        mixed = scores.softmax(-1).to(v.dtype) @ v
        out_TNK[s.query_start : s.query_start + s.queries] = mixed.transpose(0, 1)
    return out_TNK


def attend_sdpa(q_TNK: Tensor, k_SMK: Tensor, v_SMK: Tensor, plan: AttentionPlan) -> Tensor:
    """torch's fused attention, one call per bucket."""
    pieces = []
    for bucket in plan.buckets:
        q, k, v = bucket.queries.take(q_TNK), bucket.keys.take(k_SMK), bucket.keys.take(v_SMK)
        out = attend_one(q, k, v, bucket)
        rows = out.flatten(0, 1)
        pieces.append(rows if bucket.kept is None else rows.index_select(0, bucket.kept))
    joined = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
    return joined if plan.order is None else joined.index_select(0, plan.order)


def attend_one(q_BNQK: Tensor, k_BMLK: Tensor, v_BMLK: Tensor, bucket: Bucket) -> Tensor:
    """One bucket, [B, Q, N, K]."""
    num_heads, kv_heads = q_BNQK.shape[1], k_BMLK.shape[1]
    if q_BNQK.shape[2] == 1 and num_heads > kv_heads:
        # One query each: the heads that share a key stand in as query rows, so keys are read once and never repeated.
        q_BMGK = q_BNQK.squeeze(2).unflatten(1, (kv_heads, -1))
        out = F.scaled_dot_product_attention(q_BMGK, k_BMLK, v_BMLK, attn_mask=bucket.mask)
        return out.flatten(1, 2)[:, None]
    if (
        torch.is_grad_enabled()
        and q_BNQK.device.type == "cpu"
        and k_BMLK.shape[2] <= longest_plain(q_BNQK.element_size())
    ):
        return attend_plain(q_BNQK, k_BMLK, v_BMLK, bucket)
    halved = q_BNQK.dtype == torch.bfloat16 and q_BNQK.device.type == "cpu"
    if halved and not bucket.causal and num_heads == kv_heads and not q_BNQK.requires_grad:
        return attend_products(q_BNQK, k_BMLK, v_BMLK, bucket)
    out = F.scaled_dot_product_attention(
        q_BNQK, k_BMLK, v_BMLK, attn_mask=bucket.mask, is_causal=bucket.causal, enable_gqa=num_heads > kv_heads
    )
    return out.transpose(1, 2)


def longest_plain(element: int) -> int:
    """Training on a CPU with numbers of so many bytes: up to this length the plain products beat the fused kernel.

    Its bf16 backward is 5 to 9 times slower at 36 to 64 rows; in float32 it is a fifth faster from 144 rows on, and keeps
    no scores (measured on two cores).
    """
    return 64 if element == 4 else 256


def attend_plain(q_BNQK: Tensor, k_BMLK: Tensor, v_BMLK: Tensor, bucket: Bucket) -> Tensor:
    """The formula as batched products; heads that share keys are laid out as more query rows, so no key is copied."""
    length, kv_heads = q_BNQK.shape[2], k_BMLK.shape[1]
    q_BMRK = q_BNQK.unflatten(1, (kv_heads, -1)).flatten(2, 3) * q_BNQK.shape[-1] ** -0.5
    scores = (q_BMRK @ k_BMLK.transpose(2, 3)).unflatten(2, (-1, length))
    # Added, not filled in: an addition passes its gradient on untouched. The softmax itself works in float32.
    if bucket.causal:
        scores = scores + torch.full((length, length), float("-inf"), dtype=scores.dtype, device=scores.device).triu(1)
    elif bucket.mask is not None:
        hidden = torch.zeros_like(bucket.mask, dtype=scores.dtype).masked_fill(~bucket.mask, float("-inf"))
        scores = scores + hidden[:, :, None]
    weights = scores.softmax(-1).flatten(2, 3)
    return (weights @ v_BMLK).unflatten(2, (-1, length)).flatten(1, 2).transpose(1, 2)


def attend_products(q_BNQK: Tensor, k_BNLK: Tensor, v_BNLK: Tensor, bucket: Bucket) -> Tensor:
    """The formula again, without gradients in bf16 on a CPU: as many scores at a time as stay in the cache.

    The fused kernel multiplies at fp32's rate there. Scores are rounded to bf16 before the softmax (which works in
    float32), as transformers' own plain attention does; fused 78 ms, this 49 ms for 1,024 rows of 16 heads on one core.
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
    heads_at_once = max(num_heads, SCORES_AT_ONCE // (rows * keys))
    rows_at_once = max(64, SCORES_AT_ONCE // (min(heads_at_once, len(q_HQK)) * keys))
    for first in range(0, len(q_HQK), heads_at_once):
        heads = slice(first, first + heads_at_once)
        for top in range(0, rows, rows_at_once):
            scores = torch.bmm(q_HQK[heads, top : top + rows_at_once], k_HKL[heads])
            if hidden is not None:
                scores += hidden[heads]
            torch.bmm(scores.softmax(-1), v_HLK[heads], out=out_HQK[heads, top : top + rows_at_once])
    return out_HQK.unflatten(0, (-1, num_heads)).transpose(1, 2)


SCORES_AT_ONCE = 4 * 2**20
"""8 MB in bf16: more leave the cache between the two products, fewer make the products small."""


def attend_varlen(q_TNK: Tensor, k_SMK: Tensor, v_SMK: Tensor, plan: AttentionPlan) -> Tensor:
    """torch's variable-length flash attention: the whole packed row in one call, on CUDA in 16 bits only."""
    from torch.nn.attention.varlen import varlen_attn  # loads kernels that a CPU machine has no use for

    assert plan.bounds is not None, "a row over a cache has no bounds"
    longest = max(segment.keys for segment in plan.segments)
    window = (-1, 0) if plan.causal else (-1, -1)
    grouped = q_TNK.shape[1] > k_SMK.shape[1]
    return varlen_attn(  # type: ignore[return-value]  # a pair only when asked for more
        q_TNK, k_SMK, v_SMK, plan.bounds, plan.bounds, longest, longest, window_size=window, enable_gqa=grouped
    )


def choose_backend(q_TNK: Tensor, plan: AttentionPlan) -> str:
    """ "varlen" where it can run (CUDA, 16 bits, a packed row), else "sdpa"."""
    fits = q_TNK.is_cuda and q_TNK.dtype in (torch.bfloat16, torch.float16) and plan.bounds is not None
    return "varlen" if fits else "sdpa"


BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor, AttentionPlan], Tensor]] = {
    "reference": attend_reference,
    "sdpa": attend_sdpa,
    "varlen": attend_varlen,
}


@torch.compiler.disable  # type: ignore[untyped-decorator]
def attend(q_TNK: Tensor, k_SMK: Tensor, v_SMK: Tensor, plan: AttentionPlan, backend: str | None = None) -> Tensor:
    """Softmax attention of T query rows over S key rows as the plan says; scale K^-0.5; returns [T, N, K].

    Kept out of compiled graphs: the number of buckets changes from row to row and would recompile them each time.
    """
    return BACKENDS[backend or choose_backend(q_TNK, plan)](q_TNK, k_SMK, v_SMK, plan)
