"""The loss on samples that no step of a run reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from qwen2vl.data.samples import PackRequest, SampleReader
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.training.loss import token_loss

MAX_SAMPLES = 256
"""Held-out samples that are measured, so that validating stays short beside training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutLoss:
    """Measures the mean loss per supervised token on held-out rows of a store, one row at a time."""

    reader: SampleReader
    rows: Sequence[int]

    def __call__(self, model: Qwen2VL) -> dict[str, float]:
        """Measure a model: {"validation_loss": nats per token}, or {} when nothing is held out."""
        if not self.rows:
            return {}
        total, count = 0.0, 0
        for row in self.rows[:MAX_SAMPLES]:
            loaded = self.reader.pack(PackRequest(step=0, rows=(row,)))
            loss = token_loss(model, loaded.inputs.to(model.device))
            total, count = total + float(loss.total), count + loss.count
        return {"validation_loss": total / max(count, 1)}
