"""What every step of a run reads: a pure function of seed, index, settings and step [data 8.2].

    draws       which source each draw comes from, and which row of its shuffled epoch    mixture, order
    window      2,048 draws, packed under the budgets by themselves                       packing
    step        the next `packs_per_step` packs, dealt to the processes by cost           deal

Nothing here opens a record or a picture: lengths come from the index. Every process computes the same plan, whatever
their number, so all have equally many steps; where a run stands is three numbers (`Cursor`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heapreplace

import numpy as np
from numpy.typing import NDArray

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.mixture import Mixture
from qwen2vl.data.order import key_of, permuted
from qwen2vl.data.packing import pack_window

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lengths:
    """What the index knows of the samples of one source; row i of every array is sample i."""

    tokens: Ints
    """In the decoder, text and visual."""
    visual_tokens: Ints
    media: Ints
    """Images and videos."""
    flops: NDArray[np.float64]
    """Forward FLOPs: decoder with attention, tower with attention per frame (`spec.media`), the formulas of MFU."""

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanConfig:
    """What decides the plan, besides the index. Nothing of it depends on how many processes train."""

    mixture: Mapping[str, int]
    """Source to its share of the samples, in whole numbers."""
    max_tokens: int
    """Of a pack, text and visual."""
    max_visual_tokens: int
    max_media: int
    packs_per_step: int
    seed: int = 0
    window: int = 2048
    """Draws that are packed together."""

    def __post_init__(self) -> None:
        for name in ("max_tokens", "max_visual_tokens", "max_media", "packs_per_step", "window"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be at least 1")


@dataclass(frozen=True, slots=True)
class Pack:
    """Samples that share one row."""

    samples: tuple[tuple[str, int], ...]
    """(source, sample of the source)."""
    flops: float


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a run stands: everything a resume needs to know of its data, besides the quarantine."""

    step: int = 0
    window: int = 0
    pack: int = 0
    """First pack of the window that no step has taken."""


class Plan:
    """The packs of every step. Raises ConfigError for unknown or empty sources and samples over a budget."""

    def __init__(self, sources: Mapping[str, Lengths], config: PlanConfig) -> None:
        for name in config.mixture:
            if name not in sources:
                raise ConfigError(
                    f'the mixture names "{name}", the store holds {", ".join(sorted(sources)) or "nothing"}'
                )
            if not len(sources[name]):
                raise ConfigError(f'source "{name}" of the mixture has no samples')
        self.config = config
        self.mixture = Mixture(config.mixture)
        self.budgets = (config.max_tokens, config.max_visual_tokens, config.max_media)
        self.sizes, self.flops = [], []
        for name in self.mixture.names:
            lengths = sources[name]
            sizes = np.stack([lengths.tokens, lengths.visual_tokens, lengths.media], axis=1).astype(np.int64)
            self._refuse_too_large(name, sizes)
            self.sizes.append(sizes)
            self.flops.append(lengths.flops)
        self.packs_of = lru_cache(maxsize=4)(self._packs_of)

    def _refuse_too_large(self, name: str, sizes: Ints) -> None:
        over = np.argwhere(sizes > np.asarray(self.budgets))
        if len(over):
            sample, budget = over[0]
            what = ("tokens", "visual tokens", "images and videos")[budget]
            raise ConfigError(
                f'sample {sample} of source "{name}" has {sizes[sample, budget]} {what}, over the {self.budgets[budget]} of '
                "a pack: raise the budget, or build the store with a lower pixel limit or sample limit"
            )

    def _packs_of(self, window: int) -> list[Pack]:
        """Packs of a window in an order of their own: best fit leaves the largest samples in front."""
        config = self.config
        draws = self.mixture.draws(window * config.window, config.window)
        rows = np.empty_like(draws.sources)
        sizes = np.empty((config.window, 3), dtype=np.int64)
        flops = np.empty(config.window)
        for source in np.unique(draws.sources):
            here = draws.sources == source
            rows[here] = self._rows(int(source), draws.ordinals[here])
            sizes[here] = self.sizes[source][rows[here]]
            flops[here] = self.flops[source][rows[here]]
        names = self.mixture.names
        packs = [
            Pack(
                tuple((names[draws.sources[draw]], int(rows[draw])) for draw in sorted(chosen)),
                float(flops[chosen].sum()),
            )
            for chosen in pack_window(sizes, self.budgets)
        ]
        shuffled = permuted(np.arange(len(packs)), len(packs), key_of(config.seed, "packs", window))
        return [packs[place] for place in shuffled]

    def _rows(self, source: int, ordinals: Ints) -> Ints:
        """Samples that the draws of a source mean: every epoch is another shuffle of all of them."""
        size = len(self.sizes[source])
        epochs, places = ordinals // size, ordinals % size
        rows = np.empty_like(places)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            rows[here] = permuted(places[here], size, key_of(self.config.seed, self.mixture.names[source], epoch))
        return rows

    def step(self, cursor: Cursor) -> tuple[list[Pack], Cursor]:
        """The packs of a step, over the end of a window where it must be, and where the next one begins."""
        packs: list[Pack] = []
        window, first = cursor.window, cursor.pack
        while len(packs) < self.config.packs_per_step:
            here = self.packs_of(window)
            taken = here[first : first + self.config.packs_per_step - len(packs)]
            packs += taken
            first += len(taken)
            if first == len(here):
                window, first = window + 1, 0
        return packs, Cursor(cursor.step + 1, window, first)


def digest(packs: Sequence[Pack]) -> str:
    """SHA-256 over the samples of a step in plan order: equal digests mean equal global batches."""
    state = hashlib.sha256()
    for pack in packs:
        state.update("".join(f"{source}\x1f{sample}\x1e" for source, sample in pack.samples).encode() + b"\x1d")
    return state.hexdigest()


def deal(costs: Sequence[float], processes: int) -> list[list[int]]:
    """Packs to processes so that the dearest share is small: the dearest pack first, always to the cheapest share.

    Then the dearest share exchanges packs with others as long as that makes it cheaper. Shares may differ in their number
    of packs; who has fewer runs packs of weight nought, which cost next to nothing.
    """
    loads = [(0.0, process) for process in range(processes)]
    heapify(loads)
    owner = np.zeros(len(costs), dtype=np.int64)
    for pack in sorted(range(len(costs)), key=lambda pack: (-costs[pack], pack)):
        load, owner[pack] = loads[0]
        heapreplace(loads, (load + costs[pack], loads[0][1]))
    _exchange(np.asarray(costs), owner, processes)
    return [np.flatnonzero(owner == process).tolist() for process in range(processes)]


def _exchange(costs: NDArray[np.float64], owner: Ints, processes: int) -> None:
    """Swap single packs of the dearest share until no swap makes it cheaper. On 64 processes of four packs each this
    takes the dearest share from 7 % over the mean to under 1 %."""
    loads: NDArray[np.float64] = np.bincount(owner, weights=costs, minlength=processes).astype(np.float64)
    for _ in range(4 * len(costs)):
        dearest = int(loads.argmax())
        mine, others = np.flatnonzero(owner == dearest), np.flatnonzero(owner != dearest)
        if not len(others):
            return
        given = costs[mine][:, None] - costs[others][None, :]
        after = np.maximum(loads[dearest] - given, loads[owner[others]] + given)
        i, j = np.unravel_index(after.argmin(), after.shape)
        if after[i, j] >= loads[dearest]:
            return
        pack, other = mine[i], others[j]
        loads[dearest] -= given[i, j]
        loads[owner[other]] += given[i, j]
        owner[pack], owner[other] = owner[other], dearest
