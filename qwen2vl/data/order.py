"""A shuffle that is computed and never stored: the sample at every position of an epoch.

A permutation of 0 to size - 1 that depends on a key [data 8.2]: a Feistel network over an even power of two that is not
smaller, applied again to values outside the range until they are inside. Any range of any epoch is computed directly, so
a resumed run replays nothing and a hundred million samples need no table.
"""

import numpy as np
from numpy.typing import NDArray

from qwen2vl.common.arrays import Ints

Words = NDArray[np.uint64]

ROUNDS = 4
"""A Feistel network of four rounds is a strong pseudo-random permutation when its rounds are random functions."""


def permuted(positions: Ints, size: int, key: int) -> Ints:
    """Images of int64 positions from 0 to size - 1 under the permutation of a key.

    Applies the network under four times on average, because the power of two is under four times the size.
    """
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    images = _feistel(positions.astype(np.uint64), half_bits, key)
    outside = np.flatnonzero(images >= size)
    while len(outside):
        images[outside] = _feistel(images[outside], half_bits, key)
        outside = outside[images[outside] >= size]
    return images.astype(np.int64)


def _feistel(values: Words, half_bits: int, key: int) -> Words:
    mask = np.uint64((1 << half_bits) - 1)
    left, right = values >> np.uint64(half_bits), values & mask
    for turn in range(ROUNDS):
        salt = np.uint64((key + turn * 0x9E3779B97F4A7C15) % 2**64)
        left, right = right, left ^ (_mixed(right ^ salt) & mask)
    return (left << np.uint64(half_bits)) | right


def _mixed(words: Words) -> Words:
    """Mix bits with the last step of splitmix64: every bit of the input changes half of the bits of the output."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
