"""A two-layer nano, a small store and training runs over it; helpers for gradients and memory."""

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
from qwen2vl.spec.config import NANO, Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.training.activation_memory import Row
from qwen2vl.training.activations import recompute
from qwen2vl.training.loop import Events, StageData, Trainer
from qwen2vl.training.loss import token_loss
from qwen2vl.training.parts import passes_of, set_trained
from qwen2vl.training.run_directory import RunDirectory, read_metrics
from qwen2vl.training.train_config import Rates, Stage, TrainConfig
from tests.data.conftest import build_store

SMALL = replace(NANO, vision=replace(NANO.vision, depth=1), text=replace(NANO.text, num_hidden_layers=2))
SOURCES = ("pairs", "many", "videos", "text", "news", "talk")
ALL = Rates(tower=1e-3, merger=1e-3, decoder=1e-3)
NO_EVENTS = Events(on_step=lambda line: None, validate=lambda model: {})
WITH_HELD_OUT = Events(
    on_step=lambda line: None, validate=lambda model: {"validation_loss": 1.0, "exact": {"count": 0.5}}
)
CONFIG = TrainConfig(precision="fp32", save_every=2, validate_every=3)
WIDE = replace(
    NANO,
    vision=replace(NANO.vision, depth=3, embed_dim=256, num_heads=4, hidden_size=384),
    text=replace(NANO.text, num_hidden_layers=3, hidden_size=384, num_attention_heads=6, intermediate_size=1024),
)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TRAINED = {
    "all": ALL,
    "tower frozen": Rates(merger=1e-3, decoder=1e-3),
    "decoder frozen": Rates(tower=1e-3, merger=1e-3),
    "merger alone": Rates(merger=1e-3),
    "decoder alone": Rates(decoder=1e-3),
}


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


THREE_STAGES = (
    stage_of("one", 3, Rates(tower=1e-3, merger=1e-3)),
    stage_of("two", 3, ALL),
    stage_of("three", 3, Rates(decoder=1e-3)),
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
    events: Events = NO_EVENTS,
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
    """Steps, losses and digests: what must not depend on where a run was interrupted."""
    return [(line["step"], line["loss"], line["plan_digest"]) for line in lines_of(path)]


def weights_of(model: Qwen2VL) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def gradients(model: Qwen2VL) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def assert_close(one, other, tolerance=1e-5):
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], atol=tolerance, rtol=tolerance, msg=name)


def gradients_of(model, rows, **options):
    """Mean loss per supervised token over some rows, and its gradients."""
    losses = [token_loss(model, row, **options) for row in rows]
    for loss in losses:
        if loss.count:
            loss.total.backward()
    count = sum(loss.count for loss in losses)
    found = {name: gradient / count for name, gradient in gradients(model).items()}
    model.zero_grad()
    return sum(loss.total.item() for loss in losses) / count, found


def model_of(config: Qwen2VLConfig, precision: str, rates: Rates, mode: str) -> Qwen2VL:
    model = new_model(config, 0).to(DTYPES[precision])
    set_trained(model, rates)
    recompute(model, mode)
    return model


def row_of(inputs: ModelInputs) -> Row:
    documents = inputs.segments.diff().double()
    frames = inputs.grids[:, 1:].prod(1).repeat_interleave(inputs.grids[:, 0]).double()
    return Row(
        tokens=inputs.num_tokens,
        patches=len(inputs.patches),
        document=round(float(documents.square().sum() / documents.sum())),
        frame=round(float(frames.square().sum() / frames.sum())),
    )


@pytest.fixture(scope="session")
def processor() -> Processor:
    return nano_processor()


@pytest.fixture(scope="session")
def store(tmp_path_factory, processor) -> Store:
    return build_store(tmp_path_factory.mktemp("records"), processor, 12)


@pytest.fixture(scope="session")
def reader(store, processor) -> SampleReader:
    return SampleReader(store, processor)


@pytest.fixture(scope="session")
def samples(reader) -> list[ModelInputs]:
    """One image, two images, a video, text alone, a document, a dialogue with a masked reply."""
    return [reader.read(row) for row in range(6)]


@pytest.fixture
def small_model() -> Callable[[], Qwen2VL]:
    return lambda: new_model(SMALL, seed=0)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Bit-identical runs need the same number of threads; one thread is also the fastest at this size."""
    torch.set_num_threads(1)
