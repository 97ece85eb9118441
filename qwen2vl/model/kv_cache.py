"""Keys and values of past tokens: one pool of slots per layer, in which every sequence owns one stretch.

A step reads the pool through an `AttentionLayout`, so attention over a cache is the same call as attention in a row.
Shape legend: T = new tokens, M = key/value heads, K = head size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qwen2vl.model.attention import AttentionLayout, Segment
from qwen2vl.spec.config import TextConfig


class KVCache:
    """Room for `num_sequences` sequences of up to `capacity` tokens each.

    Bytes: 2 * layers * kv heads * head size * element size for each of num_sequences * capacity tokens.
    """

    def __init__(
        self, config: TextConfig, num_sequences: int, capacity: int, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (num_sequences * capacity, config.num_key_value_heads, config.head_dim)
        # Zeros, not empty: hidden slots get weight 0, and 0 times the NaN of stale memory would be NaN.
        self.keys = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.num_hidden_layers)]
        self.values = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.num_hidden_layers)]
        self.capacity = capacity
        self.lengths = [0] * num_sequences

    def extend(self, new_tokens: Sequence[int], sequences: Sequence[int] | None = None) -> "CacheStep":
        """Reserve slots for new tokens at the end of some sequences; None = of all sequences, in order.

        new_tokens: number of tokens for each of `sequences`; the row holds them in the same order.
        """
        sequences = range(len(self.lengths)) if sequences is None else sequences
        segments, slots, row = [], [], 0
        for sequence, count in zip(sequences, new_tokens, strict=True):
            first, past = sequence * self.capacity, self.lengths[sequence]
            assert past + count <= self.capacity, (
                f"sequence {sequence} would hold {past + count} of {self.capacity} tokens"
            )
            segments.append(Segment(query_start=row, queries=count, key_start=first, keys=past + count))
            slots.append(torch.arange(first + past, first + past + count))
            self.lengths[sequence] = past + count
            row += count
        device = self.keys[0].device
        layout = AttentionLayout.of(segments, causal=True, device=device)
        return CacheStep(cache=self, slots=torch.cat(slots).to(device), layout=layout)

    def truncate(self, sequence: int, length: int) -> None:
        """Forget everything of a sequence after its first `length` tokens."""
        assert 0 <= length <= self.lengths[sequence]
        self.lengths[sequence] = length

    def grow(self, capacity: int) -> None:
        """Make room for longer sequences and keep what is stored; never shrinks."""
        if capacity <= self.capacity:
            return
        for pools in (self.keys, self.values):
            for layer, old in enumerate(pools):
                new = old.new_zeros(len(self.lengths), capacity, *old.shape[1:])
                new[:, : self.capacity] = old.unflatten(0, (len(self.lengths), self.capacity))
                pools[layer] = new.flatten(0, 1)
        self.capacity = capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStep:
    """Slots in which the new tokens of one forward pass are stored, and the tokens that they see."""

    cache: KVCache
    slots: Tensor
    """int64 [T]: slot of each new token in the pool."""
    layout: AttentionLayout

    def write(self, layer: int, k_TMK: Tensor, v_TMK: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values; returns the whole pools [slots, M, K], which the layout addresses."""
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        keys.index_copy_(0, self.slots, k_TMK)
        values.index_copy_(0, self.slots, v_TMK)
        return keys, values
