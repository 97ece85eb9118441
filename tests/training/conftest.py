"""A two-layer nano and rows of drawn shapes, which need no fonts."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.init import new_model
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.nano.world import draw
from qwen2vl.recipes.nano import nano_processor
from qwen2vl.spec.config import NANO
from qwen2vl.spec.inputs import ModelInputs, pack

SMALL = replace(NANO, vision=replace(NANO.vision, depth=1), text=replace(NANO.text, num_hidden_layers=2))


class ShapeRows:
    """Step to row; each process gets its share of the step's samples."""

    TASKS = ("ground", "compare", "motion", "count")

    def __init__(self, replicas: Replicas | None = None) -> None:
        self.replicas, self.processor = replicas or Replicas(), nano_processor()

    def samples(self, step: int) -> list[ModelInputs]:
        rows = []
        for index, task in enumerate(self.TASKS):
            item = draw(task, step * len(self.TASKS) + index)
            conversation = [*item.messages, {"role": "assistant", "content": item.answer}]
            rows.append(self.processor(conversation, add_generation_prompt=False, with_labels=True))
        return rows

    def __call__(self, step: int) -> ModelInputs:
        return pack(self.samples(step)[self.replicas.rank :: self.replicas.size])


@pytest.fixture(scope="session")
def rows() -> ShapeRows:
    return ShapeRows()


@pytest.fixture
def small_model() -> Callable[[], Qwen2VL]:
    return lambda: new_model(SMALL, seed=0)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Bit-identical runs need the same thread count; one is also the fastest at this size."""
    torch.set_num_threads(1)
