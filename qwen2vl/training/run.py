"""From a recipe to a run: model, data and training joined the same way for every recipe."""

import json
import logging
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from qwen2vl import __version__
from qwen2vl.common.errors import ConfigError
from qwen2vl.common.files import write_atomically
from qwen2vl.common.keys import key_of
from qwen2vl.common.memory import bound_kernel_cache, keep_freed_memory
from qwen2vl.data.lengths import Index, index_store
from qwen2vl.data.plan import Lengths, Plan
from qwen2vl.data.samples import PackRequest, SampleReader
from qwen2vl.data.store import Store
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.checkpoint import save_checkpoint
from qwen2vl.model.checkpoint.load import DTYPES, choose_device
from qwen2vl.model.checkpoint.save import write_configs
from qwen2vl.model.checkpoint.tensor_files import MAX_SHARD_BYTES
from qwen2vl.model.lora import LoraConfig, add_adapter
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor, load_processor
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.training.activations import compile_layers, recompute
from qwen2vl.training.checkpoints import Checkpoints
from qwen2vl.training.estimate import estimate, refuse_too_large
from qwen2vl.training.loop import Events, StageData, Trainer
from qwen2vl.training.loss import token_loss
from qwen2vl.training.parts import passes_of
from qwen2vl.training.run_directory import Line, RunDirectory
from qwen2vl.training.train_config import Stage, TrainConfig

log = logging.getLogger(__name__)

NOTHING: Callable[[Qwen2VL], Line] = lambda model: {}  # noqa: E731  # a value, not a step of anything


class Recipe(Protocol):
    """A complete configuration. Frozen dataclasses, so that every setting has a dotted path."""

    @property
    def name(self) -> str: ...

    @property
    def train(self) -> TrainConfig: ...

    def prepare(self, run_dir: Path) -> "Prepared":
        """Stages, data and model, when a run begins or goes on. Raises Qwen2VLError before anything is trained."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a recipe amounts to on this machine."""

    config: Qwen2VLConfig
    processor: Processor
    stages: tuple[Stage, ...]
    store: Path
    model: Callable[[], Qwen2VL]
    """Initial weights, float32 or in their own precision."""
    held_out: float = 0.0
    """Share of every source that is kept for the held-out loss."""
    validate: Callable[[Qwen2VL], Line] | None = None
    """Held-out figures of the recipe's own, in place of `held_out`."""
    finish: Callable[[Qwen2VL, Path], None] | None = None
    """What is written to the run's folder when the training stops."""
    adapter: LoraConfig | None = None
    """That the model carries."""
    how_to_build: str = ""
    """The store, in a few words, for the error where it is missing."""
    records_seed: int = 0
    """What `qwen2vl data draw` draws its records with."""

    @property
    def has_store(self) -> bool:
        return (self.store / "store.json").is_file()

    def open_store(self, run_dir: Path) -> Store:
        """At the version that the run began with. Raises ConfigError."""
        if self.how_to_build and not self.has_store:
            raise ConfigError(f'there is no store "{self.store}": {self.how_to_build}')
        return Store(self.store, version_begun_with(run_dir))

    def outline(self) -> Qwen2VL:
        """The model on the meta device, to count on."""
        with torch.device("meta"):
            model = Qwen2VL(self.config)
            if self.adapter is not None:
                add_adapter(model, self.adapter, seed=0)
        return model


