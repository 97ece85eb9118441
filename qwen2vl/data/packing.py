"""Packing samples under several budgets: best fit, the longest sample first.

A window of samples is packed independently of all others [data 8.2], so it can be planned without the windows before it.
With windows of 2,048 samples the few packs that are not full waste under 0.5 % of the tokens [data 4f]; packing samples
in the order in which they come wastes 12 %.
"""

from bisect import bisect_left, insort

import numpy as np

from qwen2vl.common.arrays import Ints

PACK_BITS = 32
"""Bits that hold the number of a pack, below its room, in the integers of a sorted list."""


def pack_window(sizes: Ints, budgets: tuple[int, int, int]) -> list[list[int]]:
    """Pack samples under three budgets; return the numbers of the samples of each pack.

    sizes: int64 [samples, 3], each row within the budgets. Samples are taken in descending order of their first size, and
    each goes to the pack with the least room under the first budget that can still hold it.
    """
    order = np.argsort(-sizes[:, 0], kind="stable")
    columns = sizes[order].T.tolist()  # plain lists: looking up array entries took half of the time
    smallest = min(columns[0], default=0)
    packs: list[list[int]] = []
    spare_second: list[int] = []
    spare_third: list[int] = []
    open_packs: list[int] = []  # room under the first budget and number of the pack, in one integer each, sorted
    for sample, first, second, third in zip(order.tolist(), *columns, strict=True):
        place = bisect_left(open_packs, first << PACK_BITS)
        while place < len(open_packs):
            pack = open_packs[place] & ((1 << PACK_BITS) - 1)
            if second <= spare_second[pack] and third <= spare_third[pack]:
                room = (open_packs.pop(place) >> PACK_BITS) - first
                packs[pack].append(sample)
                spare_second[pack] -= second
                spare_third[pack] -= third
                break
            place += 1
        else:
            pack, room = len(packs), budgets[0] - first
            packs.append([sample])
            spare_second.append(budgets[1] - second)
            spare_third.append(budgets[2] - third)
        if room >= smallest:  # a pack that cannot hold any sample of the window is full
            insort(open_packs, room << PACK_BITS | pack)
    return packs
