"""nano from nothing: the drawn world, a curriculum, three stages, one small model.

    scripts/install-fonts.sh
    qwen2vl data draw runs/nano-records
    qwen2vl data build runs/nano-records/*.jsonl --out runs/nano-store
    qwen2vl train nano                                           (the same command again resumes)
    qwen2vl convert runs/nano --out runs/nano-export

Stage 1 trains everything on single skills, because there is no decoder yet that could be kept still; stage 2 everything
on everything; stage 3 locks the tower and takes the full questions on [paper 6].
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from qwen2vl.data.plan import Budgets
from qwen2vl.model.init import new_model
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.nano.world import TASKS, corpus_words, draw
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.recipes.curriculum import phases_between
from qwen2vl.recipes.running import Prepared
from qwen2vl.spec.config import NANO
from qwen2vl.spec.inputs import ModelInputs, pack
from qwen2vl.spec.media import MediaSettings
from qwen2vl.training.config import Rates, Stage, TrainConfig
from qwen2vl.training.loop import Line
from qwen2vl.training.loss import exact_documents, token_loss

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
"""nano's own limits: it has only seen small pictures and short films."""

BUDGETS = Budgets(tokens=1792, visual_tokens=1792, media=256)
"""Two packs a step are about 48 conversations."""
PACKS_PER_STEP = 2

RATE = 1e-3
FIRST, SECOND, END = 1930, 7000, 8600
"""Steps of the curriculum at which the stages end."""


def stage_of(name: str, begin: int, end: int, rates: Rates, **schedule: float) -> Stage:
    return Stage(
        name=name,
        steps=end - begin,
        rates=rates,
        phases=phases_between(begin, end),
        budgets=BUDGETS,
        packs_per_step=PACKS_PER_STEP,
        window=256,
        **schedule,  # type: ignore[arg-type]
    )


ALL = Rates(tower=RATE, merger=RATE, decoder=RATE)
LEFT = 0.62
"""Share of the rate at the border of the last stages: over both it falls in one line from step 6,020 to the end."""
STAGES = (
    stage_of("1-skills", 0, FIRST, ALL, warmup_steps=200, decay=0.0),
    stage_of("2-everything", FIRST, SECOND, ALL, warmup_steps=0, decay=0.193, final_rate=LEFT),
    stage_of("3-questions", SECOND, END, Rates(merger=LEFT * RATE, decoder=LEFT * RATE), warmup_steps=0, decay=1.0),
)


@cache
def nano_processor() -> Processor:
    """Tokenizer of the world's words, nano's sizes."""
    return Processor(build_nano_tokenizer(corpus_words()), NANO, MEDIA)


@dataclass(frozen=True, slots=True, kw_only=True)
class NanoRecipe:
    """Everything that decides nano's weights."""

    store: Path = Path("runs/nano-store")
    """Built from what `qwen2vl data draw` writes."""
    validation_items: int = 50
    """Of every task, drawn from the held-out half of the world."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(validate_every=500, save_every=100))

    @property
    def name(self) -> str:
        return "nano"

    def prepare(self, run_dir: Path) -> Prepared:
        processor = nano_processor()
        return Prepared(
            config=NANO,
            processor=processor,
            stages=STAGES,
            store=self.store,
            model=lambda: new_model(NANO, self.train.seed),
            validate=Validation(processor, self.validation_items) if self.validation_items else None,
            how_to_build="qwen2vl data draw runs/nano-records, then qwen2vl data build runs/nano-records/*.jsonl --out "
            f"{self.store}",
        )


def drawn_row(processor: Processor, task: str, seed: int, split: str, ease: float = 0.0) -> ModelInputs:
    """One drawn conversation with labels."""
    item = draw(task, seed, split, ease)
    conversation = [*item.messages, {"role": "assistant", "content": item.answer}]
    return processor(conversation, add_generation_prompt=False, with_labels=True)


class Validation:
    """Loss and share of exactly right answers on held-out items of every task, drawn when first asked for."""

    def __init__(self, processor: Processor, items: int) -> None:
        self.processor, self.items = processor, items
        self.rows: dict[str, ModelInputs] = {}

    def __call__(self, model: Qwen2VL) -> Line:
        if not self.rows:
            seeds = range(self.items)
            self.rows = {task: pack([drawn_row(self.processor, task, seed, "val") for seed in seeds]) for task in TASKS}
        losses = {task: token_loss(model, row.to(model.device)) for task, row in self.rows.items()}
        exact = {task: float(exact_documents(self.rows[task], loss).float().mean()) for task, loss in losses.items()}
        total, count = sum(float(loss.total) for loss in losses.values()), sum(loss.count for loss in losses.values())
        return {"validation_loss": total / count, "exact": {task: round(share, 4) for task, share in exact.items()}}


MEASURED_ITEMS = 8


def sources_needed(share: float = 1.0) -> dict[str, int]:
    """How many records of every source one run reads, from a few of each; a share of them for smaller trials."""
    needed: dict[str, float] = {}
    for stage in STAGES:
        for step in range(stage.steps):
            weights = stage.plan_config(0).mixture_at(step)
            samples = PACKS_PER_STEP * BUDGETS.tokens / mean_tokens(tuple(weights.items()))
            for name, weight in weights.items():
                needed[name] = needed.get(name, 0) + samples * weight / sum(weights.values())
    return {name: max(1, round(count * share)) for name, count in sorted(needed.items())}


@cache
def mean_tokens(mixture: tuple[tuple[str, int], ...]) -> float:
    """Of a conversation of a mixture."""
    return sum(weight * tokens_of(name) for name, weight in mixture) / sum(weight for _, weight in mixture)


@cache
def tokens_of(source: str) -> float:
    """Mean length of the conversations of a source."""
    task, _, ease = source.partition("@")
    rows = [drawn_row(nano_processor(), task, seed, "train", float(ease)) for seed in range(MEASURED_ITEMS)]
    return sum(row.num_tokens for row in rows) / len(rows)
