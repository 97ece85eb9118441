"""How fast nano trains here at several batch sizes: the real step on rows of nano's sizes, data left out.

Drawing the world is the CPU's work and depends on its cores, so rows are made once, of random text and pixels.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.agreement import Disagreement
from benchmarks.drawn import image_prompt
from benchmarks.measuring import interleave, median
from qwen2vl.model.init import new_model
from qwen2vl.spec.config import NANO, Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs, pack
from qwen2vl.training.loss import token_loss
from qwen2vl.training.optimizer import MasterOptimizer
from qwen2vl.training.train_config import PARTS, TrainConfig
from tools.results import Comparison

GRID = (1, 12, 12)
"""168x168 pixels, 36 tokens: about what the drawn world's images have."""
NUM_TEXT, NUM_SUPERVISED = 20, 8
STEPS = 5
"""In one timed run."""
RATE = 1e-3


def train_rates(
    device: torch.device, batches: tuple[int, ...], repeats: int
) -> tuple[list[Comparison], dict[str, Any]]:
    """Conversations per second for each batch size, and how the loss fell on a row shown again and again."""
    runs = {batch: Trainer(NANO, device, batch) for batch in batches}
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


def row_tokens(run: "Trainer") -> int:
    return run.row.num_tokens // run.row.num_documents


class Trainer:
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
        self.optimizer.step(dict.fromkeys(PARTS, RATE), divisor=loss.count)
        return loss.total.item() / loss.count

    def steps(self) -> None:
        for _ in range(STEPS):
            self.step()

    def check_learning(self, steps: int = 10) -> list[float]:
        """Loss at first and after `steps` on the same row. Raises Disagreement when it does not fall."""
        losses = [self.step() for _ in range(steps)]
        if not losses[-1] < losses[0]:
            raise Disagreement(
                f"the training loss went from {losses[0]:.3f} to {losses[-1]:.3f} on a row shown {steps} times"
            )
        return [losses[0], losses[-1]]


def supervised(config: Qwen2VLConfig, seed: int) -> ModelInputs:
    """One image between words, of which the last are the reply."""
    row = image_prompt(config, GRID, NUM_TEXT, seed)
    labels = np.full(row.num_tokens, -100)
    labels[-NUM_SUPERVISED:] = row.ids[-NUM_SUPERVISED:].numpy()
    return replace(row, labels=torch.from_numpy(labels))
