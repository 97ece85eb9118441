"""Lengths of the samples of a store under the limits of a run: tokens, visual tokens and FLOPs. No media file is opened.

A sample over a budget gets lower pixel limits (`Index.caps`), or is refused when smaller images cannot bring it under the
budget. The text of a sample is never cut.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qwen2vl.common.arrays import Ints
from qwen2vl.common.errors import MediaError
from qwen2vl.data.media import MediaFacts
from qwen2vl.data.plan import Budgets, Lengths
from qwen2vl.data.store import Store
from qwen2vl.data.store_part import StoredSample
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import MediaPlan, decoder_terms
from qwen2vl.spec.media_settings import MediaSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """Cost of a training step in forward passes, for each part of the model; MFU is usually computed like this.

    3 when the part is trained (forward, gradient of the input, gradient of the weights), 2 when gradients only pass
    through it, 1 when it is frozen and nothing before it is trained.
    """

    tower: int = 3
    decoder: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Lengths of the samples of a run, and what was done to samples over a budget."""

    sources: Mapping[str, Lengths]
    caps: Mapping[int, int]
    """Row -> the largest number of tokens of each of its images and videos."""
    refused: Mapping[int, str]
    """Row -> the reason why it cannot be used under these budgets."""


def index_store(
    store: Store,
    names: Sequence[str],
    config: Qwen2VLConfig,
    settings: MediaSettings,
    budgets: Budgets,
    passes: Passes | None = None,
) -> Index:
    """Index the named sources; a name that the store does not hold is left out here and refused by `Plan`.

    Takes about half a second for 100,000 samples, because sizes that occur often are computed once.
    """
    passes, rows = passes or Passes(), _measure(store, RowLimits(config, settings, budgets))
    per_token, per_pair, _ = decoder_terms(config)
    is_usable = np.ones(len(store), bool)
    is_usable[list(rows.refused)] = False
    sources = {}
    for name in (name for name in names if name in store.sources):
        chosen = store.sources[name][is_usable[store.sources[name]]]
        tokens = rows.tokens[chosen]
        decoder = per_token * tokens + per_pair * tokens.astype(np.float64) ** 2
        sources[name] = Lengths(
            rows=chosen,
            tokens=tokens,
            visual_tokens=rows.visual_tokens[chosen],
            media=rows.media[chosen],
            flops=passes.tower * rows.tower_flops[chosen] + passes.decoder * decoder,
        )
    return Index(sources=sources, caps=rows.caps, refused=rows.refused)


@dataclass(frozen=True, slots=True)
class RowLimits:
    """What decides the length of a row."""

    config: Qwen2VLConfig
    settings: MediaSettings
    budgets: Budgets

    def fitted(self, media: Sequence[MediaFacts], cap: int | None = None) -> list[MediaPlan]:
        """Size and cost of images and videos of at most `cap` tokens each. Raises MediaError when no size fits one."""
        settings = self.settings if cap is None else self.settings.capped(cap)
        return [facts.fit(self.config, settings) for facts in media]

    def reduce(self, sample: StoredSample) -> tuple[int, list[MediaPlan]]:
        """The highest cap that brings a sample under the budgets, and its media under it. Raises MediaError if none does."""
        budgets, num_media, text = self.budgets, len(sample.media), len(sample.ids)
        if num_media > budgets.media:
            raise MediaError(f"{num_media} images and videos, a pack holds {budgets.media}")
        room = min(budgets.visual_tokens, budgets.tokens - (text - num_media))
        if room < 4 * num_media or not num_media:
            raise MediaError(f"{text} tokens of text leave no room in a pack of {budgets.tokens} tokens")
        low, high = 4, room
        best: list[MediaPlan] = []
        while low <= high:
            middle = (low + high) // 2
            media = self.fitted(sample.media, middle)
            if sum(each.num_tokens for each in media) <= room:
                best, low = media, middle + 1
            else:
                high = middle - 1
        if not best:
            raise MediaError(f"its images and videos do not go under {room} tokens")
        return high, best


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLengths:
    """Lengths of all rows of a store; every array is [rows]."""

    tokens: Ints
    visual_tokens: Ints
    media: Ints
    tower_flops: NDArray[np.float64]
    caps: Mapping[int, int]
    refused: Mapping[int, str]


@lru_cache(maxsize=2)
def _measure(store: Store, limits: RowLimits) -> RowLengths:
    """Measure all rows. Cached for the stages of a run, most of which have the same limits."""
    caps: dict[int, int] = {}
    refused: dict[int, str] = {}
    text, visual, media, tower = (np.concatenate(column) for column in zip(*_columns(store, limits), strict=True))
    tokens = text - media + visual
    is_over = (np.stack([tokens, visual, media], 1) > limits.budgets.sizes).any(1) | (visual < 0)
    for row in np.flatnonzero(is_over).tolist():
        try:
            caps[row], reduced = limits.reduce(store.sample(row))
        except MediaError as error:
            refused[row] = str(error)
            continue
        visual[row] = sum(each.num_tokens for each in reduced)
        tower[row] = sum(each.tower_flops for each in reduced)
        tokens[row] = text[row] - media[row] + visual[row]
    return RowLengths(tokens=tokens, visual_tokens=visual, media=media, tower_flops=tower, caps=caps, refused=refused)


def _columns(store: Store, limits: RowLimits) -> Iterator[tuple[Ints, Ints, Ints, NDArray[np.float64]]]:
    """For every part: ids, visual tokens, media and tower FLOPs of its rows; visual tokens are -1 where no size fits."""
    costs: dict[tuple[object, ...], tuple[int, float]] = {}
    for part in store.parts:
        for number, key in enumerate(part.media_keys):
            if key in costs:
                continue
            try:
                (fitted,) = limits.fitted([part.facts(number)])
                costs[key] = fitted.num_tokens, fitted.tower_flops
            except MediaError:
                costs[key] = -1, 0.0
        tokens = np.array([costs[key][0] for key in part.media_keys], np.int64)
        flops = np.array([costs[key][1] for key in part.media_keys], np.float64)
        num_media = np.diff(part.first_media)
        owners = np.repeat(np.arange(len(part)), num_media)
        visual = np.bincount(owners, tokens.clip(0), len(part)).astype(np.int64)
        visual[owners[tokens < 0]] = -1
        num_ids = np.diff(part.text["ids"].offsets.to_numpy()).astype(np.int64)
        yield num_ids, visual, num_media, np.bincount(owners, flops, len(part)).astype(np.float64)
