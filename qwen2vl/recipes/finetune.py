"""Fine-tuning a checkpoint on one's own images: `qwen2vl train finetune --model DIR --data FILE`. See docs/finetune.md.

All weights of the chosen parts, or small adapters beside them (LoRA, --lora-rank). Records may be in the forms of other
projects; the store is built inside the run's folder, once.
"""

import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.build import build
from qwen2vl.data.build_part import BuildSettings
from qwen2vl.data.lengths import index_store
from qwen2vl.data.plan import Budgets, Phase
from qwen2vl.data.store import Store
from qwen2vl.distributed.replicas import Replicas
from qwen2vl.model.checkpoint import load_model
from qwen2vl.model.lora import DECODER_TARGETS, TOWER_TARGETS, LoraConfig, add_adapter, save_adapter
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor, load_processor
from qwen2vl.training.run import Prepared, shares_by_size, version_begun_with
from qwen2vl.training.train_config import Part, Rates, Stage, TrainConfig

FILLED = 0.97
"""Share of a pack that is filled, for the length of an epoch; few samples fill less, many more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneRecipe:
    """Stage 3 on a checkpoint: instructions, tower locked unless asked otherwise [paper 6]."""

    model: str = "nano"
    """The checkpoint directory to begin with."""
    data: Path | None = None
    """Records: a file (JSON lines, or a JSON list as LLaVA writes it), or a store that was built already."""
    media_root: Path | None = None
    """Folder that paths in the records start from; the folder of the file unless given."""
    parts: tuple[Part, ...] = ("merger", "decoder")
    """What is trained; with adapters, the tower and the decoder can have them."""
    rate: float | None = None
    """Peak learning rate; 1e-5, or 1e-4 with adapters, unless given."""
    lora_rank: int = 0
    """Rank of the adapters; 0 trains the weights themselves."""
    lora_alpha: float | None = None
    """Scale of the adapters, twice the rank unless given."""
    epochs: float = 3.0
    """How often every record is read, about."""
    steps: int = 0
    """Length of the run in steps, in place of epochs."""
    tokens: int = 4096
    """Of a pack, text and visual: no sample may be longer."""
    packs_per_step: int = 4
    """Over all processes."""
    min_pixels: int | None = None
    """Of images; the checkpoint's own unless given."""
    max_pixels: int | None = None
    held_out: float = 0.02
    """Share of the records that is kept for the held-out loss."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(save_every=200, validate_every=100, weight_decay=0.01, betas=(0.9, 0.999))
    )

    @property
    def name(self) -> str:
        return "finetune"

    def prepare(self, run_dir: Path) -> Prepared:
        if self.data is None:
            raise ConfigError("--data is missing: name a file of records, as --data my.jsonl, or a store")
        processor = load_processor(self.model, self.min_pixels, self.max_pixels)
        store = self._store(run_dir, processor)
        rates = self._rates()
        return Prepared(
            config=processor.config,
            processor=processor,
            stages=(self._stage(Store(store, version_begun_with(run_dir)), processor, rates),),
            store=store,
            model=lambda: self._model(rates),
            held_out=self.held_out,
            finish=self._write_adapter if self.lora_rank else None,
            adapter=self._adapter(rates),
        )

    def _store(self, run_dir: Path, processor: Processor) -> Path:
        """The store that was named, or the one of this run, which the first process builds."""
        assert self.data is not None
        if (self.data / "store.json").is_file():
            return self.data
        store = run_dir / "store"
        replicas = Replicas.join()
        if replicas.leads:
            settings = BuildSettings(
                store=store, tokenizer=processor.tokenizer, media_root=self.media_root, media=processor.settings
            )
            build([self.data], settings)
        replicas.wait()
        return store

    def _rates(self) -> Rates:
        rate = self.rate or (1e-4 if self.lora_rank else 1e-5)
        return Rates(**dict.fromkeys(self.parts, rate))

    def _stage(self, store: Store, processor: Processor, rates: Rates) -> Stage:
        weights = shares_by_size(store)
        budgets = Budgets(tokens=self.tokens, visual_tokens=self.tokens, media=256)
        index = index_store(store, tuple(weights), processor.config, processor.settings, budgets)
        total = sum(int(lengths.tokens.sum()) for lengths in index.sources.values())
        if not total:
            reason = next(iter(index.refused.values()), "there is none")
            raise ConfigError(
                f'no record of "{self.data}" fits a pack of {self.tokens} tokens ({reason}): raise --tokens'
            )
        epoch = total * (1 - self.held_out) / (self.tokens * self.packs_per_step * FILLED)
        steps = self.steps or max(1, math.ceil(self.epochs * epoch))
        return Stage(
            name="finetune",
            steps=steps,
            rates=rates,
            phases=(Phase(mixtures=({name: count for name, count in weights.items() if len(index.sources[name])},)),),
            budgets=budgets,
            packs_per_step=self.packs_per_step,
            window=min(2048, len(store)),
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            warmup_steps=max(1, steps * 3 // 100),
            schedule="cosine",
            decay=1.0,
        )

    def _model(self, rates: Rates) -> Qwen2VL:
        model = load_model(self.model, device="cpu", dtype=self.train.precision)
        adapter = self._adapter(rates)
        if adapter is not None:
            add_adapter(model, adapter, self.train.seed)
        return model

    def _adapter(self, rates: Rates) -> LoraConfig | None:
        if not self.lora_rank:
            return None
        parts = tuple(part for part in ("tower", "decoder") if rates.by_part()[part])
        targets = (TOWER_TARGETS if "tower" in parts else ()) + (DECODER_TARGETS if "decoder" in parts else ())
        alpha = self.lora_alpha or 2.0 * self.lora_rank
        return LoraConfig(rank=self.lora_rank, alpha=alpha, targets=targets, parts=parts)

    def _write_adapter(self, model: Qwen2VL, run_dir: Path) -> None:
        shutil.rmtree(run_dir / "adapter", ignore_errors=True)  # of an earlier stop
        save_adapter(model, run_dir / "adapter")
