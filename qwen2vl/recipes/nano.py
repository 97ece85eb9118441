"""nano from nothing: the drawn world, a curriculum, one small model.

    command    scripts/install-fonts.sh && qwen2vl train nano        (the same command again resumes)
    export     qwen2vl train nano --export DIR, when the run is complete

Why a curriculum: with free fonts, colours, sizes and wordings from the start every signal stays at chance. So each skill
begins in one geometry (aligned letters, shapes that fill a visual token, one wording), alone or nearly so, and widens when
it has left chance: `ease` falls from 1 to 0. docs/nano.md has the measurements.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import torch

from qwen2vl.common.errors import ConfigError
from qwen2vl.common.memory import keep_freed_memory
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.checkpoint import save_checkpoint
from qwen2vl.model.init import new_model
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.nano.world import TASKS, corpus_words, draw
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import build_nano_tokenizer
from qwen2vl.spec.config import NANO
from qwen2vl.spec.inputs import ModelInputs, pack
from qwen2vl.spec.media import MediaSettings
from qwen2vl.training.config import TrainConfig
from qwen2vl.training.loop import Events, train
from qwen2vl.training.loss import exact_documents, token_loss
from qwen2vl.training.state import RunDirectory

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

PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class Mix:
    """What one step is drawn from.

    A step holds answers of about one length: its loss is a mean over tokens, in which one-word answers would drown
    beside lines and boxes.
    """

    ease: float
    """How easy seeing is: 1 aligned letters, one size and white ground, 0 everything."""
    weights: Mapping[str, float]
    """How often each task is drawn."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the run: until which step, and the mixes that its steps take in turn."""

    until: int | None
    mixes: tuple[Mix, ...]


