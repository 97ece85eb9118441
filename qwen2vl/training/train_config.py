"""Settings of a run: those of each stage (trained parts, learning rates, data, budgets) and those of the whole run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.plan import Budgets, Phase, PlanConfig, stream_of

Part = Literal["tower", "merger", "decoder"]
PARTS: tuple[Part, ...] = ("tower", "merger", "decoder")
"""All parts, in the order of a forward pass."""
Recompute = Literal["none", "selective", "full"]


def require_positive(settings: object, *names: str) -> None:
    """Raise ConfigError when one of these fields is less than 1."""
    for name in names:
        if getattr(settings, name) < 1:
            raise ConfigError(f"{name} is {getattr(settings, name)}: it must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Peak learning rate of every part. 0 freezes a part: no gradient of its weights and no optimizer state."""

    tower: float = 0.0
    merger: float = 0.0
    decoder: float = 0.0

    def __post_init__(self) -> None:
        rates = self.by_part()
        if min(rates.values()) < 0 or not any(rates.values()):
            raise ConfigError(f"the learning rates are {rates}: none may be below 0, and at least one must be above 0")

    def by_part(self) -> dict[Part, float]:
        return {part: getattr(self, part) for part in PARTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A section of a run with one set of trained parts, one schedule and one order of data [paper 6]."""

    name: str
    steps: int
    """Length of the stage and of its schedule; stopping earlier does not change the schedule."""
    rates: Rates
    phases: tuple[Phase, ...]
    """Mixtures of sources, one phase after the other."""
    budgets: Budgets
    """Limits of one pack; its tokens are the sequence length."""
    packs_per_step: int
    """Number of packs in a step, over all processes; where `samples` is given, the most that a step can have."""
    samples: int | None = None
    """Number of samples that the steps read together, spread evenly over them; None: `packs_per_step` decides."""
    window: int = 2048
    """Number of samples that are distributed over packs at a time."""
    min_pixels: int | None = None
    """Fewest pixels of an image; the checkpoint's own limit unless given."""
    max_pixels: int | None = None
    """Most pixels of an image; the checkpoint's own limit unless given."""
    max_tokens: int | None = None
    """Most tokens of a video; the checkpoint's own limit unless given."""
    warmup_steps: int = 200
    """Number of steps in which the learning rate rises to its peak."""
    schedule: Literal["linear", "cosine"] = "linear"
    """Shape of the curve by which the learning rate falls."""
    decay: float = 0.3
    """Share of the steps, at the end, in which the learning rate falls."""
    final_rate: float = 0.0
    """Learning rate at the end, as a share of its peak."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "packs_per_step", "window")
        for name in ("decay", "final_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it is a share, from 0 to 1")

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Stage":
        """Inverse of `dataclasses.asdict`, for the settings of a run directory."""
        phases = tuple(Phase(mixtures=tuple(phase["mixtures"]), until=phase["until"]) for phase in raw["phases"])
        parts = {"phases": phases, "rates": Rates(**raw["rates"]), "budgets": Budgets(**raw["budgets"])}
        return cls(**(dict(raw) | parts))

    def share(self, step: int) -> float:
        """Learning rate at a step of the stage, counted from 0, as a share of its peak."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        left = min(1.0, (self.steps - step) / max(1.0, self.decay * self.steps))
        fallen = left if self.schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)
        return warm * (self.final_rate + (1 - self.final_rate) * fallen)

    def learning_rates(self, step: int) -> dict[Part, float]:
        """Learning rate of every part at a step of the stage, counted from 0."""
        return {part: rate * self.share(step) for part, rate in self.rates.by_part().items()}

    def plan_config(self, seed: int) -> PlanConfig:
        """Settings that decide which samples each step reads."""
        return PlanConfig(
            phases=self.phases,
            budgets=self.budgets,
            packs_per_step=self.packs_per_step,
            seed=seed,
            window=self.window,
            samples=self.samples,
            steps=self.steps,
        )

    @property
    def steps_per_epoch(self) -> int | None:
        """Number of steps in which every sample is read once, where that is known."""
        if self.samples is None:
            return None
        return max(1, round(self.steps * sum(self.phases[0].mixtures[0].values()) / self.samples))

    def stream_at(self, step: int) -> str:
        """Stream of the plan that a step of the stage reads, counted from 0."""
        return stream_of(self.plan_config(seed=0).mixture_at(step))

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source that some phase samples from."""
        named = {name: None for phase in self.phases for weights in phase.mixtures for name in weights}
        return tuple(named)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Settings of the whole run."""

    seed: int = 0
    """Decides the initial weights and the order of the data."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Type of activations and gradients; the optimizer updates float32 weights in both cases."""
    weight_decay: float = 0.05
    """AdamW's decay of matrices; norms, biases and embeddings have none."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's decay rates of the two moments."""
    clip_norm: float = 1.0
    """Largest norm of all gradients together; larger gradients are scaled down to it."""
    packs_per_row: int = 1
    """Number of packs in one forward pass; the gradients of a step's rows are added. Decides memory and speed, not results."""
    recompute: Recompute = "none"
    """Activation checkpointing: full keeps only the input of every layer, selective also the results of its products."""
    compile: bool = False
    """Compile every layer: about twice as fast, after some minutes at the start. Without a compiler a warning says so."""
    max_skipped: float = 0.02
    """Share of the last 200 steps that may be skipped for a spike or a value that is not finite; a larger share ends the run."""
    spike: float = 10.0
    """A spike is a gradient norm over 100 that is over this many times the largest one of late in the same mixture."""
    max_quarantined: float = 0.05
    """Share of samples that may be unreadable; a larger share ends the run."""
    save_every: int = 500
    """Number of steps between checkpoints."""
    validate_every: int = 1000
    """Number of steps between validations."""
    keep_checkpoints: int = 2
    """Number of newest checkpoints that are kept, beside the best one."""
    tensorboard: bool = False
    """Also write the metrics to RUN/tensorboard."""
    profile_steps: int = 0
    """Number of steps that are traced, after the first three, to RUN/profile."""

    def __post_init__(self) -> None:
        require_positive(self, "packs_per_row", "save_every", "validate_every", "keep_checkpoints")
        if not self.spike > 1:
            raise ConfigError(
                f"spike is {self.spike}: it is a multiple of the usual gradient norm, so it must be over 1"
            )
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
"""Fields of TrainConfig that may differ when a run is resumed: they have no effect on the weights."""
