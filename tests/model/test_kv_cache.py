"""The cache: how sequences share it, how it grows and is cut, and what it refuses."""

import pytest
import torch

from qwen2vl.model.kv_cache import KVCache
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import kv_bytes_per_token

CPU = torch.device("cpu")


def test_bytes_agree_with_the_cost_formula(tiny: Qwen2VLConfig) -> None:
    cache = KVCache(tiny.text, 2, 5, device=CPU, dtype=torch.bfloat16)
    held = sum(pool.numel() * pool.element_size() for pool in [*cache.keys, *cache.values])
    assert held == 10 * kv_bytes_per_token(tiny)


def test_new_tokens_get_the_slots_after_each_sequence(tiny: Qwen2VLConfig) -> None:
    cache = KVCache(tiny.text, 3, 5, device=CPU, dtype=torch.float32)
    assert cache.extend([2, 1, 3]).slots.tolist() == [0, 1, 5, 10, 11, 12]
    assert cache.extend([1, 1], [2, 0]).slots.tolist() == [13, 2]
    assert cache.lengths == [3, 1, 4]


def test_growth_keeps_what_is_stored(tiny: Qwen2VLConfig) -> None:
    cache = KVCache(tiny.text, 2, 3, device=CPU, dtype=torch.float32)
    step = cache.extend([2, 3])
    stored = torch.randn(5, tiny.text.num_key_value_heads, tiny.text.head_dim)
    step.write(1, stored, -stored)
    cache.grow(7)
    cache.grow(4)  # never shrinks
    assert cache.capacity == 7
    assert torch.equal(cache.keys[1][[0, 1, 7, 8, 9]], stored)
    assert torch.equal(cache.values[1][[0, 1, 7, 8, 9]], -stored)


def test_overflow_and_cutting_too_late_are_caught(tiny: Qwen2VLConfig) -> None:
    cache = KVCache(tiny.text, 1, 3, device=CPU, dtype=torch.float32)
    with pytest.raises(AssertionError, match="would hold 4 of 3"):
        cache.extend([4])
    cache.extend([2])
    with pytest.raises(AssertionError):
        cache.truncate(0, 3)
