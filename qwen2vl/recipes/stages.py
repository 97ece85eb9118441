"""The three stages of the paper at the published sizes [paper 6]: `qwen2vl train stage1 --size 2b --store STORE ...`.

stage    trained          frozen     data
1        tower            decoder    pairs of images and text, OCR, classification
2        everything       -          interleaved articles, questions, many tasks, text alone
3        decoder, merger  tower      instructions: dialogue, documents, several images, videos, agents

The paper states no rates, no merger in stages 1 and 3, no batch: the defaults follow Qwen-VL, where the adapter is trained
in all stages. Where the mixture is not given, sources are drawn by their size.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.plan import Budgets, Phase
from qwen2vl.data.store import Store
from qwen2vl.model.checkpoint import load_clip_tower, load_model
from qwen2vl.model.init import new_model
from qwen2vl.model.qwen2vl import Qwen2VL
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import Tokenizer
from qwen2vl.spec import resolve_source
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.training.run import Prepared, shares_by_size, version_begun_with
from qwen2vl.training.train_config import Rates, Stage, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecipe:
    """One stage at one size."""

    size: Literal["2b", "7b", "72b"] = "2b"
    """Of the model."""
    layers: int | None = None
    """Layers of tower and decoder, for trials on small machines; those of the size unless given."""
    tokenizer: str = ""
    """Checkpoint directory whose tokenizer is used; the one of --model unless given."""
    model: str = ""
    """Checkpoint directory to begin with; random weights unless given."""
    tower_from: Path | None = None
    """CLIP directory whose vision tower to begin with, as the paper's did with DFN's."""
    store: Path = Path("runs/store")
    """Built by `qwen2vl data build`."""
    mixture: dict[str, int] = field(default_factory=dict)
    """Source and its share of the samples, as --mixture pairs 5 ocr 3."""
    rates: Rates
    steps: int
    tokens: int = 8192
    """Of a pack: the sequence length."""
    visual_tokens: int = 8192
    packs_per_step: int = 512
    """Over all processes."""
    min_pixels: int | None = None
    max_pixels: int | None = None
    warmup_steps: int
    final_rate: float = 0.1
    """Share of the peak that is left at the end of the cosine."""
    train: TrainConfig = field(default_factory=lambda: TrainConfig(recompute="selective", betas=(0.9, 0.98)))

    @property
    def name(self) -> str:
        return type(self).__name__.removesuffix("Recipe").lower()

    def prepare(self, run_dir: Path) -> Prepared:
        processor = self._processor()
        return Prepared(
            config=processor.config,
            processor=processor,
            stages=(self._stage(run_dir),),
            store=self.store,
            model=lambda: self._model(processor.config),
            held_out=0.001,
        )

    def _processor(self) -> Processor:
        source = self.tokenizer or self.model
        if not source:
            raise ConfigError(
                "a stage needs a tokenizer: name a checkpoint directory with --tokenizer, or with --model"
            )
        tokenizer = Tokenizer.load(resolve_source(source))
        settings = MediaSettings.load(self.model) if self.model else MediaSettings()
        return Processor(tokenizer, self._config(tokenizer), settings)

    def _config(self, tokenizer: Tokenizer) -> Qwen2VLConfig:
        """Of the size, or of the checkpoint to begin with; with as many layers and ids as asked for."""
        config = Qwen2VLConfig.load(self.model) if self.model else Qwen2VLConfig.named(self.size)
        if not self.model:
            ids = tokenizer.token_ids()
            if ids != config.tokens:  # another vocabulary than the published one
                text = replace(config.text, vocab_size=-(-tokenizer.size // 128) * 128)
                config = replace(config, tokens=ids, text=text)
        if self.layers is not None:
            vision = replace(config.vision, depth=self.layers)
            config = replace(config, vision=vision, text=replace(config.text, num_hidden_layers=self.layers))
        return config

    def _stage(self, run_dir: Path) -> Stage:
        mixture = self.mixture
        if not mixture and (self.store / "store.json").is_file():
            mixture = shares_by_size(Store(self.store, version_begun_with(run_dir)))
        return Stage(
            name=self.name,
            steps=self.steps,
            rates=self.rates,
            phases=(Phase(mixtures=(mixture or {"records": 1},)),),
            budgets=Budgets(tokens=self.tokens, visual_tokens=self.visual_tokens, media=1024),
            packs_per_step=self.packs_per_step,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            warmup_steps=self.warmup_steps,
            schedule="cosine",
            decay=1.0,
            final_rate=self.final_rate,
        )

    def _model(self, config: Qwen2VLConfig) -> Qwen2VL:
        if self.model and self.layers is not None:
            raise ConfigError(f"--layers {self.layers} is for random weights: leave it out, or leave out --model")
        precision = self.train.precision
        begun = self.model and load_model(self.model, device="cpu", dtype=precision)
        model = begun or new_model(config, self.train.seed)
        if self.tower_from is not None:
            load_clip_tower(model, self.tower_from)
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage1Recipe(StageRecipe):
    """The tower learns to be read by a decoder that stays as it is."""

    rates: Rates = Rates(tower=2e-4, merger=2e-4)
    steps: int = 50_000
    warmup_steps: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage2Recipe(StageRecipe):
    """Everything learns from everything."""

    rates: Rates = Rates(tower=5e-5, merger=5e-5, decoder=5e-5)
    steps: int = 50_000
    warmup_steps: int = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage3Recipe(StageRecipe):
    """Instructions, with the tower locked."""

    rates: Rates = Rates(merger=1e-5, decoder=1e-5)
    steps: int = 10_000
    warmup_steps: int = 300
