"""What recipes over the drawn world share: limits, budgets, stages of a curriculum, held-out scores, records needed.

Not here: which tasks when (curriculum, wider), and how long each stage is (nano, wide, whole, micro).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from drawn_world import draw
from qwen2vl.data.plan import Budgets
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor
from qwen2vl.recipes.curriculum import Lessons, phases_between
from qwen2vl.spec.config import NANO
from qwen2vl.spec.inputs import ModelInputs, pack
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.loss import exact_documents, token_loss
from qwen2vl.training.run_directory import Line
from qwen2vl.training.train_config import Rates, Stage

MEDIA = MediaSettings(
    min_pixels=4 * 784,
    max_pixels=256 * 784,
    video_min_pixels=4 * 784,
    video_max_pixels=64 * 784,
    video_total_pixels=2 * 1024 * 784,
    video_max_tokens=1024,
    max_frames=64,
    image_mean=NANO.vision.image_mean,
    image_std=NANO.vision.image_std,
)
"""nano's own limits: it has only seen small images and short videos."""

BUDGETS = Budgets(tokens=896, visual_tokens=896, media=128)
"""Two packs a step are about 26 conversations."""
PACKS_PER_STEP = 2


def stages_over(
    curriculum: Sequence[Lessons],
    ends: Mapping[str, int],
    rate: float,
    falls: int,
    *,
    budgets: Budgets = BUDGETS,
    packs_per_step: int = PACKS_PER_STEP,
) -> tuple[Stage, ...]:
    """A curriculum cut into stages, with one rate over all of them: level until `falls`, then in a line to 0 at the end.

    Args:
        ends: stage to the step of the curriculum at which it ends; the last one locks the tower.
        falls: step from which the rate falls.
    """
    starts, end = [0, *ends.values()], max(ends.values())

    def left(step: int) -> float:
        return min(1.0, (end - step) / (end - falls))

    def stage(name: str, start: int, until: int) -> Stage:
        peak = left(start) * rate
        return Stage(
            name=name,
            steps=until - start,
            rates=Rates(tower=0 if until == end else peak, merger=peak, decoder=peak),
            phases=phases_between(start, until, curriculum),
            budgets=budgets,
            packs_per_step=packs_per_step,
            window=256,
            warmup_steps=0 if start else 200,
            decay=max(0, until - max(start, falls)) / (until - start),
            final_rate=left(until) / left(start),
        )

    return tuple(stage(name, start, until) for start, (name, until) in zip(starts, ends.items(), strict=False))


def drawn_row(processor: Processor, task: str, seed: int, split: str, ease: float = 0.0) -> ModelInputs:
    """One drawn conversation with labels."""
    item = draw(task, seed, split, ease)
    conversation = [*item.messages, {"role": "assistant", "content": item.answer}]
    return processor(conversation, add_generation_prompt=False, with_labels=True)


class Validation:
    """Loss and share of exactly right answers on held-out items of every task, drawn when first asked for."""

    def __init__(self, processor: Processor, tasks: Sequence[str], items: int) -> None:
        self.processor, self.tasks, self.items = processor, tasks, items
        self.rows: dict[str, ModelInputs] = {}

    def __call__(self, model: Qwen2VL) -> Line:
        if not self.rows:
            seeds = range(self.items)
            self.rows = {
                task: pack([drawn_row(self.processor, task, seed, "val") for seed in seeds]) for task in self.tasks
            }
        losses = {task: token_loss(model, row.to(model.device)) for task, row in self.rows.items()}
        exact = {task: float(exact_documents(self.rows[task], loss).float().mean()) for task, loss in losses.items()}
        total, count = sum(float(loss.total) for loss in losses.values()), sum(loss.count for loss in losses.values())
        return {"validation_loss": total / count, "exact": {task: round(share, 4) for task, share in exact.items()}}


def how_to_build(name: str, store: Path) -> str:
    """The commands that make the store of a recipe, for the error where it is missing."""
    records = f"runs/{name}-records"
    return (
        f"qwen2vl data draw {records} --recipe {name}, then qwen2vl data build {records}/*.jsonl --out {store} "
        f"--tokenizer {records}/tokenizer"
    )


MEASURED_ITEMS = 8


def sources_needed(stages: Sequence[Stage], processor: Processor, share: float = 1.0) -> dict[str, int]:
    """How many records of every source one run reads, from a few of each; a share of them for smaller trials."""
    tokens = cache(lambda source: tokens_of(source, processor))
    needed: dict[str, float] = {}
    for stage in stages:
        for mixture, steps in steps_by_mixture(stage):
            mean = sum(weight * tokens(name) for name, weight in mixture) / sum(weight for _, weight in mixture)
            samples = steps * stage.packs_per_step * stage.budgets.tokens / mean
            for name, weight in mixture:
                needed[name] = needed.get(name, 0) + samples * weight / sum(weight for _, weight in mixture)
    return {name: max(1, round(count * share)) for name, count in sorted(needed.items())}


def steps_by_mixture(stage: Stage) -> list[tuple[tuple[tuple[str, int], ...], int]]:
    """Every mixture of a stage and how many steps draw from it."""
    config, counts = stage.plan_config(0), dict[tuple[tuple[str, int], ...], int]()
    for step in range(stage.steps):
        mixture = tuple(config.mixture_at(step).items())
        counts[mixture] = counts.get(mixture, 0) + 1
    return list(counts.items())


def tokens_of(source: str, processor: Processor) -> float:
    """Mean length of the conversations of a source."""
    task, _, ease = source.partition("@")
    rows = [drawn_row(processor, task, seed, "train", float(ease)) for seed in range(MEASURED_ITEMS)]
    return sum(row.num_tokens for row in rows) / len(rows)
