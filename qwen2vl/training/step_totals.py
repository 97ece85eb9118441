"""Sums over the rows of a step, over all processes, and the line of metrics they make."""

import resource
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from qwen2vl.data.records import KINDS
from qwen2vl.data.samples import Document
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.training.loss import TokenLoss, documents_of

PLAIN = ("loss", "supervised", "correct", "samples", "tokens", "visual", "packs", "failed", "stop")


class Tally:
    """What one step adds up to. All sums lie in one float64 vector, so that processes share them in one message."""

    def __init__(self, sources: Sequence[str], merge_unit: int) -> None:
        self.groups = [f"source/{name}" for name in sources] + [f"kind/{name}" for name in KINDS]
        self.place = {name: number for number, name in enumerate(self.groups)}
        self.merge_unit = merge_unit
        self.sums = torch.zeros(len(PLAIN) + 2 * len(self.groups), dtype=torch.float64)

    def __getitem__(self, name: str) -> float:
        return float(self.sums[PLAIN.index(name)])

    def add(self, name: str, amount: float) -> None:
        self.sums[PLAIN.index(name)] += amount

    def add_row(self, inputs: ModelInputs, loss: TokenLoss, documents: Sequence[Document]) -> None:
        self.add("loss", float(loss.each.double().sum()))
        self.add("supervised", loss.count)
        self.add("correct", int(loss.correct.sum()))
        self.add("samples", inputs.num_documents)
        self.add("tokens", inputs.num_tokens)
        self.add("visual", len(inputs.patches) // self.merge_unit)
        owner = documents_of(inputs, loss)
        for groups in ([f"source/{d.source}" for d in documents], [f"kind/{d.kind}" for d in documents]):
            places = torch.tensor([self.place[name] for name in groups])[owner]
            self._by_group.index_add_(
                1, places, torch.stack([loss.each.cpu().double(), torch.ones(loss.count).double()])
            )

    @property
    def _by_group(self) -> Tensor:
        """[2, groups]: loss and supervised tokens."""
        return self.sums[len(PLAIN) :].view(2, -1)

    def losses(self, prefix: str) -> dict[str, float]:
        """Loss per supervised token of every source or kind that the step holds."""
        totals, counts = self._by_group.tolist()
        return {
            name.removeprefix(prefix): round(totals[place] / counts[place], 5)
            for name, place in self.place.items()
            if name.startswith(prefix) and counts[place]
        }


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory that this process has held: of the device on a GPU, resident in all on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
