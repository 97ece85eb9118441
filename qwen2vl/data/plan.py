"""What every step of a run reads: a pure function of seed, index, settings and step [data 8.2].

    stream      one mixture of sources; the steps of a phase take their packs from its streams in turn   Phase
    draw        the choice of one sample for a stream: a source, and a row of its shuffled epoch         mixture, order
    window      2,048 draws of a stream, packed under the budgets together                               packing
    step        the next `packs_per_step` packs of a stream, dealt to the processes by cost              dealing

Where a run reads a given number of samples (`PlanConfig.samples`), a step is one window, and the samples are spread evenly
over the windows; then epochs are exact, and the number of packs follows.

Nothing here opens a record or an image: lengths come from the index. Every process computes the same plan, whatever the
number of processes, so all of them have the same number of steps. The position of a run is a few numbers (`Cursor`).
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
    """Lengths of the samples of one source; entry i of every array belongs to sample i."""

    rows: Ints
    """Row of each sample in the store."""
    tokens: Ints
    """Number of tokens in the decoder, text and visual."""
    visual_tokens: Ints
    media: Ints
    """Number of images and videos."""
    flops: NDArray[np.float64]
    """FLOPs of a training step as MFU counts them: decoder with attention, tower with attention per frame (`spec.costs`)."""

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """The most that one pack can hold. Raises ConfigError for a budget under 1."""

    tokens: int
    """Number of tokens, text and visual."""
    visual_tokens: int
    media: int
    """Number of images and videos."""

    def __post_init__(self) -> None:
        for name in ("tokens", "visual_tokens", "media"):
            if getattr(self, name) < 1:
                raise ConfigError(f"the budget of {name} is {getattr(self, name)}: it must be at least 1")

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Tokens, visual tokens, images and videos."""
        return self.tokens, self.visual_tokens, self.media


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of a run in which the mixtures do not change."""

    mixtures: tuple[Mapping[str, int], ...]
    """For each mixture, source -> its share of the samples as a whole number. The steps take the mixtures in turn."""
    until: int | None = None
    """First step after the phase; None = the phase lasts to the end of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanConfig:
    """Everything that decides the plan, besides the index; the number of processes does not. Raises ConfigError."""

    phases: tuple[Phase, ...]
    budgets: Budgets
    packs_per_step: int
    """Number of packs in a step; without effect where `samples` is given."""
    seed: int = 0
    window: int = 2048
    """Number of draws that are packed together; without effect where `samples` is given."""
    samples: int | None = None
    """Number of samples that `steps` steps read together, each step the same number or one more."""
    steps: int = 1

    def __post_init__(self) -> None:
        for name in ("packs_per_step", "window"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.samples is not None and not 1 <= self.steps <= self.samples:
            raise ConfigError(f"{self.steps} steps over {self.samples} samples: each step needs at least one")
        ends = [phase.until for phase in self.phases]
        limits = [end for end in ends[:-1] if end is not None]
        if not ends or ends[-1] is not None or len(limits) < len(ends) - 1 or limits != sorted(set(limits)):
            raise ConfigError(f"the phases end at {ends}: the ends must rise, and the last phase must have none")
        if any(not phase.mixtures for phase in self.phases):
            raise ConfigError("a phase has no mixture: give it at least one")

    def draws_of(self, number: int) -> tuple[int, int]:
        """First draw and number of draws of a window, counted from 0."""
        if self.samples is None:
            return number * self.window, self.window
        first, end = (place * self.samples // self.steps for place in (number, number + 1))
        return first, end - first

    def mixture_at(self, step: int) -> Mapping[str, int]:
        """The mixture of a step, from 0."""
        phase = next(phase for phase in self.phases if phase.until is None or step < phase.until)
        return phase.mixtures[step % len(phase.mixtures)]


@dataclass(frozen=True, slots=True)
class Pack:
    """Samples that fill one budget of tokens."""

    samples: tuple[tuple[str, int], ...]
    """(source, row of the store) of every sample."""
    flops: float
    visual_tokens: int


@dataclass(frozen=True, slots=True)
class StreamWindow:
    """The draws of a stream that are packed together."""

    number: int
    """Number of windows of the stream before this one."""
    drawn: tuple[int, ...]
    """For each source of the stream, the number of its draws by all streams before this window was opened."""
    pack: int = 0
    """First pack of the window that no step has taken."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Position of a run in its data: everything that a resumed run needs, besides the quarantine."""

    step: int = 0
    """Next step, from 0."""
    drawn: Mapping[str, int] = field(default_factory=dict)
    """Source -> number of its draws so far."""
    windows: Mapping[str, StreamWindow] = field(default_factory=dict)
    """Stream -> its open window."""

    def to_dict(self) -> dict[str, Any]:
        """The cursor as plain data for JSON."""
        windows = {name: [w.number, list(w.drawn), w.pack] for name, w in self.windows.items()}
        return {"step": self.step, "drawn": dict(self.drawn), "windows": windows}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Cursor":
        """The cursor that `to_dict` describes."""
        windows = {
            name: StreamWindow(number, tuple(drawn), pack) for name, (number, drawn, pack) in raw["windows"].items()
        }
        return cls(raw["step"], dict(raw["drawn"]), windows)


class Plan:
    """The packs of every step. Raises ConfigError for an unknown or empty source and for a sample over a budget."""

    def __init__(self, sources: Mapping[str, Lengths], config: PlanConfig) -> None:
        self.config = config
        self.mixtures: dict[str, Mixture] = {}
        for weights in (weights for phase in config.phases for weights in phase.mixtures):
            self.mixtures[stream_of(weights)] = Mixture(weights)
        self.lengths: dict[str, Lengths] = {}
        """Lengths of every source of the mixtures."""
        self.sizes: dict[str, Ints] = {}
        """[samples, 3] of every source: tokens, visual tokens, images and videos."""
        for name in dict.fromkeys(name for mixture in self.mixtures.values() for name in mixture.names):
            if name not in sources:
                raise ConfigError(
                    f'the mixture names "{name}", the store holds {", ".join(sorted(sources)) or "nothing"}'
                )
            if not len(sources[name]):
                raise ConfigError(f'source "{name}" of the mixture has no samples')
            self.lengths[name] = lengths = sources[name]
            self.sizes[name] = np.stack([lengths.tokens, lengths.visual_tokens, lengths.media], 1).astype(np.int64)
            self._refuse_too_large(name)
        self.packs_of = lru_cache(maxsize=2 * len(self.mixtures) + 2)(self._packs_of)

    def _refuse_too_large(self, name: str) -> None:
        """Raise ConfigError when a sample of a source is over a budget."""
        sizes, budgets = self.sizes[name], self.config.budgets.sizes
        over = np.argwhere(sizes > np.asarray(budgets))
        if len(over):
            sample, budget = over[0]
            what = ("tokens", "visual tokens", "images and videos")[budget]
            raise ConfigError(
                f'row {self.lengths[name].rows[sample]} of source "{name}" has {sizes[sample, budget]} {what}, over the '
                f"{budgets[budget]} of a pack: raise the budget or lower the pixel limits"
            )

    def step(self, cursor: Cursor) -> tuple[list[Pack], Cursor]:
        """The packs of the step at a cursor, and the cursor of the next step.

        A step can take packs of several windows, but where the number of samples is given, it is one window.
        """
        stream = stream_of(self.config.mixture_at(cursor.step))
        drawn, packs = dict(cursor.drawn), list[Pack]()
        window = cursor.windows.get(stream) or self._open_window(stream, 0, drawn)
        while not packs or (self.config.samples is None and len(packs) < self.config.packs_per_step):
            here = self.packs_of(stream, window.number, window.drawn)
            end = None if self.config.samples else window.pack + self.config.packs_per_step - len(packs)
            taken = here[window.pack : end]
            packs += taken
            window = StreamWindow(window.number, window.drawn, window.pack + len(taken))
            if window.pack == len(here):
                window = self._open_window(stream, window.number + 1, drawn)
        return packs, Cursor(cursor.step + 1, drawn, {**cursor.windows, stream: window})

    def _open_window(self, stream: str, number: int, drawn: dict[str, int]) -> StreamWindow:
        """Open a window of a stream, and add its draws to `drawn`, so that no other stream takes the same samples."""
        names = self.mixtures[stream].names
        before = tuple(drawn.get(name, 0) for name in names)
        draws = self.mixtures[stream].draws(*self.config.draws_of(number))
        for name, first, count in zip(names, before, np.bincount(draws.sources, minlength=len(names)), strict=True):
            drawn[name] = first + int(count)
        return StreamWindow(number, before)

    def _packs_of(self, stream: str, number: int, drawn: tuple[int, ...]) -> list[Pack]:
        """Packs of a window in random order, because best fit puts the largest samples into the first packs."""
        config, mixture = self.config, self.mixtures[stream]
        draws = mixture.draws(*config.draws_of(number))
        rows = np.empty_like(draws.sources)
        sizes = np.empty((len(rows), 3), dtype=np.int64)
        flops = np.empty(len(rows))
        for source, name in enumerate(mixture.names):
            here = np.flatnonzero(draws.sources == source)
            if len(here):
                samples = self._samples(name, drawn[source] + np.arange(len(here)))
                rows[here] = self.lengths[name].rows.take(samples)
                sizes[here] = self.sizes[name].take(samples, axis=0)
                flops[here] = self.lengths[name].flops.take(samples)
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
        """Samples of ascending draws of a source. Every epoch is a different shuffle of all samples."""
        size = len(self.lengths[name])
        epochs, places = ordinals // size, ordinals % size
        samples = np.empty_like(places)
        for epoch in range(epochs[0], epochs[-1] + 1):
            here = epochs == epoch
            samples[here] = permuted(places[here], size, key_of(self.config.seed, name, epoch))
        return samples


def stream_of(weights: Mapping[str, int]) -> str:
    """Name of the stream of a mixture. Equal mixtures are one stream, also in different phases."""
    return json.dumps(dict(weights))


def digest(packs: Sequence[Pack]) -> str:
    """SHA-256 of the samples of a step in the order of the plan: equal digests mean equal global batches."""
    state = hashlib.sha256()
    for pack in packs:
        state.update("".join(f"{source}\x1f{sample}\x1e" for source, sample in pack.samples).encode() + b"\x1d")
    return state.hexdigest()
