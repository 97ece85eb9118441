"""A two-layer nano, a small store, and a run over it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from qwen2vl.data.lengths import index_store
from qwen2vl.data.plan import Budgets, Phase, Plan
from qwen2vl.data.samples import SampleReader
from qwen2vl.data.store import Store
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.init import new_model
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor
from qwen2vl.recipes.nano import nano_processor
from qwen2vl.spec.config import NANO
from qwen2vl.training.loop import Events, StageData, Trainer
from qwen2vl.training.parts import passes_of
from qwen2vl.training.run_directory import RunDirectory, read_metrics
from qwen2vl.training.train_config import Rates, Stage, TrainConfig
from tests.data.conftest import build_store

SMALL = replace(NANO, vision=replace(NANO.vision, depth=1), text=replace(NANO.text, num_hidden_layers=2))
SOURCES = ("pairs", "many", "videos", "text", "news", "talk")
ALL = Rates(tower=1e-3, merger=1e-3, decoder=1e-3)
SILENT = Events(on_step=lambda line: None, validate=lambda model: {})
FIGURES = Events(on_step=lambda line: None, validate=lambda model: {"validation_loss": 1.0, "exact": {"count": 0.5}})
CONFIG = TrainConfig(precision="fp32", save_every=2, validate_every=3)


def stage_of(name: str = "all", steps: int = 6, rates: Rates = ALL, **changes: object) -> Stage:
    return Stage(
        name=name,
        steps=steps,
        rates=rates,
        phases=(Phase(mixtures=(dict.fromkeys(SOURCES, 1),)),),
        budgets=Budgets(tokens=160, visual_tokens=60, media=8),
        packs_per_step=4,
        window=60,
        warmup_steps=2,
        **changes,
    )


def data_of(store: Store, processor: Processor, seed: int = 0) -> Callable[[Stage], StageData]:
    def read(stage: Stage) -> StageData:
        index = index_store(store, stage.sources, SMALL, processor.settings, stage.budgets, passes_of(stage.rates))
        return StageData(
            plan=Plan(index.sources, stage.plan_config(seed)), reader=SampleReader(store, processor, index.caps)
        )

    return read


def trainer_of(
    path: Path,
    store: Store,
    model: Qwen2VL,
    stages: Sequence[Stage] = (),
    config: TrainConfig = CONFIG,
    events: Events = SILENT,
    num_workers: int = 0,
    replicas: Replicas | None = None,
) -> Trainer:
    stages = stages or (stage_of(),)
    settings = {"train": asdict(config)} | {stage.name: asdict(stage) for stage in stages}
    run = RunDirectory(path, settings, config.keep_checkpoints)
    data = data_of(store, nano_processor(), config.seed)
    return Trainer(model, stages, config, run, events, data, replicas=replicas, num_workers=num_workers)


def lines_of(path: Path) -> list[dict]:
    return [line for line in read_metrics(path / "metrics.jsonl") if "loss" in line]


def curve_of(path: Path) -> list[tuple[int, float, str]]:
    """What must not depend on how a run came about."""
    return [(line["step"], line["loss"], line["plan_digest"]) for line in lines_of(path)]


@pytest.fixture(scope="session")
def processor() -> Processor:
    return nano_processor()


@pytest.fixture(scope="session")
def store(tmp_path_factory, processor) -> Store:
    return build_store(tmp_path_factory.mktemp("records"), processor, 12)


@pytest.fixture(scope="session")
def reader(store, processor) -> SampleReader:
    return SampleReader(store, processor)


@pytest.fixture
def small_model() -> Callable[[], Qwen2VL]:
    return lambda: new_model(SMALL, seed=0)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Bit-identical runs need the same thread count; one is also the fastest at this size."""
    torch.set_num_threads(1)
