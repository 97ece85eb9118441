"""Fine-tuning a checkpoint on your own images: `qwen2vl train finetune --model DIR --data FILE`. See docs/finetune.md.

Trains all weights of the chosen parts, or small adapters beside them (LoRA, --lora-rank). Records may have the forms of other
projects. The run builds its store in its own folder, once.
"""

from pathlib import Path

from qwen2vl.common.errors import ConfigError
from qwen2vl.data.plan import Budgets
from qwen2vl.model.lora import DECODER_TARGETS, TOWER_TARGETS, LoraConfig
from qwen2vl.processing.processor import load_processor
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import num_parameters
from qwen2vl.spec.media_settings import TRAINED_VIDEO_TOKENS
from qwen2vl.training.epochs import refuse_no_length
from qwen2vl.training.run_spec import EpochStage, RecordsFile, RunSpec, StoredRecords
from qwen2vl.training.train_config import Part, Rates, TrainConfig


def finetune(
    *,
    model: str = "nano",
    data: Path | None = None,
    media_root: Path | None = None,
    parts: tuple[Part, ...] = ("merger", "decoder"),
    rate: float | None = None,
    lora_rank: int = 0,
    lora_alpha: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    batch: int = 8,
    tokens: int = 4096,
    packs_per_step: int | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    max_tokens: int | None = None,
    held_out: float | None = None,
    max_rejected: float = 0.05,
    train: TrainConfig = TrainConfig(save_every=200, validate_every=100, weight_decay=0.01, betas=(0.9, 0.999)),
) -> RunSpec:
    """Train a checkpoint on instructions, with a frozen vision tower unless --parts names it [paper 6].

    Args:
        model: Checkpoint directory to begin with.
        data: Records: a file (JSON lines, or a JSON list as LLaVA writes it), or a store that was built before.
        media_root: Folder that paths in the records start from; the folder of the file unless given.
        parts: Parts of the model that are trained; adapters exist for the tower and the decoder.
        rate: Peak learning rate; 1e-5, or 1e-4 with adapters, unless given; 30 times that for models as small as nano.
        lora_rank: Rank of the adapters; 0 trains the weights themselves.
        lora_alpha: Scale of the adapters, twice the rank unless given.
        epochs: Number of times that every record is read; 3 unless given, and more if that makes fewer than 60 steps.
        steps: Length of the run in steps, in place of epochs.
        batch: Conversations of a step, over all processes; fewer if an epoch would have under 8 steps.
        tokens: Tokens of a pack, text and visual: no sample may be longer.
        packs_per_step: Packs that the conversations of a step fill, over all processes, in place of the batch.
        min_pixels: Smallest area of an image; the checkpoint's own unless given.
        max_pixels: Largest area of an image; the checkpoint's own unless given.
        max_tokens: Most tokens of a video; the checkpoint's own unless given, and 16384 if it has none.
        held_out: Share of the records that is kept for the held-out loss; 0.02 unless given, and none of under 500 records.
        max_rejected: Share of the records that may be unusable; they are listed and left out.
        train: Settings of the whole run.
    """
    if data is None:
        raise ConfigError("--data is missing: name a file of records, for example --data my.jsonl, or a store")
    store, processor = StoredRecords(path=data), load_processor(model, min_pixels, max_pixels, max_tokens=max_tokens)
    if processor.settings.video_max_tokens is None:
        processor.settings = processor.settings.with_limits(None, None, TRAINED_VIDEO_TOKENS)
    stage = EpochStage(
        name="finetune",
        epochs=epochs,
        steps=steps,
        batch=batch,
        rates=Rates(**dict.fromkeys(parts, usual_rate(processor.config, lora_rank) if rate is None else rate)),
        budgets=Budgets(tokens=tokens, visual_tokens=tokens, media=256),
        packs_per_step=packs_per_step,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        max_tokens=processor.settings.video_max_tokens,
    )
    refuse_no_length(stage)
    for name, share in (("--held-out", held_out), ("--max-rejected", max_rejected)):
        if share is not None and not 0 <= share <= 1:
            raise ConfigError(f"{name} is {share}: it must be a share from 0 to 1")
    return RunSpec(
        name="finetune",
        processor=processor,
        begin_with=model,
        adapter=adapter_on(parts, lora_rank, lora_alpha) if lora_rank else None,
        records=store if store.exist else RecordsFile(path=data, media_root=media_root, max_rejected=max_rejected),
        held_out=held_out,
        stages=stage,
        train=train,
    )


SMALL = 100_000_000
"""Number of parameters under which a model needs a larger learning rate."""


def usual_rate(config: Qwen2VLConfig, lora_rank: int) -> float:
    """The peak learning rate unless given: a weight of a small model moves further before its function changes."""
    return (1e-4 if lora_rank else 1e-5) * (30 if num_parameters(config)["total"] < SMALL else 1)


def adapter_on(parts: tuple[Part, ...], rank: int, alpha: float | None) -> LoraConfig:
    """Adapter for the trained parts, except the merger: it has no layer that an adapter fits."""
    if rank < 0 or (alpha is not None and not alpha > 0):
        raise ConfigError(
            f"--lora-rank is {rank} and --lora-alpha {alpha}: the rank must be at least 1 and alpha over 0"
        )
    adapted = tuple(part for part in ("tower", "decoder") if part in parts)
    if not adapted:
        raise ConfigError(
            f"--lora-rank {rank} trains adapters, and --parts {' '.join(parts)} has no layer that takes one: add decoder or "
            "tower to --parts, or leave --lora-rank out to train the weights themselves"
        )
    targets = (TOWER_TARGETS if "tower" in adapted else ()) + (DECODER_TARGETS if "decoder" in adapted else ())
    return LoraConfig(rank=rank, alpha=2.0 * rank if alpha is None else alpha, targets=targets, parts=adapted)