READING = {"read_lines": 2, "read_word": 1}
PLACES = {"place_dialogue": 2, "ground": 1, "point": 1}
FILMS = {"motion": 1, "order": 1}
SCREENS = {"screen_dialogue": 2, "screen": 1, "screen_lines": 1}
CURRICULUM = (
    Phase(350, (Mix(1.0, {"read_word": 1}),)),
    Phase(700, (
        Mix(1.0, READING),
        Mix(1.0, {"shape_rows": 1}),
    )),
    Phase(1300, (
        Mix(0.8, {"spaced_lines": 1}),
        Mix(1.0, {"place_cells": 1}),
        Mix(0.8, {"shape_rows": 1}),
        Mix(1.0, {"film_rows": 1}),
    )),
    Phase(1930, (
        Mix(0.6, {"spaced_lines": 2, "read_lines": 1}),
        Mix(0.75, {"place_cells": 1}),
        Mix(1.0, {"look_up": 1}),
        Mix(0.5, READING),
        Mix(1.0, {"track": 1}),
        Mix(0.75, {"place_cells": 1}),
        Mix(1.0, {"look_up": 1}),
    )),
    Phase(2400, (
        Mix(0.6, {"spaced_lines": 2, "read_lines": 1}),
        Mix(0.75, {"place_cells": 1}),
        Mix(1.0, {"tell_apart": 1}),
        Mix(0.5, READING),
        Mix(0.75, {"place_cells": 1}),
        Mix(1.0, {"tell_apart": 1}),
    )),
    Phase(3100, (
        Mix(0.4, READING),
        Mix(0.7, {"tell_apart": 1}),
        Mix(0.6, {"place_cells": 1}),
        Mix(0.8, FILMS),
        Mix(0.8, {"place_dialogue": 1, "ground": 1, "point": 1}),
        Mix(0.4, READING),
        Mix(0.8, {"colour_shape": 1, "count": 1, "relate": 1}),
        Mix(0.6, {"track": 1, "film_rows": 1}),
        Mix(0.8, {"name_dialogue": 1}),
        Mix(0.8, {"compare": 1}),
    )),
    Phase(3260, (
        Mix(0.25, READING),
        Mix(0.5, PLACES),
        Mix(0.5, {"name_dialogue": 2, "colour_shape": 1, "count": 1, "relate": 1}),
        Mix(1.0, {"screen_lines": 1, "page_lines": 1}),
        Mix(0.5, FILMS),
        Mix(0.25, READING),
        Mix(1.0, {"screen_dialogue": 1}),
        Mix(0.5, {"compare": 1}),
        Mix(0.25, READING),
        Mix(1.0, {"page_dialogue": 1}),
        Mix(0.25, READING),
        Mix(0.5, {"read_number": 2, "text": 1, "caption": 1}),
    )),
    Phase(4040, (
        Mix(0.25, READING),
        Mix(0.5, {"colour_shape": 2, "relate": 1}),
        Mix(0.5, PLACES),
        Mix(0.25, READING),
        Mix(0.5, {"count": 1}),
        Mix(0.5, FILMS),
        Mix(0.25, READING),
        Mix(0.5, {"name_dialogue": 1}),
        Mix(1.0, {"screen_lines": 1, "page_lines": 1}),
        Mix(0.5, {"compare": 1}),
        Mix(0.5, {"place_dialogue": 1, "ground": 2, "point": 1}),
        Mix(1.0, {"screen_dialogue": 1}),
    )),
    Phase(4560, (
        Mix(0.25, READING),
        Mix(0.8, {"colour_shape": 1}),
        Mix(0.8, {"motion": 1}),
        Mix(0.25, READING),
        Mix(0.8, {"ground": 2, "point": 1}),
        Mix(0.8, {"colour_shape": 1}),
    )),
    Phase(4900, (
        Mix(0.2, READING),
        Mix(0.8, {"count": 1}),
        Mix(0.8, {"order": 1}),
        Mix(0.5, {"colour_shape": 1}),
        Mix(0.2, READING),
        Mix(0.7, {"ground": 2, "point": 1}),
        Mix(0.8, {"count": 1}),
        Mix(0.7, {"relate": 1, "compare": 1}),
    )),
    Phase(5380, (
        Mix(0.1, READING),
        Mix(0.3, {"colour_shape": 2, "relate": 1}),
        Mix(0.3, {"place_dialogue": 1, "ground": 1, "point": 1}),
        Mix(0.5, {"count": 1}),
        Mix(1.0, {"screen_lines": 1, "page_lines": 1}),
        Mix(0.1, READING),
        Mix(0.3, FILMS),
        Mix(1.0, {"screen_dialogue": 1}),
        Mix(0.3, {"compare": 1}),
        Mix(0.1, READING),
    )),
    Phase(6020, (
        Mix(0.1, READING),
        Mix(0.7, {"ground": 2, "point": 1}),
        Mix(0.6, {"place_cells": 1}),
        Mix(0.3, {"colour_shape": 2, "relate": 1, "count": 1}),
        Mix(0.7, {"ground": 2, "point": 1}),
        Mix(0.1, READING),
        Mix(0.6, {"place_dialogue": 1}),
        Mix(0.3, {"motion": 1, "order": 2, "compare": 1}),
        Mix(1.0, {"screen_dialogue": 1}),
    )),
    Phase(None, (
        Mix(0.0, READING),
        Mix(0.0, {"place_dialogue": 1, "ground": 2, "point": 1}),
        Mix(0.0, {"colour_shape": 2, "relate": 1}),
        Mix(0.0, SCREENS),
        Mix(0.0, {"read_lines": 1, "read_word": 2}),
        Mix(0.0, {"count": 1}),
        Mix(0.0, FILMS),
        Mix(0.0, READING),
        Mix(0.0, {"place_dialogue": 1, "ground": 2, "point": 1}),
        Mix(0.0, {"name_dialogue": 1}),
        Mix(0.0, {"page_dialogue": 2, "page": 1, "page_lines": 1}),
        Mix(0.0, {"compare": 1}),
        Mix(0.0, {"read_lines": 1, "read_word": 2}),
        Mix(0.0, SCREENS),
        Mix(0.0, {"read_number": 2, "text": 1, "caption": 1}),
    )),
)  # fmt: skip
"""Found while the shipped run was under way: a phase ends where its skills had left chance, or where too many at once did not."""


def mix_of(step: int) -> Mix:
    """What a step is drawn from."""
    phase = next(phase for phase in CURRICULUM if phase.until is None or step < phase.until)
    return phase.mixes[step % len(phase.mixes)]


