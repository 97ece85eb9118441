"""The weights of a run as a checkpoint directory."""

from pathlib import Path

import torch

from qwen2vl.common.errors import ConfigError
from qwen2vl.model.checkpoint import save_checkpoint
from qwen2vl.model.checkpoint.tensor_files import MAX_SHARD_BYTES
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import load_processor
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.training.checkpoints import Checkpoints


def export_run(
    run_dir: Path,
    directory: Path,
    step: int | None = None,
    dtype: str = "bf16",
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> int:
    """Write the weights of a run as a checkpoint directory; returns the step that they are from.

    step: None is the newest. Raises ConfigError for a run of an adapter and a run without a checkpoint, CheckpointError.
    """
    checkpoints = Checkpoints(run_dir / "checkpoints", keep=1)
    if (run_dir / "adapter").exists():
        raise ConfigError(
            f'the run in "{run_dir}" trained an adapter: qwen2vl convert BASE --adapter {run_dir / "adapter"} --out '
            f"{directory}, where BASE is the checkpoint it began with"
        )
    steps = checkpoints.steps()
    if not steps:
        raise ConfigError(f'the run in "{run_dir}" has no checkpoint yet: train first')
    step = steps[-1] if step is None else step
    with torch.device("meta"):
        model = Qwen2VL(Qwen2VLConfig.load(run_dir / "model"))
    model.to_empty(device="cpu")
    model.tie()
    checkpoints.restore(step, {"weights": dict(model.named_parameters())})
    processor = load_processor(run_dir / "model")
    save_checkpoint(model, processor, directory, dtype=dtype, max_shard_bytes=max_shard_bytes)
    return step