def run_recipe(
    recipe: Recipe,
    run_dir: Path,
    on_step: Callable[[Line], None],
    num_workers: int = 1,
    max_steps: int | None = None,
) -> int:
    """Train a recipe, or go on with the run in `run_dir`; returns the steps done. Raises Qwen2VLError."""
    keep_freed_memory()
    bound_kernel_cache()
    replicas = Replicas.join()
    try:
        prepared = recipe.prepare(run_dir)
        store = prepared.open_store(run_dir)
        source = DataSource(store, prepared.processor, recipe.train.seed, prepared.held_out)
        for stage in prepared.stages:
            source(stage)
        device = choose_device(None)
        # What cannot be planned or cannot fit is refused before the folder is claimed for these settings.
        refuse_what_does_not_fit(prepared, recipe.train, device, replicas.size, num_workers)
        settings = {"recipe": recipe.name, "store": str(prepared.store), "store_version": store.version}
        settings |= _resolved(recipe, prepared)
        run = RunDirectory(run_dir, settings, recipe.train.keep_checkpoints, replicas.leads)
        if replicas.leads:
            write_model_files(run.path / "model", prepared.config, prepared.processor)
            write_atomically(run.path / "environment.json", json.dumps(environment(), indent=2) + "\n")
        model = prepared.model().to(device, DTYPES[recipe.train.precision])
        recompute(model, recipe.train.recompute)
        if recipe.train.compile:
            compile_layers(model)
        validate = prepared.validate or source.held_out_loss(prepared.stages[-1])
        events = Events(on_step=on_step, validate=validate)
        trainer = Trainer(
            model, prepared.stages, recipe.train, run, events, source, replicas=replicas, num_workers=num_workers
        )
        done = trainer.train(max_steps)
        if prepared.finish is not None and replicas.leads:
            prepared.finish(model, run.path)
        return done
    finally:
        replicas.leave()


def refuse_what_does_not_fit(
    prepared: Prepared, config: TrainConfig, device: torch.device, processes: int, num_workers: int
) -> None:
    """Raises ConfigError for the first stage that needs more memory than there is."""
    model, settings = prepared.outline(), prepared.processor.settings
    for stage in prepared.stages:
        needed = estimate(model, stage, config, settings, device, processes=processes, num_workers=num_workers)
        refuse_too_large(needed, device)


def version_begun_with(run_dir: Path) -> str | None:
    """The version of the store that a run began with: what was appended since does not concern it."""
    file = run_dir / "config.json"
    return json.loads(file.read_text()).get("store_version") if file.is_file() else None


def _resolved(recipe: Recipe, prepared: Prepared) -> dict[str, Any]:
    """Every setting that decides the weights, stages by name."""
    settings: dict[str, Any] = {"train": asdict(recipe.train), "held_out": prepared.held_out}
    return settings | {f"stage.{stage.name}".replace(".", "_"): asdict(stage) for stage in prepared.stages}


class DataSource:
    """Plans and readers of the stages of a run over one store."""

    def __init__(self, store: Store, processor: Processor, seed: int, held_out: float = 0.0) -> None:
        self.store, self.base, self.seed, self.held_out = store, processor, seed, held_out
        self.known: dict[str, tuple[Index, StageData]] = {}

    def __call__(self, stage: Stage) -> StageData:
        return self.indexed(stage)[1]

    def indexed(self, stage: Stage) -> tuple[Index, StageData]:
        """With what was done to samples over a budget. Raises ConfigError."""
        if stage.name not in self.known:
            processor = self.processor(stage)
            index = index_store(
                self.store,
                stage.sources,
                processor.config,
                processor.settings,
                stage.budgets,
                passes_of(stage.rates),
            )
            tell_of_budgets(stage, index)
            learnt = {name: self._split(lengths)[0] for name, lengths in index.sources.items()}
            data = StageData(
                plan=Plan(learnt, stage.plan_config(self.seed)),
                reader=SampleReader(self.store, processor, index.caps),
            )
            self.known[stage.name] = index, data
        return self.known[stage.name]

    def processor(self, stage: Stage) -> Processor:
        return self.base.with_settings(self.base.settings.with_limits(stage.min_pixels, stage.max_pixels))

    def _split(self, lengths: Lengths) -> tuple[Lengths, Lengths]:
        """Learnt and held out; which is which depends on the row alone."""
        if not self.held_out:
            return lengths, _chosen(lengths, slice(0))
        out = np.array(
            [key_of("held out", row) % 10_000 < self.held_out * 10_000 for row in lengths.rows.tolist()], bool
        )
        if out.all() and len(out):
            out[0] = False
        return _chosen(lengths, ~out), _chosen(lengths, out)

    def held_out_loss(self, stage: Stage) -> Callable[[Qwen2VL], Line]:
        """Loss on the samples that no step reads; {} when there are none."""
        if not self.held_out:
            return NOTHING
        index, data = self.indexed(stage)
        rows = [row for lengths in index.sources.values() for row in self._split(lengths)[1].rows.tolist()]
        return HeldOutLoss(data.reader, rows) if rows else NOTHING


