"""Steps that are skipped because their loss or gradients are not finite, or because the loss spikes."""

import math
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Any

from qwen2vl.common.errors import Qwen2VLError

MEDIAN_STEPS = 100
"""Number of steps of a mixture whose losses are remembered."""
MIN_STEPS = 20
"""Number of steps of a mixture from which on a spike can be recognised."""


class StepGuard:
    """Judges every step. All processes give it the same figures, so they all skip the same steps."""

    def __init__(self, spike: float, max_skipped: int) -> None:
        self.spike, self.max_skipped = spike, max_skipped
        self.losses: dict[str, deque[float]] = {}
        """Last losses by mixture, because a new mixture can begin at a hundred times the loss of a learnt one."""
        self.skipped = 0
        """Number of skipped steps in a row."""

    def judge(self, loss: float, norm: float, mixture: str = "") -> str | None:
        """Return why a step must be skipped, or None. norm: of all gradients together."""
        losses = self.losses.setdefault(mixture, deque(maxlen=MEDIAN_STEPS))
        if not math.isfinite(loss):
            reason = f"the loss is {loss}"
        elif not math.isfinite(norm):
            reason = f"the norm of the gradients is {norm}"
        elif len(losses) >= MIN_STEPS and loss > self.spike * median(losses):
            reason = f"the loss is {loss:.3f}, over {self.spike:g} times the median {median(losses):.3f} of its mixture"
        else:
            self.skipped = 0
            losses.append(loss)
            return None
        self.skipped += 1
        return reason

    def refuse_too_many(self, step: int, reason: str, parameter: str | None, samples: Sequence[str]) -> None:
        """Raise Qwen2VLError when too many steps in a row were skipped, the last one for this reason.

        parameter: the first one whose gradient is not finite. samples: those of the step, as source:row.
        """
        if self.skipped > self.max_skipped:
            raise Qwen2VLError(
                f"step {step}: {reason}{f' in {parameter}' if parameter else ''}, {self.skipped} skipped steps in a row; "
                f"samples {', '.join(samples[:8])}: look at them with qwen2vl data show, or lower the learning rate"
            )

    def state(self) -> dict[str, Any]:
        """State of the guard for a checkpoint, as plain data for JSON."""
        return {"losses": {mixture: list(losses) for mixture, losses in self.losses.items()}, "skipped": self.skipped}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.losses = {mixture: deque(losses, maxlen=MEDIAN_STEPS) for mixture, losses in state["losses"].items()}
        self.skipped = state["skipped"]
