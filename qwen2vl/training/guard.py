"""Steps that are skipped: their loss or gradients are not finite, or their gradient norm is far above its running scale.

A loss alone says nothing: when the frequent data are learnt, the loss of a rare sample is a hundred thousand times their
median, and the sample is what should be learnt next. Clipping already bounds a large gradient, so only gross outliers are
skipped, once. What happens to their packs: `run_state.SkippedStep`.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qwen2vl.common.errors import Qwen2VLError

FLOOR = 100.0
"""Gradient norm up to which no step is a spike. An answer that nano has never seen makes norms of 10 to 55 in a step of its own."""
FADE = 0.99
"""Factor by which the scale of a mixture falls with every step: it halves in 69 steps."""
MIN_STEPS = 20
"""Number of steps of a mixture from which on a spike can be recognised."""
RECENT_STEPS = 200
"""Number of last steps whose share of skipped ones is limited."""

Reason = Literal["gradient norm too large", "gradients not finite", "loss not finite", "nothing supervised"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a step must be skipped."""

    reason: Reason
    text: str
    """The reason with its figures."""

    @property
    def is_finite(self) -> bool:
        """Whether the step has gradients, which can be clipped."""
        return self.reason == "gradient norm too large"

    @property
    def is_of_the_data(self) -> bool:
        """Whether the step would be skipped whenever it was read, so it is not read again and does not end the run."""
        return self.reason == "nothing supervised"


class StepGuard:
    """Judges every step. All processes give it the same figures, so they all skip the same steps."""

    def __init__(self, spike: float, max_skipped: float) -> None:
        """spike, max_skipped: as in `TrainConfig`."""
        self.spike, self.max_skipped = spike, max_skipped
        self.scales: dict[str, tuple[float, int]] = {}
        """Mixture -> largest gradient norm, which fades, and number of steps: a new mixture begins with larger gradients."""
        self.recent: list[tuple[int, Reason]] = []
        """Skipped steps of the last `RECENT_STEPS`."""
        self.counts = Counter[str]()
        """Number of skipped steps by reason; a step that is skipped again counts once."""
        self.done_later = 0
        """Number of them that were trained on later."""

    def limit(self, mixture: str = "") -> float:
        """Largest gradient norm of a step of a mixture that is no spike."""
        scale, steps = self.scales.get(mixture, (0.0, 0))
        return max(FLOOR, self.spike * scale) if steps >= MIN_STEPS else math.inf

    def judge(self, loss: float, norm: float, mixture: str = "", *, supervised: float = 1) -> Fault | None:
        """Return why a step must be skipped, or None; a finite norm changes the scale.

        norm: of all gradients together. supervised: number of supervised tokens in the step.
        """
        if not supervised:
            return Fault("nothing supervised", "no token of the step is supervised")
        if not math.isfinite(loss):
            return Fault("loss not finite", f"the loss is {loss}")
        if not math.isfinite(norm):
            return Fault("gradients not finite", f"the norm of the gradients is {norm}")
        limit, (scale, steps) = self.limit(mixture), self.scales.get(mixture, (0.0, 0))
        # A spike counts up to the limit, so that the scale follows gradients that stay large after a few skipped steps.
        self.scales[mixture] = max(min(norm, limit), FADE * scale), steps + 1
        if norm > limit:
            return Fault(
                "gradient norm too large", f"the norm of the gradients is {norm:.4g}, over its limit {limit:.4g}"
            )
        return None

    def note_skipped(self, step: int, fault: Fault, *, is_repeat: bool = False) -> None:
        """Count a skipped step. is_repeat: whether it was skipped before."""
        self.counts[fault.reason] += not is_repeat
        self.recent = [(number, reason) for number, reason in self.recent if number > step - RECENT_STEPS]
        if not fault.is_of_the_data:
            self.recent.append((step, fault.reason))

    def refuse_too_many(self, step: int, fault: Fault, parameter: str | None, samples: Sequence[str]) -> None:
        """Raise Qwen2VLError when too many of the last steps were skipped, the last one for this fault.

        parameter: the first one whose gradient is not finite. samples: those of the step, as source:row.
        """
        if len(self.recent) > self.max_skipped * RECENT_STEPS:
            reasons = Counter(reason for _, reason in self.recent)
            raise Qwen2VLError(
                f"step {step}: {len(self.recent)} of the last {RECENT_STEPS} steps were skipped ({_listed(reasons)}), over the "
                f"limit of {self.max_skipped:.0%}; the last because {fault.text}{f' in {parameter}' if parameter else ''}; "
                f"samples {', '.join(samples[:8])}: look at them with qwen2vl data show, or lower the learning rate"
            )

    @property
    def summary(self) -> str:
        """Skipped steps by reason, for the last line of a run."""
        skipped = self.counts.total()
        if not skipped:
            return "no step skipped"
        steps = "1 step" if skipped == 1 else f"{skipped} steps"
        return f"{steps} skipped ({_listed(self.counts)}), {self.done_later} of them trained on later"

    def state(self) -> dict[str, Any]:
        """State of the guard for a checkpoint, as plain data for JSON."""
        return {
            "scales": {mixture: list(scale) for mixture, scale in self.scales.items()},
            "recent": [list(skipped) for skipped in self.recent],
            "counts": dict(self.counts),
            "done_later": self.done_later,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.scales = {mixture: (scale, steps) for mixture, (scale, steps) in state["scales"].items()}
        self.recent = [(step, reason) for step, reason in state["recent"]]
        self.counts, self.done_later = Counter(state["counts"]), state["done_later"]


def _listed(counts: Counter[Any]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
