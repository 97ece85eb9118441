"""A store of nano's records with images of mixed sizes, and runs over it, on which training is timed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from drawn_world import KINDS, draw
from drawn_world.item import replace_media
from drawn_world.write_records import MediaFile, item_key
from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.lengths import index_store
from qwen2vl.data.loader import StepData, StepLoader
from qwen2vl.data.plan import Budgets, Cursor, Phase, Plan
from qwen2vl.data.quarantine import Quarantine
from qwen2vl.data.samples import PackRequest, SampleReader
from qwen2vl.data.store import Store
from qwen2vl.model.init import new_model
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor
from qwen2vl.recipes.nano import RATE, nano_processor
from qwen2vl.spec.config import NANO, Qwen2VLConfig
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.loop import Events, StageData, Trainer
from qwen2vl.training.loss import token_loss
from qwen2vl.training.parts import passes_of
from qwen2vl.training.run_directory import RunDirectory
from qwen2vl.training.train_config import Rates, Stage, TrainConfig

TASKS = ("ground", "compare", "count", "motion", "colour_shape")
"""Boxes, two images, numbers, videos, names: none needs the fonts."""
TOKENS = 4, 256
"""Fewest and most tokens of an image: nano's own limits. Every doubling between them is equally frequent."""
BUDGETS = Budgets(tokens=1024, visual_tokens=1024, media=256)
"""A pack holds eight samples on average, so that its memory compares with micro-batches of eight."""
ALL = Rates(tower=RATE, merger=RATE, decoder=RATE)
CONFIG = TrainConfig(precision="fp32")
SMALL = replace(NANO, vision=replace(NANO.vision, depth=1), text=replace(NANO.text, num_hidden_layers=1))


def write_records(folder: Path, count: int) -> Path:
    """Write `count` records, tasks in turn; returns their file."""
    media, lines = MediaFile("media/mixed.bin"), []
    for number in range(count):
        task = TASKS[number % len(TASKS)]
        item = draw(task, item_key(0, task, number), "train")
        tokens = TOKENS[0] * (TOKENS[1] / TOKENS[0]) ** np.random.default_rng(number).random()
        item = replace(item, messages=replace_media(item.messages, lambda image, n=tokens: scaled(image, n)))
        messages = media.add_item(item)
        lines.append({"id": str(number), "source": task, "kind": KINDS[task], "messages": messages})
    (folder / "media").mkdir(parents=True)
    (folder / media.name).write_bytes(media.content)
    file = folder / "mixed.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def scaled(image: Image.Image, tokens: float) -> Image.Image:
    """The image, scaled to about this number of tokens of 28x28 pixels."""
    factor = (tokens * 784 / (image.width * image.height)) ** 0.5
    width, height = (max(28, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def build_store(folder: Path, count: int) -> Path:
    """Write `count` records and build a store of them; returns its path."""
    settings = BuildSettings(
        store=folder / "store", tokenizer=nano_processor().tokenizer, media_root=None, media=MediaSettings()
    )
    build([write_records(folder / "records", count)], settings)
    return folder / "store"


def stage_of(small: bool, rates: Rates = ALL) -> Stage:
    return Stage(
        name="mixed",
        steps=1000,
        rates=rates,
        phases=(Phase(mixtures=(dict.fromkeys(TASKS, 1),)),),
        budgets=Budgets(tokens=600, visual_tokens=600, media=32) if small else BUDGETS,
        packs_per_step=2 if small else 7,  # about 56 samples, as in the recipe `nano`
        window=64 if small else 256,
        warmup_steps=10,
    )


def new_nano(small: bool) -> Qwen2VL:
    return new_model(SMALL if small else NANO, seed=0)


class Run:
    """One run of our trainer over a store, step by step. All runs over a store have the same data."""

    def __init__(
        self,
        store: Path,
        run_dir: Path,
        small: bool,
        rates: Rates = ALL,
        prepare: Callable[[Qwen2VL], None] = lambda model: None,
        config: TrainConfig = CONFIG,
    ) -> None:
        """prepare: a change of the model before training, for example `activations.recompute`."""
        self.model, self.stage = new_nano(small), stage_of(small, rates)
        prepare(self.model)
        self.data = stage_data(Store(store), nano_processor(), self.model.config, self.stage)
        self.quarantine = Quarantine(run_dir / "quarantine", 0)
        run = RunDirectory(run_dir, {}, config.keep_checkpoints)
        no_events = Events(on_step=lambda line: None, validate=lambda model: {})
        self.trainer = Trainer(self.model, (self.stage,), config, run, no_events, lambda stage: self.data)
        self.model.train()

    def steps(self, count: int) -> Iterator[StepData]:
        """The first steps, read in this process, so that no worker runs while a step is timed."""
        return StepLoader(self.data.plan, self.data.reader, self.quarantine, num_workers=0).steps(Cursor(), count)

    def train(self, step: StepData) -> float:
        """Train one step and return its loss."""
        return float(self.trainer.train_step(step)["loss"])


def load_kernels(run: Run, step: StepData) -> None:
    """Run a small model on one sample: what libraries load on first use does not count as memory of training."""
    row = step.packs[0].documents[0].row
    token_loss(new_nano(small=True), run.data.reader.pack(PackRequest(step=0, rows=(row,))).inputs).total.backward()


def stage_data(store: Store, processor: Processor, config: Qwen2VLConfig, stage: Stage) -> StageData:
    index = index_store(store, stage.sources, config, processor.settings, stage.budgets, passes_of(stage.rates))
    return StageData(plan=Plan(index.sources, stage.plan_config(0)), reader=SampleReader(store, processor, index.caps))
