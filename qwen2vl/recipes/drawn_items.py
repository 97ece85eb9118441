"""Items of the drawn world in recipes: held-out ones to validate with, and the number of records that a run needs."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from drawn_world import Item, draw
from drawn_world.write_records import draw_from
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor
from qwen2vl.spec.inputs import ModelInputs, pack
from qwen2vl.training.loss import exact_documents, token_loss
from qwen2vl.training.train_config import Stage

MEASURED_ITEMS = 8
"""Number of items of a source from which the mean length of its conversations is estimated."""


def labelled_row(processor: Processor, item: Item) -> ModelInputs:
    """One conversation with its answer, as a row with labels."""
    conversation = [*item.messages, {"role": "assistant", "content": item.answer}]
    return processor(conversation, add_generation_prompt=False, with_labels=True)


class Validation:
    """Measures the loss and the share of exactly right answers on held-out items of every task, drawn on first use."""

    def __init__(self, processor: Processor, tasks: Sequence[str], num_items: int) -> None:
        """num_items: number of items of every task."""
        self.processor, self.tasks, self.num_items = processor, tasks, num_items
        self.rows: dict[str, ModelInputs] = {}

    def __call__(self, model: Qwen2VL) -> dict[str, Any]:
        """Measure a model: {"validation_loss": nats per token, "exact": {task: share}}, or {} without items."""
        if not self.num_items:
            return {}
        if not self.rows:
            seeds = range(self.num_items)
            self.rows = {
                task: pack([labelled_row(self.processor, draw(task, seed, "val")) for seed in seeds])
                for task in self.tasks
            }
        losses = {task: token_loss(model, row.to(model.device)) for task, row in self.rows.items()}
        exact = {task: float(exact_documents(self.rows[task], loss).float().mean()) for task, loss in losses.items()}
        total, count = sum(float(loss.total) for loss in losses.values()), sum(loss.count for loss in losses.values())
        return {"validation_loss": total / count, "exact": {task: round(share, 4) for task, share in exact.items()}}


def how_to_build(recipe: str, store: Path) -> str:
    """The commands that make the store of a recipe, for the error when it is missing."""
    records = f"runs/{recipe}-records"
    return (
        f"qwen2vl data draw {records} --recipe {recipe}, then qwen2vl data build {records}/*.jsonl --out {store} "
        f"--tokenizer {records}/tokenizer"
    )


def count_records(stages: Sequence[Stage], processor: Processor, share: float = 1.0) -> dict[str, int]:
    """Number of records of every source that a run reads, times `share`; estimated from the lengths of a few items."""
    tokens = cache(lambda source: mean_tokens(source, processor))
    needed: dict[str, float] = {}
    for stage in stages:
        for mixture, steps in steps_by_mixture(stage).items():
            weights = sum(weight for _, weight in mixture)
            mean = sum(weight * tokens(name) for name, weight in mixture) / weights
            samples = steps * stage.packs_per_step * stage.budgets.tokens / mean
            for name, weight in mixture:
                needed[name] = needed.get(name, 0) + samples * weight / weights
    return {name: max(1, round(count * share)) for name, count in sorted(needed.items())}


def steps_by_mixture(stage: Stage) -> Counter[tuple[tuple[str, int], ...]]:
    """Number of steps of a stage that use each mixture."""
    config = stage.plan_config(0)
    return Counter(tuple(config.mixture_at(step).items()) for step in range(stage.steps))


def mean_tokens(source: str, processor: Processor) -> float:
    """Mean number of tokens of the conversations of a source, for example "read_word@0.25"."""
    items = (draw_from(source, seed, "train") for seed in range(MEASURED_ITEMS))
    return sum(labelled_row(processor, item).num_tokens for item in items) / MEASURED_ITEMS