def shares_by_size(store: Store) -> dict[str, int]:
    """A mixture that draws every source as often as it has samples; in shares of at most 100,000 when there are more."""
    counts = {name: len(rows) for name, rows in store.sources.items()}
    scale = min(1.0, 1e5 / max(1, sum(counts.values())))
    return {name: max(1, round(count * scale)) for name, count in counts.items()}


def tell_of_budgets(stage: Stage, index: Index) -> None:
    """Count what does not fit a pack as it is."""
    if index.caps:
        log.warning(
            "stage %s: the images of %d samples shrink so that they fit a pack of %d tokens, %d of them visual",
            stage.name,
            len(index.caps),
            stage.budgets.tokens,
            stage.budgets.visual_tokens,
        )
    for row, reason in list(index.refused.items())[:1]:
        log.warning("stage %s: %d samples are left out, row %d: %s", stage.name, len(index.refused), row, reason)


def _chosen(lengths: Lengths, which: Any) -> Lengths:
    return Lengths(
        rows=lengths.rows[which],
        tokens=lengths.tokens[which],
        visual_tokens=lengths.visual_tokens[which],
        media=lengths.media[which],
        flops=lengths.flops[which],
    )


class HeldOutLoss:
    """Loss per supervised token on some rows of a store, one row at a time."""

    def __init__(self, reader: SampleReader, rows: list[int], most: int = 256) -> None:
        self.reader, self.rows = reader, rows[:most]

    def __call__(self, model: Qwen2VL) -> Line:
        total, count = 0.0, 0
        for row in self.rows:
            loaded = self.reader.pack(PackRequest(step=0, rows=(row,)))
            loss = token_loss(model, loaded.inputs.to(model.device))
            total, count = total + float(loss.total), count + loss.count
        return {"validation_loss": total / max(count, 1)}


def write_model_files(directory: Path, config: Qwen2VLConfig, processor: Processor) -> None:
    """Config, tokenizer and media settings of the model of a run, without weights."""
    directory.mkdir(exist_ok=True)
    write_configs(directory, config, torch.float32)
    processor.save(directory)


def environment() -> dict[str, str]:
    """Versions and machine, for whoever looks at a run later."""
    return {
        "qwen2vl": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def export_run(
    run_dir: Path,
    directory: Path,
    step: int | None = None,
    dtype: str = "bf16",
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> int:
    """Write weights of a run as a checkpoint directory, the newest unless told; returns their step. Raises ConfigError."""
    checkpoints = Checkpoints(run_dir / "checkpoints", keep=1)
    if (run_dir / "adapter").exists():
        raise ConfigError(
            f'the run in "{run_dir}" trained an adapter: qwen2vl convert BASE --adapter {run_dir / "adapter"} --out '
            f"{directory}, where BASE is the checkpoint it began with"
        )
    if not checkpoints.steps():
        raise ConfigError(f'the run in "{run_dir}" has no checkpoint yet: train first')
    step = checkpoints.steps()[-1] if step is None else step
    with torch.device("meta"):
        model = Qwen2VL(Qwen2VLConfig.load(run_dir / "model"))
    model.to_empty(device="cpu")
    model.tie()
    checkpoints.restore(step, {"weights": dict(model.named_parameters())})
    processor = load_processor(run_dir / "model")
    save_checkpoint(model, processor, directory, dtype=dtype, max_shard_bytes=max_shard_bytes)
    return step


def is_run(path: Path) -> bool:
    """Whether a folder is the directory of a run."""
    return (path / "checkpoints").is_dir() and (path / "model" / "config.json").is_file()
