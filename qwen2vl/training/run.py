"""One run, from its specification to trained weights."""

import json
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from qwen2vl import __version__
from qwen2vl.common.files import write_atomically
from qwen2vl.common.memory import bound_kernel_cache, keep_freed_memory
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.checkpoint import load_clip_tower, load_model
from qwen2vl.model.checkpoint.load import DTYPES, choose_device
from qwen2vl.model.checkpoint.save import write_configs
from qwen2vl.model.init import new_model
from qwen2vl.model.lora import add_adapter, save_adapter
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.training.activations import compile_layers, recompute
from qwen2vl.training.estimate import estimate, refuse_too_large
from qwen2vl.training.held_out import HeldOutLoss
from qwen2vl.training.loop import Events, Trainer
from qwen2vl.training.run_data import RunData, open_run_data
from qwen2vl.training.run_directory import Line, RunDirectory
from qwen2vl.training.run_spec import RunSpec
from qwen2vl.training.train_config import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """Where a run stopped."""

    steps: int
    """Number of steps done."""
    skips: str
    """Skipped steps by reason, in words."""


def train_run(
    spec: RunSpec,
    run_dir: Path,
    on_step: Callable[[Line], None],
    num_workers: int = 1,
    max_steps: int | None = None,
    on_begin: Callable[[RunData], None] = lambda data: None,
) -> RunEnd:
    """Start a run, or resume the one in `run_dir`; return where it stopped.

    Args:
        spec: what a recipe returned.
        run_dir: folder of the run.
        on_step: receives the metrics of every step.
        num_workers: processes that read data for this one; 0 reads in the training process.
        max_steps: stop after this step of the schedule.
        on_begin: receives the data of the run before it begins, or continues.

    Raises Qwen2VLError; a run that cannot be planned or needs too much memory is refused before its folder is made.
    """
    keep_freed_memory()
    bound_kernel_cache()
    replicas = Replicas.join()
    try:
        data, device = open_run_data(spec, run_dir, replicas), choose_device(None)
        refuse_what_does_not_fit(spec, data.stages, device, replicas.size, num_workers)
        run = make_run_directory(spec, data, run_dir, replicas.leads)
        on_begin(data)
        model = model_to_train(spec, device)
        last = data.selections[data.stages[-1].name]
        validate = spec.validate or HeldOutLoss(reader=last.reader, rows=last.held_out)
        trainer = Trainer(
            model,
            data.stages,
            spec.train,
            run,
            Events(on_step=on_step, validate=validate),
            data.of_stage,
            replicas=replicas,
            num_workers=num_workers,
        )
        steps_done = trainer.train(max_steps)
        if spec.adapter is not None and replicas.leads:
            shutil.rmtree(run.path / "adapter", ignore_errors=True)  # written when the run stopped before
            save_adapter(model, run.path / "adapter")
        return RunEnd(steps=steps_done, skips=trainer.state.guard.summary)
    finally:
        replicas.leave()


def refuse_what_does_not_fit(
    spec: RunSpec, stages: tuple[Stage, ...], device: torch.device, processes: int, num_workers: int
) -> None:
    """Raise ConfigError for the first stage that needs more memory than there is."""
    model, settings = spec.on_meta_device(), spec.processor.settings
    for stage in stages:
        needed = estimate(model, stage, spec.train, settings, device, processes=processes, num_workers=num_workers)
        refuse_too_large(needed, device)


def make_run_directory(spec: RunSpec, data: RunData, run_dir: Path, leads: bool) -> RunDirectory:
    """Make the folder of a run, or check that it was made for the same settings. Raises ConfigError.

    leads: whether this process writes. Files: config.json (every setting that decides the weights), model/ (config, tokenizer
    and media settings, without weights), environment.json (versions and machine).
    """
    settings = {
        "recipe": spec.name,
        "store": str(data.store.path),
        "store_version": data.store.version,
        "train": asdict(spec.train),
        "held_out": data.held_out,
    }
    settings |= {f"stage.{stage.name}".replace(".", "_"): asdict(stage) for stage in data.stages}
    run = RunDirectory(run_dir, settings, spec.train.keep_checkpoints, leads)
    if leads:
        (run.path / "model").mkdir(exist_ok=True)
        write_configs(run.path / "model", spec.config, torch.float32)
        spec.processor.save(run.path / "model")
        environment = {
            "qwen2vl": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "system": platform.platform(),
        }
        write_atomically(run.path / "environment.json", json.dumps(environment, indent=2) + "\n")
    return run


def model_to_train(spec: RunSpec, device: torch.device) -> Qwen2VL:
    """The model that a run begins with, on its device and in its precision."""
    model = initial_model(spec).to(device, DTYPES[spec.train.precision])
    recompute(model, spec.train.recompute)
    if spec.train.compile:
        compile_layers(model)
    return model


def initial_model(spec: RunSpec) -> Qwen2VL:
    """The model that a run begins with, on the CPU, in float32 or in the precision of the run. Raises Qwen2VLError."""
    seed = spec.train.seed
    begin, precision = spec.begin_with, spec.train.precision
    model = load_model(begin, device="cpu", dtype=precision) if begin else new_model(spec.config, seed)
    if spec.tower_from is not None:
        load_clip_tower(model, spec.tower_from)
    if spec.adapter is not None:
        add_adapter(model, spec.adapter, seed)
    return model
