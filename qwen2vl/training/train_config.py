"""Settings of a run: stages, each with what it trains, how fast, on which data, in which budgets; and the run itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.plan import Budgets, Phase, PlanConfig

Part = Literal["tower", "merger", "decoder"]
PARTS: tuple[Part, ...] = ("tower", "merger", "decoder")


def require_positive(settings: object, *names: str) -> None:
    for name in names:
        if getattr(settings, name) < 1:
            raise ConfigError(f"{name} is {getattr(settings, name)}: it must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Peak learning rate of every part; 0 = frozen: no gradient, no optimizer state, and below the lowest trained part no
    graph either."""

    tower: float = 0.0
    merger: float = 0.0
    decoder: float = 0.0

    def __post_init__(self) -> None:
        rates = self.by_part()
        if min(rates.values()) < 0 or not any(rates.values()):
            raise ConfigError(f"the learning rates are {rates}: none may be under 0, and one must be over it")

    def by_part(self) -> dict[Part, float]:
        return {part: getattr(self, part) for part in PARTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of a run with one set of trained weights, one schedule and one plan of data [paper 6]."""

    name: str
    steps: int
    """Length of the schedule. Stopping earlier never reshapes it."""
    rates: Rates
    phases: tuple[Phase, ...]
    """Which sources, in which shares, in which order."""
    budgets: Budgets
    """Of one pack; the tokens are the sequence length."""
    packs_per_step: int
    """Over all processes, whatever their number."""
    window: int = 2048
    """Samples that are packed together."""
    min_pixels: int | None = None
    """Of images; the checkpoint's own unless given."""
    max_pixels: int | None = None
    warmup_steps: int = 200
    schedule: Literal["linear", "cosine"] = "linear"
    """How the rate falls."""
    decay: float = 0.3
    """Share of the steps, at the end, in which it falls."""
    final_rate: float = 0.0
    """Share of the peak that is left at the end."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "packs_per_step", "window")
        for name in ("decay", "final_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it is a share, from 0 to 1")

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Stage":
        """From the settings of a run, as `dataclasses.asdict` gave them."""
        phases = tuple(Phase(mixtures=tuple(phase["mixtures"]), until=phase["until"]) for phase in raw["phases"])
        parts = {"phases": phases, "rates": Rates(**raw["rates"]), "budgets": Budgets(**raw["budgets"])}
        return cls(**(dict(raw) | parts))

    def share(self, step: int) -> float:
        """Share of the peak rate at a step of the stage, from 0."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        left = min(1.0, (self.steps - step) / max(1.0, self.decay * self.steps))
        fallen = left if self.schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)
        return warm * (self.final_rate + (1 - self.final_rate) * fallen)

    def learning_rates(self, step: int) -> dict[Part, float]:
        """Of every part at a step of the stage."""
        return {part: rate * self.share(step) for part, rate in self.rates.by_part().items()}

    def plan_config(self, seed: int) -> PlanConfig:
        return PlanConfig(
            phases=self.phases,
            budgets=self.budgets,
            packs_per_step=self.packs_per_step,
            seed=seed,
            window=self.window,
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source that some phase draws from."""
        named = {name: None for phase in self.phases for weights in phase.mixtures for name in weights}
        return tuple(named)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """What holds for the whole run."""

    seed: int = 0
    """Decides initial weights and data."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of activations and gradients; the trained weights are float32 either way."""
    weight_decay: float = 0.05
    """On matrices only; norms, biases and embeddings are left alone."""
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0
    packs_per_row: int = 1
    """Packs in one forward pass; the rest of a step's packs are accumulated. Changes memory and speed, not the result."""
    recompute: Literal["none", "selective", "full"] = "none"
    """Activation checkpointing: full keeps only the inputs of every layer, selective also the results of its products."""
    compile: bool = False
    """Compile every layer: needs a compiler, and some minutes at the start."""
    max_skipped: int = 5
    """Steps in a row that may be skipped because loss or gradients are not finite, or spike; one more ends the run."""
    spike: float = 10.0
    """A loss over so many times the median of the last 100 steps of the same mixture is a spike."""
    max_quarantined: float = 0.05
    """Share of samples that may fail to be read; over it the run ends."""
    save_every: int = 500
    validate_every: int = 1000
    keep_checkpoints: int = 2
    tensorboard: bool = False
    """Also write RUN/tensorboard."""
    profile_steps: int = 0
    """Write a trace of so many steps, after three, to RUN/profile."""

    def __post_init__(self) -> None:
        require_positive(self, "packs_per_row", "save_every", "validate_every", "keep_checkpoints")
        if self.profile_steps < 0:
            raise ConfigError(f"profile_steps is {self.profile_steps}: it must be 0, for no trace, or more")


CHANGEABLE = frozenset(
    {
        "save_every",
        "validate_every",
        "keep_checkpoints",
        "tensorboard",
        "profile_steps",
        "max_skipped",
        "max_quarantined",
    }
)
"""Settings of the run that a resumed one may have otherwise: they decide no weight."""
