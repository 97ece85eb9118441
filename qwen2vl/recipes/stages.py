"""The three stages of the paper at the published sizes [paper 6]: `qwen2vl train stage1 --size 2b --store STORE ...`.

stage    trained          frozen     data
1        tower            decoder    pairs of images and text, OCR, classification
2        everything       -          interleaved articles, questions, many tasks, text alone
3        decoder, merger  tower      instructions: dialogue, documents, several images, videos, agents

The paper states neither learning rates nor batch sizes, and not whether stages 1 and 3 train the merger: the defaults follow
Qwen-VL, which trains its adapter, the part that the merger replaces, in all stages.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.plan import Budgets, Phase
from qwen2vl.processing.processor import Processor
from qwen2vl.processing.tokenizer import Tokenizer
from qwen2vl.spec import resolve_source
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.media_settings import TRAINED_VIDEO_TOKENS, MediaSettings
from qwen2vl.training.run_spec import RunSpec, StoredRecords
from qwen2vl.training.train_config import Rates, Stage, TrainConfig


def paper_stage(
    name: str,
    /,
    *,
    size: Literal["2b", "7b", "72b"] = "2b",
    layers: int | None = None,
    tokenizer: str = "",
    model: str = "",
    tower_from: Path | None = None,
    store: Path = Path("runs/store"),
    mixture: Mapping[str, int] = MappingProxyType({}),
    rates: Rates,
    steps: int,
    tokens: int = 8192,
    visual_tokens: int = 8192,
    packs_per_step: int = 512,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    max_tokens: int = TRAINED_VIDEO_TOKENS,
    warmup_steps: int,
    final_rate: float = 0.1,
    train: TrainConfig = TrainConfig(recompute="selective", betas=(0.9, 0.98)),
) -> RunSpec:
    """Train one stage at one size.

    Args:
        size: Size of the model.
        layers: Number of layers of tower and decoder, for trials on small machines; those of the size unless given.
        tokenizer: Checkpoint directory whose tokenizer is used; the one of --model unless given.
        model: Checkpoint directory to begin with; random weights unless given.
        tower_from: CLIP directory whose vision tower to begin with, as the paper did with DFN's.
        store: Store built by `qwen2vl data build`.
        mixture: Sources and their shares of the samples, for example --mixture pairs 5 ocr 3; all sources by size unless given.
        rates: Peak learning rates.
        steps: Length of the stage.
        tokens: Tokens of a pack, text and visual: the sequence length.
        visual_tokens: Visual tokens of a pack.
        packs_per_step: Packs of a step, over all processes.
        min_pixels: Smallest area of an image; the checkpoint's own unless given.
        max_pixels: Largest area of an image; the checkpoint's own unless given.
        max_tokens: Most tokens of a video, 16384 in the paper.
        warmup_steps: Steps in which the rate rises.
        final_rate: Share of the peak rate that is left at the end of the cosine.
        train: Settings of the whole run.
    """
    if model and layers is not None:
        raise ConfigError(f"--layers {layers} is for random weights: leave it out, or leave out --model")
    stage = Stage(
        name=name,
        steps=steps,
        rates=rates,
        phases=(Phase(mixtures=(dict(mixture),)),) if mixture else (),
        budgets=Budgets(tokens=tokens, visual_tokens=visual_tokens, media=1024),
        packs_per_step=packs_per_step,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        max_tokens=max_tokens,
        warmup_steps=warmup_steps,
        schedule="cosine",
        decay=1.0,
        final_rate=final_rate,
    )
    return RunSpec(
        name=name,
        processor=stage_processor(size, layers, tokenizer, model),
        begin_with=model,
        tower_from=tower_from,
        records=StoredRecords(path=store),
        held_out=0.001,
        stages=(stage,),
        train=train,
    )


stage1 = partial(paper_stage, "stage1", rates=Rates(tower=2e-4, merger=2e-4), steps=50_000, warmup_steps=500)
"""Train the tower and the merger on pairs, with a frozen decoder."""
stage2 = partial(
    paper_stage, "stage2", rates=Rates(tower=5e-5, merger=5e-5, decoder=5e-5), steps=50_000, warmup_steps=400
)
"""Train all parts on all kinds of data."""
stage3 = partial(paper_stage, "stage3", rates=Rates(merger=1e-5, decoder=1e-5), steps=10_000, warmup_steps=300)
"""Train the merger and the decoder on instructions, with a frozen tower."""


def stage_processor(size: str, layers: int | None, tokenizer: str, model: str) -> Processor:
    """Tokenizer, configuration and media settings of a checkpoint, or of a new model of this size and vocabulary."""
    if not (tokenizer or model):
        raise ConfigError("a stage needs a tokenizer: name a checkpoint directory with --tokenizer, or with --model")
    words = Tokenizer.load(resolve_source(tokenizer or model))
    if model:
        return Processor(words, Qwen2VLConfig.load(model), MediaSettings.load(model))
    config, ids = Qwen2VLConfig.named(size), words.token_ids()
    if ids != config.tokens:  # another vocabulary than the published one
        config = replace(config, tokens=ids, text=replace(config.text, vocab_size=-(-words.size // 128) * 128))
    if layers is not None:
        vision, text = replace(config.vision, depth=layers), replace(config.text, num_hidden_layers=layers)
        config = replace(config, vision=vision, text=text)
    return Processor(words, config, MediaSettings())
