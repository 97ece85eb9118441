"""Settings of a reply, and the choice of the next token from logits.

    logits [V] --repetition penalty--> --temperature--> --top k--> --top p--> one sample from the request's own generator

Decoding is greedy unless a temperature is given; the sampling defaults of a checkpoint are never used. Every request has
its own generator on the CPU, so its tokens depend on its seed and not on the device, on the other requests in a batch or
on earlier requests. Shape legend: V = vocabulary, S = replies.
"""

import logging
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from qwen2vl.common.errors import ConfigError, Qwen2VLError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """Settings of one reply. Raises ConfigError for values out of range."""

    max_new_tokens: int = 2048
    """Upper limit; the context may leave room for fewer."""
    temperature: float = 0.0
    """0 = greedy: always the most probable token. `from_keywords` accepts None for it."""
    top_k: int | None = None
    """Sample only among this number of most probable tokens."""
    top_p: float | None = None
    """Sample only among the most probable tokens whose probabilities add up to this, at least one token."""
    repetition_penalty: float = 1.0
    """Above 1: logits of tokens in the prompt or reply are divided by it (multiplied if negative). 1 = off."""
    seed: int | None = None
    """None = a random seed for each sampled reply; `Answer.settings` has it, so the reply can be repeated."""
    stop: tuple[str, ...] = ()
    """The reply ends before the first of these texts."""
    detect_repetition: bool = True
    """End replies that repeat themselves, see `LoopDetector`."""

    def __post_init__(self) -> None:
        checks = {
            "max_new_tokens": (_is_whole(self.max_new_tokens, 1), "a whole number from 1"),
            "temperature": (_is_number(self.temperature, 0, 100), "a number from 0 (greedy) to 100"),
            "top_k": (self.top_k is None or _is_whole(self.top_k, 1), "a whole number from 1, or left out"),
            "top_p": (
                self.top_p is None or (_is_number(self.top_p, 0, 1) and self.top_p > 0),
                "a number over 0 and up to 1, or left out",
            ),
            "repetition_penalty": (
                _is_number(self.repetition_penalty, 0, 100) and self.repetition_penalty > 0,
                "a number over 0; 1 is off",
            ),
            "seed": (self.seed is None or (_is_whole(self.seed, 0) and self.seed < 2**63), "a whole number from 0"),
            "stop": (_are_texts(self.stop), "one or several texts, none empty"),
            "detect_repetition": (isinstance(self.detect_repetition, bool), "true or false"),
        }
        for name, (holds, rule) in checks.items():
            if not holds:
                raise ConfigError(f"{name} is {getattr(self, name)!r}: it must be {rule}")

    @classmethod
    def from_keywords(cls, keywords: dict[str, Any]) -> Self:
        """Settings from the keyword arguments of a caller; `stop` may be one text or a list.

        Raises ConfigError, naming the valid keywords when one is unknown.
        """
        valid = [field.name for field in fields(cls)]
        unknown = [name for name in keywords if name not in valid]
        if unknown:
            raise ConfigError(f"unknown setting {', '.join(unknown)}: valid are {', '.join(valid)}")
        stop = keywords.get("stop")
        forms: dict[str, Any] = {"temperature": keywords.get("temperature") or 0.0}
        if stop is None or isinstance(stop, str | list):
            forms["stop"] = (stop,) if isinstance(stop, str) else tuple(stop or ())
        return cls(**{**keywords, **forms})

    def effective(self, room: int) -> "SamplingParams":
        """Settings in effect for one reply with room for `room` tokens: seed chosen, settings without effect cleared."""
        limit = min(self.max_new_tokens, room)
        if self.temperature == 0:
            if self.top_k is not None or self.top_p is not None:
                log.warning("top_k and top_p have no effect at temperature 0: set a temperature")
            return replace(self, max_new_tokens=limit, top_k=None, top_p=None, seed=None)
        seed = secrets.randbits(48) if self.seed is None else self.seed
        return replace(self, max_new_tokens=limit, seed=seed)


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _are_texts(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(text, str) and text for text in value)


class Sampler:
    """Choice of the tokens of one reply."""

    def __init__(self, params: SamplingParams, prompt_ids: Tensor) -> None:
        """`params` must come from `SamplingParams.effective`: they have a seed if the temperature is above 0."""
        self.params = params
        self.is_plain = params.temperature == 0 and params.repetition_penalty == 1
        self._generator = torch.Generator()
        if params.seed is not None:
            self._generator.manual_seed(params.seed)
        self._seen = prompt_ids.cpu().unique() if params.repetition_penalty != 1 else prompt_ids[:0]

    def pick(self, logits_V: Tensor) -> int:
        """Choose one id from float32 logits [V] on the CPU."""
        logits_V = penalise(logits_V, self._seen, self.params.repetition_penalty)
        if self.params.temperature == 0:
            chosen = int(logits_V.argmax())
        else:
            probabilities_V = truncated(logits_V / self.params.temperature, self.params.top_k, self.params.top_p)
            chosen = int(torch.multinomial(probabilities_V, 1, generator=self._generator))
        if self.params.repetition_penalty != 1 and not bool((self._seen == chosen).any()):
            self._seen = torch.cat([self._seen, torch.tensor([chosen])])
        return chosen


def penalise(logits_V: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Logits with lower values for the ids in `seen`, each once, by the rule of the published generation settings.

    Costs one pass over the ids that were seen, besides a copy of the logits.
    """
    if penalty == 1:
        return logits_V
    old = logits_V[seen]
    return logits_V.index_copy(0, seen, torch.where(old > 0, old / penalty, old * penalty))


def truncated(logits_V: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Probabilities, zero outside the `top_k` most probable ids and outside the nucleus of `top_p`; not normalised again.

    With top_p 0.7, probabilities (0.5, 0.3, 0.2) keep the first two: the one that passes 0.7 is kept.
    """
    if top_k is not None and top_k < len(logits_V):
        lowest = logits_V.topk(top_k).values[-1]
        logits_V = logits_V.masked_fill(logits_V < lowest, -math.inf)
    probabilities_V = logits_V.softmax(-1)
    if top_p is None or top_p == 1:
        return probabilities_V
    ordered, order = probabilities_V.sort(descending=True, stable=True)
    outside = ordered.cumsum(0) - ordered >= top_p
    return probabilities_V.index_fill(0, order[outside], 0.0)


def choose(logits_SV: Tensor, samplers: Sequence[Sampler], vocabulary: int) -> list[int]:
    """Choose one id for each row; ids from `vocabulary` on are padding of the head and never chosen.

    Raises Qwen2VLError when a row holds values that are not numbers.
    """
    logits_SV = logits_SV[:, :vocabulary]
    if not bool(torch.isfinite(logits_SV.amax(1)).all()):
        raise Qwen2VLError(
            "the model gave values that are not numbers: load it as bf16 or fp32, or copy the checkpoint again"
        )
    if all(sampler.is_plain for sampler in samplers):
        return logits_SV.argmax(1).tolist()
    rows = logits_SV.cpu()
    return [sampler.pick(row) for sampler, row in zip(samplers, rows, strict=True)]
