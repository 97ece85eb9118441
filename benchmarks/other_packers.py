"""Other ways of packing samples, as peers of ours. Each takes sizes [samples, 3] and budgets as `pack_window` does."""

from heapq import heapify, heappop, heappush

import numpy as np

from qwen2vl.common.arrays import Ints


def first_come(sizes: Ints, budgets: tuple[int, int, int]) -> list[list[int]]:
    """Fill one pack; a sample that does not fit starts the next one."""
    packs: list[list[int]] = []
    x = y = z = -1
    for sample, (a, b, c) in enumerate(zip(*sizes.T.tolist(), strict=True)):
        x, y, z = x - a, y - b, z - c
        if x < 0 or y < 0 or z < 0:
            packs.append([])
            x, y, z = budgets[0] - a, budgets[1] - b, budgets[2] - c
        packs[-1].append(sample)
    return packs


def first_fit(sizes: Ints, budgets: tuple[int, int, int]) -> list[list[int]]:
    """Put every sample, in order, into the oldest pack that has room for it."""
    packs: list[list[int]] = []
    spare = np.tile(np.asarray(budgets), (len(sizes), 1))
    for sample, size in enumerate(sizes):
        pack = int((spare[: len(packs) + 1] >= size).all(axis=1).argmax())
        if pack == len(packs):
            packs.append([])
        packs[pack].append(sample)
        spare[pack] -= size
    return packs


def emptiest(sizes: Ints, budgets: tuple[int, int, int], extra: int = 5) -> list[list[int]]:
    """Put every sample, the longest first, into the emptiest of the needed packs and `extra` more, as nanoVLM does."""
    count = int(-(-sizes[:, 0].sum() // budgets[0])) + extra
    packs: list[list[int]] = [[] for _ in range(count)]
    loads = [((0, 0, 0), pack) for pack in range(count)]
    heapify(loads)
    for sample in np.argsort(-sizes[:, 0], kind="stable").tolist():
        size = sizes[sample].tolist()
        load = tuple(map(sum, zip(loads[0][0], size, strict=True)))
        if all(used <= budget for used, budget in zip(load, budgets, strict=True)):
            _, pack = heappop(loads)
        else:
            load, pack = tuple(size), len(packs)
            packs.append([])
        packs[pack].append(sample)
        heappush(loads, (load, pack))
    return [pack for pack in packs if pack]
