"""Speed of training nano on a GPU at several batch sizes: the real step on rows of nano's sizes, without reading data.

Data are the work of the CPU and depend on its cores, so rows are made once, of random text and pixels.
"""

from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.synthetic_inputs import image_prompt
from qwen2vl.model.init import new_model
from qwen2vl.spec.config import NANO, Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs, pack
from qwen2vl.spec.tokens import IGNORED
from qwen2vl.training.loss import token_loss
from qwen2vl.training.optimizer import MasterOptimizer
from qwen2vl.training.train_config import PARTS, TrainConfig
from tools.measuring import interleave
from tools.results import Comparison
from tools.script import Disagreement

GRID = (1, 12, 12)
"""168x168 pixels, 36 tokens: about the size of drawn images."""
STEPS = 5
"""Number of steps in one timed run."""


def train_rates(
    device: torch.device, batches: tuple[int, ...], repeats: int
) -> tuple[list[Comparison], dict[str, Any]]:
    """Conversations per second for each batch size, and the loss before and after some steps on the same row."""
    runs = {batch: RowTrainer(NANO, device, batch) for batch in batches}
    falls = {str(batch): run.check_learning() for batch, run in runs.items()}
    times = interleave({str(batch): run.steps for batch, run in runs.items()}, repeats, device)
    lines = [
        Comparison(
            what=f"Training nano, batch of {batch} conversations of {row_tokens(runs[batch])} tokens",
            unit="conversations/s",
            better="higher",
            ours=[batch * STEPS / seconds for seconds in times[str(batch)]],
            note=f"{median(times[str(batch)]) / STEPS * 1000:.1f} ms a step, data left out",
        )
        for batch in batches
    ]
    return lines, {"loss_before_and_after": falls}


def row_tokens(run: "RowTrainer") -> int:
    return run.row.num_tokens // run.row.num_documents


class RowTrainer:
    """A model, its optimizer and one row of `batch` conversations."""

    def __init__(self, config: Qwen2VLConfig, device: torch.device, batch: int) -> None:
        self.model = new_model(config, seed=0).to(device, torch.bfloat16)
        self.model.tie()
        self.optimizer = MasterOptimizer(self.model, TrainConfig())
        self.row = pack([supervised(config, seed) for seed in range(batch)]).to(device)

    def step(self) -> float:
        loss = token_loss(self.model, self.row)
        loss.total.backward()
        self.optimizer.collect()
        self.optimizer.step(dict.fromkeys(PARTS, 1e-3), divisor=loss.count)
        return loss.total.item() / loss.count

    def steps(self) -> None:
        for _ in range(STEPS):
            self.step()

    def check_learning(self, steps: int = 10) -> list[float]:
        """Loss of the first and the last of `steps` steps on the same row. Raises Disagreement if it does not fall."""
        losses = [self.step() for _ in range(steps)]
        if not losses[-1] < losses[0]:
            raise Disagreement(
                f"the training loss went from {losses[0]:.3f} to {losses[-1]:.3f} on a row shown {steps} times"
            )
        return [losses[0], losses[-1]]


def supervised(config: Qwen2VLConfig, seed: int) -> ModelInputs:
    """One image between words; the last eight words are the reply."""
    row = image_prompt(config, GRID, 20, seed)
    labels = np.full(row.num_tokens, IGNORED)
    labels[-8:] = row.ids[-8:].numpy()
    return replace(row, labels=torch.from_numpy(labels))
