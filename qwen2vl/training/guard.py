"""Steps that must not be taken: losses or gradients that are not finite, losses that spike."""

import math
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Any

from qwen2vl.common.errors import Qwen2VLError

MEMORY = 100
FEWEST = 20
"""Steps of a mixture before a spike can be told."""


class StepGuard:
    """Judges every step by figures that all processes share, so all of them skip the same steps."""

    def __init__(self, spike: float, max_skipped: int) -> None:
        self.spike, self.max_skipped = spike, max_skipped
        self.losses: dict[str, deque[float]] = {}
        """By mixture: a new one may well begin at a hundred times the loss of one that is learnt."""
        self.skipped = 0
        """In a row."""

    def judge(self, loss: float, norm: float, mixture: str = "") -> str | None:
        """Why a step must be skipped; None to take it."""
        known = self.losses.setdefault(mixture, deque(maxlen=MEMORY))
        reason = None
        if not math.isfinite(loss):
            reason = f"the loss is {loss}"
        elif not math.isfinite(norm):
            reason = f"the norm of the gradients is {norm}"
        elif len(known) >= FEWEST and loss > self.spike * median(known):
            reason = f"the loss is {loss:.3f}, over {self.spike:g} times the median {median(known):.3f} of its mixture"
        if reason is None:
            self.skipped = 0
            known.append(loss)
            return None
        self.skipped += 1
        return reason

    def refuse_too_many(self, step: int, reason: str, module: str | None, samples: Sequence[str]) -> None:
        """Raises Qwen2VLError when too many steps in a row were skipped."""
        if self.skipped > self.max_skipped:
            raise Qwen2VLError(
                f"step {step}: {reason}{f' in {module}' if module else ''}, {self.skipped} skipped steps in a row; samples "
                f"{', '.join(samples[:8])}: look at them with qwen2vl data show, or lower the learning rate"
            )

    def state(self) -> dict[str, Any]:
        return {"losses": {mixture: list(known) for mixture, known in self.losses.items()}, "skipped": self.skipped}

    def restore(self, state: dict[str, Any]) -> None:
        self.losses = {mixture: deque(known, maxlen=MEMORY) for mixture, known in state["losses"].items()}
        self.skipped = state["skipped"]
