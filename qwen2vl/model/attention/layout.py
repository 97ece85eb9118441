"""Layout of attention: the rows that see each other in one forward pass.

A packed row holds many segments: frames in the tower, documents in the decoder, cached sequences while decoding. Their
layout is made once per forward pass and shared by all layers. It gathers segments of similar length into buckets, and
each bucket is one batched call: a video of 64 frames is one call, and no mask over the whole row is ever made.

Shape legend: B = segments in a bucket, Q and L = longest query and key segment in it, K = head size.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

MAX_PADDING = 0.3
"""Largest share of padding: the shortest segment of a bucket has at least (1 - MAX_PADDING) times the rows of the longest."""
LONGEST_KEPT = 512
"""Longest segment, in rows, whose softmax weights are kept for the backward pass on a CPU.

Longer ones are computed twice by torch's fused kernel, because their weights would take more memory than all else that a
layer keeps. Below it the kernel is slow: its bf16 backward pass takes 5 to 9 times as long at 36 to 64 rows.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """`queries` rows from `query_start` on see `keys` rows from `key_start` on. The last row of both is the same token."""

    query_start: int
    queries: int
    key_start: int
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Pieces of a row, equally long. Evenly spaced ones are taken as a view (no copy), others are gathered by index."""

    start: int
    count: int
    """Number of pieces."""
    stride: int
    """Rows from the start of a piece to the start of the next one."""
    length: int
    """Rows of each piece."""
    index: Tensor | None
    """int64 [count * length]: the rows to gather; None = the pieces are evenly spaced."""

    @classmethod
    def of(cls, starts: Sequence[int], lengths: np.ndarray, device: torch.device, in_cache: bool = False) -> "Rows":
        """Rows of segments, all padded to the length of the longest one.

        In a cache, padding may be whatever follows a segment: every sequence has room for the longest, and a mask hides
        the rest, so even segments of unequal length are a view.
        """
        count, longest, first = len(starts), int(lengths.max()), int(starts[0])
        stride = int(starts[1] - starts[0]) if count > 1 else longest
        evenly_spaced = stride >= longest and bool((np.diff(starts) == stride).all())
        if evenly_spaced and (in_cache or (stride == longest and (lengths == longest).all())):
            return cls(start=first, count=count, stride=stride, length=longest, index=None)
        # A short segment repeats its last row. Any finite value would do: it is masked or dropped.
        offsets = np.minimum(np.arange(longest)[None], lengths[:, None] - 1)
        index = torch.from_numpy((np.asarray(starts)[:, None] + offsets).reshape(-1)).to(device)
        return cls(start=first, count=count, stride=stride, length=longest, index=index)

    def take(self, x: Tensor) -> Tensor:
        """[rows, heads, K] to [B, heads, length, K]."""
        if self.index is not None:
            return x.index_select(0, self.index).unflatten(0, (self.count, self.length)).transpose(1, 2)
        if self.stride == self.length:
            rows = x.narrow(0, self.start, self.count * self.length)
            return rows.unflatten(0, (self.count, self.length)).transpose(1, 2)
        row, head, element = x.stride()
        size = (self.count, x.shape[1], self.length, x.shape[2])
        return x.as_strided(size, (self.stride * row, head, row, element), x.storage_offset() + self.start * row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Segments whose attention is computed in one call."""

    queries: Rows
    keys: Rows
    causal: bool
    """Queries and keys are the same rows, and a row sees itself and the rows before it."""
    mask: Tensor | None
    """bool [B, 1, 1 or Q, L], True = visible; None = everything is visible."""
    kept: Tensor | None
    """int64: which of the B * Q rows are not padding; None = all."""

    @property
    def kept_weights(self) -> int:
        """Number of softmax weights of a head that are kept for the backward pass."""
        length = self.queries.length
        return self.queries.count * length * length if length <= LONGEST_KEPT else 0

    @classmethod
    def of(cls, group: Sequence[Segment], causal: bool, device: torch.device) -> "Bucket":
        """The bucket of some segments, as `group_by_length` puts them together."""
        queries = np.array([s.queries for s in group])
        keys = np.array([s.keys for s in group])
        same_rows = all(s.queries == s.keys for s in group)
        mask = None
        if not same_rows and queries.max() > 1 and causal:  # a prompt over a cached prefix: its last rows are the same
            mask = torch.ones(1, 1, queries[0], keys[0], dtype=torch.bool, device=device)
            mask = mask.tril(int(keys[0] - queries[0]))
        elif keys.min() < keys.max() and not (same_rows and causal):
            # A causal bucket needs no mask: its padding is at the end, which no real row sees.
            mask = (torch.arange(int(keys.max())) < torch.as_tensor(keys)[:, None])[:, None, None].to(device)
        kept = None
        if queries.min() < queries.max():
            is_real = np.arange(queries.max()) < queries[:, None]
            kept = torch.from_numpy(np.flatnonzero(is_real)).to(device)
        return cls(
            queries=Rows.of([s.query_start for s in group], queries, device),
            keys=Rows.of([s.key_start for s in group], keys, device, in_cache=not same_rows),
            causal=causal and same_rows and bool(keys.max() > 1),
            mask=mask,
            kept=kept,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionLayout:
    """The rows that see each other: the same for every layer of a forward pass."""

    segments: tuple[Segment, ...]
    causal: bool
    buckets: tuple[Bucket, ...]
    order: Tensor | None
    """int64: where each row's result is in the joined results of the buckets; None = already in order."""
    is_packed: bool = False
    """Whether the segments follow each other and see themselves."""
    bounds: Tensor | None = None
    """int32 [segments + 1] of a packed row, on the device."""
    kept_weights: int = 0
    """Number of softmax weights of a head that are kept for the backward pass, of all buckets together."""

    @classmethod
    def packed(cls, boundaries: Sequence[int], *, causal: bool, device: torch.device) -> "AttentionLayout":
        """Segments that follow each other, each of which sees itself: [0, 4, 6] are segments of 4 and 2 rows.

        Empty segments are left out.
        """
        return _packed(tuple(boundaries), causal, device)

    @classmethod
    def of(cls, segments: Sequence[Segment], *, causal: bool, device: torch.device) -> "AttentionLayout":
        """Any segments, in buckets of similar length. Costs O(S log S) on the CPU for S segments."""
        groups = group_by_length(segments)
        rows = [
            np.arange(segments[i].query_start, segments[i].query_start + segments[i].queries)
            for group in groups
            for i in group
        ]
        joined = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
        in_order = (joined == np.arange(len(joined))).all()
        return cls(
            segments=tuple(segments),
            causal=causal,
            buckets=tuple(Bucket.of([segments[i] for i in group], causal, device) for group in groups),
            order=None if in_order else torch.from_numpy(np.argsort(joined)).to(device),
        )

    def join(self, results: Sequence[Tensor]) -> Tensor:
        """Results of all buckets, [B, Q, N, K] each, as one row without padding, [T, N, K]."""
        pieces = [x.flatten(0, 1) for x in results]
        kept = [x if b.kept is None else x.index_select(0, b.kept) for x, b in zip(pieces, self.buckets, strict=True)]
        joined = kept[0] if len(kept) == 1 else torch.cat(kept)
        return joined if self.order is None else joined.index_select(0, self.order)


@lru_cache(maxsize=4)  # the tower's and the decoder's; training looks them up again in every layer
def _packed(boundaries: tuple[int, ...], causal: bool, device: torch.device) -> AttentionLayout:
    segments = [
        Segment(query_start=a, queries=b - a, key_start=a, keys=b - a)
        for a, b in itertools.pairwise(boundaries)
        if b > a
    ]
    with torch.inference_mode(False):  # training may look up what inference has made, and must be able to save it
        layout = AttentionLayout.of(segments, causal=causal, device=device)
        ends = [s.query_start + s.queries for s in segments]
        bounds = torch.tensor([0, *ends], dtype=torch.int32, device=device)
    kept_weights = sum(bucket.kept_weights for bucket in layout.buckets)
    return replace(layout, is_packed=True, bounds=bounds, kept_weights=kept_weights)


def group_by_length(segments: Sequence[Segment]) -> list[list[int]]:
    """Indices of segments that share a call, one list per bucket.

    A prompt over a cached prefix (fewer queries than keys, more than one query) is alone: its mask has a shape that no
    other needs. Decoding steps (one query each) are all together, because a mask over keys alone is cheap.
    """
    single = [i for i, s in enumerate(segments) if s.queries == 1 and s.keys > 1]
    alone = [[i] for i, s in enumerate(segments) if 1 < s.queries < s.keys]
    others = [i for i, s in enumerate(segments) if s.queries == s.keys]
    others.sort(key=lambda i: segments[i].keys)  # stable: equal lengths stay in the row's order, so views stay possible
    groups: list[list[int]] = []
    for i in others:
        if groups and segments[groups[-1][0]].keys >= (1 - MAX_PADDING) * segments[i].keys:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups + alone + ([single] if single else [])
