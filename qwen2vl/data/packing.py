"""Samples into packs under several budgets: best fit, the longest first.

A window of samples is packed at once and by itself [data 8.2]: no remainder is carried over, so any window can be
planned without the ones before it. With windows of 2,048 samples the few loose packs at the end cost under 0.5 % of
the room [data 4f], where first come, first served wastes 12 %.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def pack_window(sizes: Ints, budgets: Sequence[int]) -> list[list[int]]:
    """Packs of sample numbers, no budget of any pack exceeded.

    sizes: int64 [samples, budgets], each row within the budgets. The first budget leads: samples are taken by its size
    from the largest, and each goes to the fullest pack that can still take it.
    """
    order = np.argsort(-sizes[:, 0], kind="stable").tolist()
    rows = sizes.tolist()
    packs: list[list[int]] = []
    left: list[list[int]] = []
    open_packs: list[tuple[int, int]] = []  # (room left under the first budget, pack), sorted
    smallest = rows[order[-1]][0] if order else 0
    for sample in order:
        size = rows[sample]
        place = bisect_left(open_packs, (size[0], -1))
        while place < len(open_packs) and not _fits(size, left[open_packs[place][1]]):
            place += 1
        if place < len(open_packs):
            _, pack = open_packs.pop(place)
            packs[pack].append(sample)
            room = left[pack] = [a - b for a, b in zip(left[pack], size, strict=True)]
        else:
            pack = len(packs)
            packs.append([sample])
            room = [a - b for a, b in zip(budgets, size, strict=True)]
            left.append(room)
        if room[0] >= smallest:  # a pack that no sample of the window can enter is never looked at again
            insort(open_packs, (room[0], pack))
    return packs


def _fits(size: list[int], room: list[int]) -> bool:
    return all(a <= b for a, b in zip(size, room, strict=True))
