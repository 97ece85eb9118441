"""Samples into packs under several budgets: best fit, the longest first.

A window of samples is packed at once and by itself [data 8.2]: no remainder is carried over, so any window can be
planned without the ones before it. With windows of 2,048 samples the few loose packs at the end cost under 0.5 % of
the room [data 4f], where first come, first served wastes 12 %.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from operator import le, sub

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

PACK_BITS = 32
PACK_MASK = (1 << PACK_BITS) - 1


def pack_window(sizes: Ints, budgets: Sequence[int]) -> list[list[int]]:
    """Packs of sample numbers, no budget of any pack exceeded.

    sizes: int64 [samples, budgets], each row within the budgets. The first budget leads: samples are taken by its size
    from the largest, and each goes to the fullest pack that can still take it.
    """
    order = np.argsort(-sizes[:, 0], kind="stable").tolist()
    leading, others = sizes[:, 0].tolist(), sizes[:, 1:].tolist()
    smallest = leading[order[-1]] if order else 0
    packs: list[list[int]] = []
    spare: list[list[int]] = []  # of every pack, under the other budgets
    open_packs: list[int] = []  # room under the first budget and number of the pack in one integer, sorted
    for sample in order:
        size, wants = leading[sample], others[sample]
        place = bisect_left(open_packs, size << PACK_BITS)
        while place < len(open_packs) and not all(map(le, wants, spare[open_packs[place] & PACK_MASK])):
            place += 1
        if place < len(open_packs):
            room_and_pack = open_packs.pop(place)
            pack = room_and_pack & PACK_MASK
            room = (room_and_pack >> PACK_BITS) - size
            packs[pack].append(sample)
            spare[pack] = list(map(sub, spare[pack], wants))
        else:
            pack, room = len(packs), budgets[0] - size
            packs.append([sample])
            spare.append(list(map(sub, budgets[1:], wants)))
        if room >= smallest:  # a pack that no sample of the window can enter is never looked at again
            insort(open_packs, room << PACK_BITS | pack)
    return packs
