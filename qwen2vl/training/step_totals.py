"""Totals of one step, summed over its rows and all processes, and the metrics that they give."""

from collections.abc import Sequence

import torch
from torch import Tensor

from qwen2vl.data.plan import Budgets
from qwen2vl.data.records import KINDS
from qwen2vl.data.samples import Document
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.training.loss import TokenLoss, documents_of
from qwen2vl.training.run_directory import Line

COUNTS = ("loss", "supervised", "correct", "samples", "tokens", "visual", "packs", "failed", "stop")
"""Totals that are not divided into groups: `loss` is a sum over supervised tokens, `stop` counts processes asked to stop."""


class StepTotals:
    """Totals of one step, in one float64 vector, so that one message sums them over all processes."""

    def __init__(self, sources: Sequence[str], merge_unit: int) -> None:
        """sources: all that the stage reads. merge_unit: number of patches in a visual token."""
        names = [f"source/{name}" for name in sources] + [f"kind/{name}" for name in KINDS]
        self.groups = {name: number for number, name in enumerate(names)}
        """Index of every source and kind."""
        self.merge_unit = merge_unit
        self.sums = torch.zeros(len(COUNTS) + 2 * len(names), dtype=torch.float64)

    def __getitem__(self, name: str) -> float:
        return float(self.sums[COUNTS.index(name)])

    def add(self, name: str, amount: float) -> None:
        """Add to one of `COUNTS`."""
        self.sums[COUNTS.index(name)] += amount

    def add_row(self, inputs: ModelInputs, loss: TokenLoss, documents: Sequence[Document]) -> None:
        """Add one row. documents: what each segment of the row was read from."""
        self.add("loss", float(loss.each.double().sum()))
        self.add("supervised", loss.count)
        self.add("correct", int(loss.correct.sum()))
        self.add("samples", inputs.num_documents)
        self.add("tokens", inputs.num_tokens)
        self.add("visual", len(inputs.patches) // self.merge_unit)
        owners = documents_of(inputs, loss)
        losses_and_counts = torch.stack([loss.each.cpu().double(), torch.ones(loss.count).double()])
        for names in ([f"source/{d.source}" for d in documents], [f"kind/{d.kind}" for d in documents]):
            groups = torch.tensor([self.groups[name] for name in names])[owners]
            self._by_group.index_add_(1, groups, losses_and_counts)

    @property
    def _by_group(self) -> Tensor:
        """float64 [2, groups]: summed loss and number of supervised tokens; a view of `sums`."""
        return self.sums[len(COUNTS) :].view(2, -1)

    def losses(self, prefix: str) -> dict[str, float]:
        """Loss per supervised token of every source ("source/") or kind ("kind/") in the step."""
        losses, counts = self._by_group.tolist()
        return {
            name.removeprefix(prefix): round(losses[group] / counts[group], 5)
            for name, group in self.groups.items()
            if name.startswith(prefix) and counts[group]
        }

    def metrics(self, budgets: Budgets, seconds: float) -> Line:
        """Losses by group, counts, tokens per second, and how full the packs were; for a step that took this long."""
        packs, supervised, visual = max(self["packs"], 1.0), self["supervised"], self["visual"]
        text = self["tokens"] - visual
        return {
            "loss_by_source": self.losses("source/"),
            "loss_by_kind": self.losses("kind/"),
            "samples": int(self["samples"]),
            "supervised_tokens": int(supervised),
            "text_tokens": int(text),
            "visual_tokens": int(visual),
            "supervised_tokens_per_s": round(supervised / seconds, 2),
            "text_tokens_per_s": round(text / seconds, 2),
            "visual_tokens_per_s": round(visual / seconds, 2),
            "fill_tokens": round(self["tokens"] / packs / budgets.tokens, 4),
            "fill_visual_tokens": round(visual / packs / budgets.visual_tokens, 4),
        }
