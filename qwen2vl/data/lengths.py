"""How long the samples of a store are under the limits of a run: tokens, visual tokens, FLOPs, without opening a file.

A sample over a budget is brought under it by lower pixel limits of its own (`caps`), or refused where no image can
give way; both are counted. Text inside a sample is never cut.
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
from qwen2vl.data.store_part import StorePart
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import MediaPlan, decoder_terms
from qwen2vl.spec.media_settings import MediaSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """How many forward passes' worth of work a training step is, by part: the usual convention of MFU.

    3 where weights are trained (forward, gradient of the input, gradient of the weights), 2 where only gradients pass
    through, 1 where the part is frozen and nothing before it is trained.
    """

    tower: int = 3
    decoder: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Samples of the sources of a run, with what was done to those over a budget."""

    sources: Mapping[str, Lengths]
    caps: Mapping[int, int]
    """Row -> the most tokens that any of its images and videos may have."""
    refused: Mapping[int, str]
    """Row -> why it cannot be used under these budgets."""


@dataclass(frozen=True, slots=True)
class _Limits:
    config: Qwen2VLConfig
    settings: MediaSettings
    budgets: Budgets


def index_store(
    store: Store,
    names: Sequence[str],
    config: Qwen2VLConfig,
    settings: MediaSettings,
    budgets: Budgets,
    passes: Passes | None = None,
) -> Index:
    """Lengths of the named sources; names that the store does not hold are left out, `Plan` refuses them.

    About half a second for 100,000 samples: sizes that occur often are worked out once.
    """
    passes, measured = passes or Passes(), _measure(store, _Limits(config, settings, budgets))
    per_token, per_pair, _ = decoder_terms(config)
    usable = np.ones(len(store), bool)
    usable[list(measured.refused)] = False
    sources = {}
    for name in (name for name in names if name in store.sources):
        rows = store.sources[name][usable[store.sources[name]]]
        tokens = measured.tokens[rows]
        decoder = per_token * tokens + per_pair * tokens.astype(np.float64) ** 2
        sources[name] = Lengths(
            rows=rows,
            tokens=tokens,
            visual_tokens=measured.visual[rows],
            media=measured.media[rows],
            flops=passes.tower * measured.tower_flops[rows] + passes.decoder * decoder,
        )
    return Index(sources=sources, caps=measured.caps, refused=measured.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """Every row of a store under some limits."""

    tokens: Ints
    visual: Ints
    media: Ints
    tower_flops: NDArray[np.float64]
    caps: Mapping[int, int]
    refused: Mapping[int, str]


@lru_cache(maxsize=2)
def _measure(store: Store, limits: _Limits) -> _Measured:
    """Kept for the stages of a run, which mostly have the same limits."""
    caps: dict[int, int] = {}
    refused: dict[int, str] = {}
    text, visual, media, tower = (np.concatenate(column) for column in zip(*_columns(store, limits), strict=True))
    tokens = text - media + visual
    is_over = (np.stack([tokens, visual, media], 1) > limits.budgets.sizes).any(1) | (visual < 0)
    for row in np.flatnonzero(is_over).tolist():
        cap, plans_or_reason = _fit(store, row, int(text[row]), limits)
        if isinstance(plans_or_reason, str):
            refused[row] = plans_or_reason
            continue
        caps[row] = cap
        visual[row] = sum(plan.num_tokens for plan in plans_or_reason)
        tower[row] = sum(plan.tower_flops for plan in plans_or_reason)
        tokens[row] = text[row] - media[row] + visual[row]
    return _Measured(tokens=tokens, visual=visual, media=media, tower_flops=tower, caps=caps, refused=refused)


def _columns(store: Store, limits: _Limits) -> Iterator[tuple[Ints, Ints, Ints, NDArray[np.float64]]]:
    """Of every part: ids, visual tokens, media and tower FLOPs of its samples; visual -1 where no size fits."""
    known: dict[tuple[object, ...], tuple[int, float]] = {}
    for part in store.parts:
        offsets = part.text["ids"].offsets.to_numpy()
        of_media = [_of_media(part, at, limits, known) for at in range(len(part.media))]
        tokens = np.array([count for count, _ in of_media], np.int64)
        flops = np.array([cost for _, cost in of_media], np.float64)
        owners = np.repeat(np.arange(len(part)), np.diff(part.first_media))
        visual = np.bincount(owners, tokens.clip(0), len(part)).astype(np.int64)
        visual[owners[tokens < 0]] = -1
        yield (
            np.diff(offsets).astype(np.int64),
            visual,
            np.diff(part.first_media),
            np.bincount(owners, flops, len(part)).astype(np.float64),
        )


def _of_media(
    part: StorePart, at: int, limits: _Limits, known: dict[tuple[object, ...], tuple[int, float]]
) -> tuple[int, float]:
    key = part.media_keys[at]
    if key not in known:
        try:
            plan = part.facts(at).plan(limits.config, limits.settings)
            known[key] = plan.num_tokens, plan.tower_flops
        except MediaError:
            known[key] = -1, 0.0
    return known[key]


def _fit(store: Store, row: int, text: int, limits: _Limits) -> tuple[int, list[MediaPlan] | str]:
    """The highest cap under which a sample keeps within the budgets, and its media then; or why there is none."""
    sample, budgets = store.sample(row), limits.budgets
    if len(sample.media) > budgets.media:
        return 0, f"{len(sample.media)} images and videos, a pack holds {budgets.media}"
    room = min(budgets.visual_tokens, budgets.tokens - (text - len(sample.media)))
    if room < 4 * len(sample.media) or not sample.media:
        return 0, f"{text} tokens of text leave no room in a pack of {budgets.tokens} tokens"
    low, high = 4, room
    best: list[MediaPlan] | str = f"its images and videos do not go under {room} tokens"
    while low <= high:
        middle = (low + high) // 2
        plans = _planned(sample.media, limits, middle)
        if isinstance(plans, str):
            return 0, plans
        if sum(plan.num_tokens for plan in plans) <= room:
            best, low = plans, middle + 1
        else:
            high = middle - 1
    return high, best


def _planned(media: Sequence[MediaFacts], limits: _Limits, cap: int) -> list[MediaPlan] | str:
    try:
        return [facts.plan(limits.config, limits.settings.capped(cap)) for facts in media]
    except MediaError as error:
        return str(error)
