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
    seed: int = 0
    """Seed that `qwen2vl data draw` draws the records of this store with."""

    @property
    def exist(self) -> bool:
        return (self.path / "store.json").is_file()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsFile:
    """A file of records, from which the run builds a store in its own folder, RUN/store."""

    path: Path
    media_root: Path | None = None
    """Folder that paths of media start from; None: the folder of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochStage:
    """One stage over all records that fit a pack, every source in proportion to its size.

    Its mixture and its number of steps are found when the store is open: see `training.run_data.stage_over_all`.
    """

    name: str
    epochs: float
    """Number of times that every record is read, approximately."""
    steps: int = 0
    """Number of steps in place of epochs; 0: `epochs` decides."""
    rates: Rates
    budgets: Budgets
    """Limits of one pack."""
    packs_per_step: int
    """Packs of all processes together."""
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
    """Checkpoint directory whose weights the run begins with; "": random weights. A checkpoint with a smaller vocabulary
    gets the missing ids."""
    tower_from: Path | None = None
    """CLIP directory whose vision tower replaces the model's."""
    adapter: LoraConfig | None = None
    """LoRA adapter that is trained in place of the weights, and written to RUN/adapter."""

    records: StoredRecords | RecordsFile
    held_out: float = 0.0
    """Share of every source that no step reads, for the held-out loss."""
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