def nano_processor() -> Processor:
    """Tokenizer of the world's words, nano's sizes."""
    return Processor(build_nano_tokenizer(corpus_words()), NANO, MEDIA)


class NanoRows:
    """Step number to packed row: a pure function of (seed, step), so a resumed run sees what the unbroken one would."""

    def __init__(self, batch: int, seed: int, replicas: Replicas) -> None:
        self.batch, self.seed, self.replicas = batch, seed, replicas
        self.processor = nano_processor()

    def __call__(self, step: int) -> ModelInputs:
        mix = mix_of(step)
        tasks = Random(f"{self.seed}/{step}").choices(list(mix.weights), list(mix.weights.values()), k=self.batch)
        first = (self.seed * 10**6 + step) * self.batch
        # Sorted, so that dealing them out gives every process about as many long ones.
        dealt = list(enumerate(sorted(tasks), first))[self.replicas.rank :: self.replicas.size]
        return pack([self.sample(task, seed, "train", mix.ease) for seed, task in dealt])

    def sample(self, task: str, seed: int, split: str, easy: float = 0.0) -> ModelInputs:
        """One drawn conversation with labels."""
        item = draw(task, seed, split, easy)
        conversation = [*item.messages, {"role": "assistant", "content": item.answer}]
        return self.processor(conversation, add_generation_prompt=False, with_labels=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class NanoRecipe:
    """Everything that decides nano's weights."""

    batch: int = 48
    """Conversations per step."""
    validation_items: int = 50
    """Per task."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of activations and gradients; the trained weights are float32 either way."""
    train: TrainConfig = TrainConfig(steps=8_600, learning_rate=1e-3, validate_every=500, save_every=100)


def train_nano(
    recipe: NanoRecipe,
    run_dir: Path,
    on_step: Callable[[dict[str, Any]], None],
    num_workers: int = 1,
    max_steps: int | None = None,
) -> int:
    """Train nano, or go on with the run in `run_dir`; returns the steps done. Raises ConfigError, Qwen2VLError."""
    keep_freed_memory()
    replicas = Replicas.join()
    run = RunDirectory(run_dir, {"recipe": "nano", **asdict(recipe)})
    rows = NanoRows(recipe.batch, recipe.train.seed, replicas)
    model = new_model(NANO, recipe.train.seed).to(PRECISIONS[recipe.precision])
    validation = Validation(rows, recipe.validation_items)
    events = Events(on_step=on_step, validate=validation)
    try:
        return train(
            model, rows, recipe.train, run, events, replicas=replicas, num_workers=num_workers, max_steps=max_steps
        )
    finally:
        replicas.leave()


class Validation:
    """Loss and share of exactly right answers on held-out items of every task, drawn once."""

    def __init__(self, rows: NanoRows, items: int) -> None:
        self.rows = {task: pack([rows.sample(task, seed, "val") for seed in range(items)]) for task in TASKS}

    @torch.no_grad()
    def __call__(self, model: Qwen2VL, step: int) -> dict[str, Any]:
        model.eval()
        losses = {task: token_loss(model, row) for task, row in self.rows.items()}
        exact = {task: float(exact_documents(self.rows[task], loss).float().mean()) for task, loss in losses.items()}
        model.train()
        total, count = sum(float(loss.total) for loss in losses.values()), sum(loss.count for loss in losses.values())
        return {"validation_loss": total / count, "exact": {task: round(share, 4) for task, share in exact.items()}}


def export_nano(run_dir: Path, directory: Path) -> int:
    """Write the newest weights of a run as a checkpoint directory; returns their step. Raises ConfigError."""
    run = RunDirectory(run_dir, json.loads((run_dir / "config.json").read_text()))
    latest = run.load_latest()
    if latest is None:
        raise ConfigError(f'the run in "{run_dir}" has no checkpoint yet: train first')
    step, state = latest
    model = new_model(NANO, seed=0)
    for name, parameter in model.named_parameters():
        parameter.data.copy_(state["masters"][name])
    save_checkpoint(
        model, nano_processor(), directory, dtype="bf16"
    )  # half the size; scores are those of what is shipped
    return step
