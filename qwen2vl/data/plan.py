"""What every step of a run reads: a pure function of seed, index, settings and step [data 8.2].

    stream      one mixture of sources; a step takes its packs from the stream whose turn it is      Phase
    draws       which source each draw of a stream comes from, and which row of its shuffled epoch   mixture, order
    window      2,048 draws of a stream, packed under the budgets by themselves                      packing
    step        the next `packs_per_step` packs, dealt to the processes by cost                      deal

Nothing here opens a record or an image: lengths come from the index. Every process computes the same plan, whatever
their number, so all have equally many steps; where a run stands is a few numbers (`Cursor`).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen2vl.common.arrays import Ints
from qwen2vl.common.errors import ConfigError
from qwen2vl.common.keys import key_of
from qwen2vl.data.mixture import Mixture
from qwen2vl.data.order import permuted
from qwen2vl.data.packing import pack_window


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """What the index knows of the samples of one source; entry i of every array is sample i."""

    rows: Ints
    """Where each sample stands in the store."""
    tokens: Ints
    """In the decoder, text and visual."""
    visual_tokens: Ints
    media: Ints
    """Images and videos."""
    flops: NDArray[np.float64]
    """FLOPs of a training step: decoder with attention, tower with attention per frame (`spec.costs`), as MFU counts."""

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What one pack may hold."""

    tokens: int
    """Text and visual."""
    visual_tokens: int
    media: int
    """Images and videos."""

    def __post_init__(self) -> None:
        for name in ("tokens", "visual_tokens", "media"):
            if getattr(self, name) < 1:
                raise ConfigError(f"the budget of {name} is {getattr(self, name)}: it must be at least 1")

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.tokens, self.visual_tokens, self.media


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of a run in which the mixtures stay."""

    mixtures: tuple[Mapping[str, int], ...]
    """Source to its share of the samples, in whole numbers. The steps take the mixtures in turn."""
    until: int | None = None
    """First step that is no longer in it; None = to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanConfig:
    """What decides the plan, besides the index. Nothing of it depends on how many processes train."""

    phases: tuple[Phase, ...]
    budgets: Budgets
    packs_per_step: int
    seed: int = 0
    window: int = 2048
    """Draws that are packed together."""

    def __post_init__(self) -> None:
        for name in ("packs_per_step", "window"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be at least 1")
        ends = [phase.until for phase in self.phases]
        limits = [end for end in ends[:-1] if end is not None]
        if not ends or ends[-1] is not None or len(limits) < len(ends) - 1 or limits != sorted(set(limits)):
            raise ConfigError(f"the phases end at {ends}: the ends must rise, and the last phase must have none")
        if any(not phase.mixtures for phase in self.phases):
            raise ConfigError("a phase has no mixture: give it at least one")

    def mixture_at(self, step: int) -> Mapping[str, int]:
        """The mixture of a step, from 0."""
        phase = next(phase for phase in self.phases if phase.until is None or step < phase.until)
        return phase.mixtures[step % len(phase.mixtures)]


@dataclass(frozen=True, slots=True)
class Pack:
    """Samples that share one row."""

    samples: tuple[tuple[str, int], ...]
    """(source, row of the store)."""
    flops: float
    visual_tokens: int


@dataclass(frozen=True, slots=True)
class StreamWindow:
    """Draws of a stream that are packed together."""

    number: int
    """How many of the stream came before."""
    drawn: tuple[int, ...]
    """How often each source of the stream had been drawn, by any stream, when it was opened."""
    pack: int = 0
    """First pack that no step has taken."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a run stands: everything a resume needs to know of its data, besides the quarantine."""

    step: int = 0
    drawn: Mapping[str, int] = field(default_factory=dict)
    """Source to how often it was drawn."""
    windows: Mapping[str, StreamWindow] = field(default_factory=dict)
    """Stream to the window that is open."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        windows = {name: [w.number, list(w.drawn), w.pack] for name, w in self.windows.items()}
        return {"step": self.step, "drawn": dict(self.drawn), "windows": windows}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Cursor":
        windows = {
            name: StreamWindow(number, tuple(drawn), pack) for name, (number, drawn, pack) in raw["windows"].items()
        }
        return cls(raw["step"], dict(raw["drawn"]), windows)


class Plan:
    """The packs of every step. Raises ConfigError for unknown or empty sources and samples over a budget."""

    def __init__(self, sources: Mapping[str, Lengths], config: PlanConfig) -> None:
        self.config = config
        self.mixtures: dict[str, Mixture] = {}
        for weights in (weights for phase in config.phases for weights in phase.mixtures):
            self.mixtures[stream_of(weights)] = Mixture(weights)
        self.lengths = {name: sources.get(name) for mixture in self.mixtures.values() for name in mixture.names}
        self.sizes: dict[str, Ints] = {}
        for name, lengths in self.lengths.items():
            if lengths is None:
                raise ConfigError(
                    f'the mixture names "{name}", the store holds {", ".join(sorted(sources)) or "nothing"}'
                )
            if not len(lengths):
                raise ConfigError(f'source "{name}" of the mixture has no samples')
            sizes = np.stack([lengths.tokens, lengths.visual_tokens, lengths.media], axis=1).astype(np.int64)
            self._refuse_too_large(name, sizes, lengths)
            self.sizes[name] = sizes
        self.packs_of = lru_cache(maxsize=2 * len(self.mixtures) + 2)(self._packs_of)

    def _refuse_too_large(self, name: str, sizes: Ints, lengths: Lengths) -> None:
        budgets = self.config.budgets.sizes
        over = np.argwhere(sizes > np.asarray(budgets))
        if len(over):
            sample, budget = over[0]
            what = ("tokens", "visual tokens", "images and videos")[budget]
            raise ConfigError(
                f'row {lengths.rows[sample]} of source "{name}" has {sizes[sample, budget]} {what}, over the '
                f"{budgets[budget]} of a pack: raise the budget or lower the pixel limits"
            )

    def step(self, cursor: Cursor) -> tuple[list[Pack], Cursor]:
        """The packs of a step, over the end of a window where it must be, and where the next one begins."""
        stream = stream_of(self.config.mixture_at(cursor.step))
        drawn, packs = dict(cursor.drawn), list[Pack]()
        window = cursor.windows.get(stream) or self._opened(stream, 0, drawn)
        while len(packs) < self.config.packs_per_step:
            here = self.packs_of(stream, window.number, window.drawn)
            taken = here[window.pack : window.pack + self.config.packs_per_step - len(packs)]
            packs += taken
            window = StreamWindow(window.number, window.drawn, window.pack + len(taken))
            if window.pack == len(here):
                window = self._opened(stream, window.number + 1, drawn)
        return packs, Cursor(cursor.step + 1, drawn, {**cursor.windows, stream: window})

    def _opened(self, stream: str, number: int, drawn: dict[str, int]) -> StreamWindow:
        """The next window of a stream; counts its draws in `drawn`, so that no other stream takes the same samples."""
        names = self.mixtures[stream].names
        before = tuple(drawn.get(name, 0) for name in names)
        draws = self.mixtures[stream].draws(number * self.config.window, self.config.window)
        for name, first, count in zip(names, before, np.bincount(draws.sources, minlength=len(names)), strict=True):
            drawn[name] = first + int(count)
        return StreamWindow(number, before)

    def _packs_of(self, stream: str, number: int, drawn: tuple[int, ...]) -> list[Pack]:
        """Packs of a window in an order of their own: best fit leaves the largest samples in front."""
        config, mixture = self.config, self.mixtures[stream]
        draws = mixture.draws(number * config.window, config.window)
        rows = np.empty_like(draws.sources)
        sizes = np.empty((config.window, 3), dtype=np.int64)
        flops = np.empty(config.window)
        for source, name in enumerate(mixture.names):
            here = np.flatnonzero(draws.sources == source)
            if len(here):
                samples = self._samples(name, drawn[source] + np.arange(len(here)))
                rows[here] = self._of(name).rows.take(samples)
                sizes[here] = self.sizes[name].take(samples, axis=0)
                flops[here] = self._of(name).flops.take(samples)
        named = [
            (mixture.names[source], row) for source, row in zip(draws.sources.tolist(), rows.tolist(), strict=True)
        ]
        cost_of, visual_of = flops.tolist().__getitem__, sizes[:, 1].tolist().__getitem__
        packs = [
            Pack(tuple(map(named.__getitem__, sorted(chosen))), sum(map(cost_of, chosen)), sum(map(visual_of, chosen)))
            for chosen in pack_window(sizes, config.budgets.sizes)
        ]
        shuffled = permuted(np.arange(len(packs)), len(packs), key_of(config.seed, "packs", stream, number))
        return [packs[place] for place in shuffled]

    def _samples(self, name: str, ordinals: Ints) -> Ints:
        """Samples that rising draws of a source mean: every epoch is another shuffle of all of them."""
        size = len(self._of(name))
        epochs, places = ordinals // size, ordinals % size
        samples = np.empty_like(places)
        for epoch in range(epochs[0], epochs[-1] + 1):
            here = epochs == epoch
            samples[here] = permuted(places[here], size, key_of(self.config.seed, name, epoch))
        return samples

    def _of(self, name: str) -> Lengths:
        lengths = self.lengths[name]
        assert lengths is not None
        return lengths


def stream_of(weights: Mapping[str, int]) -> str:
    """Equal mixtures are one stream, in whatever phase they stand."""
    return json.dumps(dict(weights))


def digest(packs: Sequence[Pack]) -> str:
    """SHA-256 over the samples of a step in plan order: equal digests mean equal global batches."""
    state = hashlib.sha256()
    for pack in packs:
        state.update("".join(f"{source}\x1f{sample}\x1e" for source, sample in pack.samples).encode() + b"\x1d")
    return state.hexdigest()
