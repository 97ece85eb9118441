"""The specification of a run: model, records, stages and settings. Recipes return it, `training.run` executes it.

Nothing here opens a store, so a command line is parsed, checked and described without pyarrow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qwen2vl.data.plan import Budgets
from qwen2vl.model.lora import LoraConfig, add_adapter
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.training.train_config import Rates, Stage, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecords:
    """A store of records that was built before the run."""

    path: Path
    how_to_build: str = ""
    """Commands that make the store, for the error when it is missing."""

    @property
    def exist(self) -> bool:
        return (self.path / "store.json").is_file()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsFile:
    """A file of records, from which the run builds a store in its own folder, RUN/store."""

    path: Path
    media_root: Path | None = None
    """Folder that paths of media start from; None: the folder of the file."""
    max_rejected: float = 0.05
    """Share of records that may be unusable; with more of them there is no run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochStage:
    """One stage over all records that fit a pack, every source in proportion to its size.

    Its mixture and its numbers of steps and samples are found when the store is open: see `training.epochs`.
    """

    name: str
    epochs: float | None = None
    """Number of times that every record is read; None: 3, and more with few records."""
    steps: int | None = None
    """Number of steps in place of epochs."""
    batch: int = 8
    """Number of samples in a step, over all processes; an epoch of few samples has smaller steps."""
    packs_per_step: int | None = None
    """Number of full packs that a step corresponds to, in place of `batch`."""
    rates: Rates
    budgets: Budgets
    """Limits of one pack."""
    min_pixels: int | None = None
    max_pixels: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """Everything that decides the weights of a run."""

    name: str
    """Name of the recipe."""
    processor: Processor
    """Tokenizer, configuration and media settings of the model."""
    begin_with: str = ""
    """Checkpoint directory whose weights the run begins with; "": random weights."""
    tower_from: Path | None = None
    """CLIP directory whose vision tower replaces the model's."""
    adapter: LoraConfig | None = None
    """LoRA adapter that is trained in place of the weights, and written to RUN/adapter."""

    records: StoredRecords | RecordsFile
    held_out: float | None = 0.0
    """Share of every source that no step reads, for the held-out loss; None: `training.run_data.HELD_OUT` of many samples."""
    validate: Callable[[Qwen2VL], dict[str, Any]] | None = None
    """Measures held-out figures, "validation_loss" among them, in place of the loss on `held_out`."""

    stages: tuple[Stage, ...] | EpochStage
    """Stages in order. A stage without phases reads all sources of the store in proportion to their size."""
    train: TrainConfig

    @property
    def config(self) -> Qwen2VLConfig:
        return self.processor.config

    def on_meta_device(self) -> Qwen2VL:
        """The model without storage, for counting parameters and memory."""
        with torch.device("meta"):
            model = Qwen2VL(self.config)
            if self.adapter is not None:
                add_adapter(model, self.adapter, seed=0)
        return model
