"""Settings of a run: everything but the model and the data."""

from dataclasses import dataclass

from qwen2vl.common.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One run. The learning rate warms up, stays, and falls linearly to zero over the last `decay` of the steps."""

    steps: int
    """Length of the schedule. Stopping earlier never reshapes it."""
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    decay: float = 0.3
    """Share of the steps in which the rate falls: most of the late gain of a run comes from here."""
    weight_decay: float = 0.05
    """On matrices only; norms, biases and embeddings are left alone."""
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0
    seed: int = 0
    save_every: int = 500
    validate_every: int = 1000
    keep_checkpoints: int = 2

    def __post_init__(self) -> None:
        for name in ("steps", "save_every", "validate_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if not 0 <= self.decay <= 1:
            raise ConfigError(f"decay is {self.decay}: it is a share of the steps, from 0 to 1")

    def rate(self, step: int) -> float:
        """Learning rate of a step, from 0."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.learning_rate * warm * min(1.0, left)
