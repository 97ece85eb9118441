"""Costs of images, videos and prompts: `plan_media`, and the FLOP and byte formulas that it uses.

Processor, cost preview, packing, admission and MFU all call it, so they cannot disagree.
"""

import math
from dataclasses import dataclass

from qwen2vl.spec.config import Qwen2VLConfig, VisionConfig
from qwen2vl.spec.media_settings import MediaOptions, MediaSettings
from qwen2vl.spec.resize import frame_size, image_size


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPlan:
    """Size and costs of one image or video."""

    height: int
    width: int
    """Pixels after resizing."""
    num_frames: int
    """1 for an image."""
    grid: tuple[int, int, int]
    """(time, rows, columns) in patches."""
    num_tokens: int
    """Tokens in the decoder, without the two that mark start and end."""
    num_patches: int
    tower_flops: int
    """FLOPs of projections, MLP, attention inside frames and merger; a multiply-add counts as two. Rotary positions, norms and
    softmax are not counted."""
    pixel_bytes: int
    """Bytes of the uint8 patches that are copied to the device."""
    kv_bytes: int
    """Bytes of the bf16 keys and values of its tokens in the cache."""


def plan_media(
    height: int,
    width: int,
    *,
    config: Qwen2VLConfig,
    settings: MediaSettings | None = None,
    num_frames: int | None = None,
    options: MediaOptions | None = None,
) -> MediaPlan:
    """Size, grid, tokens, FLOPs and bytes of an image (num_frames None) or of a video of `num_frames` chosen frames.

    Raises MediaError for a size or a number of frames that the limits do not allow.
    """
    settings = settings or MediaSettings()
    if num_frames is None:
        tall, wide = image_size(height, width, settings, options)
    else:
        tall, wide = frame_size(height, width, num_frames, settings, options)
    vision = config.vision
    grid = (
        math.ceil((num_frames or 1) / vision.temporal_patch_size),
        tall // vision.patch_size,
        wide // vision.patch_size,
    )
    patches = math.prod(grid)
    tokens = patches // vision.merge_unit
    return MediaPlan(
        height=tall,
        width=wide,
        num_frames=num_frames or 1,
        grid=grid,
        num_tokens=tokens,
        num_patches=patches,
        tower_flops=tower_flops(vision, grid),
        pixel_bytes=patches * vision.patch_dim,
        kv_bytes=tokens * kv_bytes_per_token(config),
    )


def tower_flops(vision: VisionConfig, grid: tuple[int, int, int]) -> int:
    """Forward FLOPs of the tower and merger for one image or video."""
    t, h, w = grid
    frame, width = h * w, vision.embed_dim
    linear = 2 * vision.patch_dim * width + vision.depth * (8 + 4 * vision.mlp_ratio) * width**2
    attention = vision.depth * 4 * frame * width
    merged = width * vision.merge_unit
    merger = 2 * (merged * merged + merged * vision.hidden_size) / vision.merge_unit
    return int(t * frame * (linear + attention + merger))


def decoder_flops(config: Qwen2VLConfig, num_tokens: int, num_logits: int = 1) -> int:
    """Forward FLOPs of the decoder for a prompt of `num_tokens`; causal attention counts half."""
    per_token, per_pair, per_logit = decoder_terms(config)
    return num_tokens * per_token + num_tokens**2 * per_pair + num_logits * per_logit


def decoder_terms(config: Qwen2VLConfig) -> tuple[int, int, int]:
    """Forward FLOPs per token, per squared number of tokens and per row of logits, for arrays of lengths."""
    text = config.text
    kv = text.num_key_value_heads * text.head_dim
    per_token = 2 * text.hidden_size * (2 * text.hidden_size + 2 * kv + 3 * text.intermediate_size)
    per_pair = 2 * text.hidden_size
    return (
        text.num_hidden_layers * per_token,
        text.num_hidden_layers * per_pair,
        2 * text.hidden_size * text.vocab_size,
    )


def kv_bytes_per_token(config: Qwen2VLConfig, element_bytes: int = 2) -> int:
    """Bytes of keys and values of one token over all layers: 28,672 / 57,344 / 327,680 bytes for 2B / 7B / 72B in bf16."""
    text = config.text
    return 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * element_bytes


def num_parameters(config: Qwen2VLConfig) -> dict[str, int]:
    """Number of parameters by part: "tower", "merger", "decoder" (with embedding and head) and "total" [paper 1.8]."""
    vision, text = config.vision, config.text
    width, inner = vision.embed_dim, int(vision.embed_dim * vision.mlp_ratio)
    block = 4 * width * width + 4 * width + 2 * width * inner + inner + width + 4 * width
    merged = width * vision.merge_unit
    merger = 2 * width + merged * merged + merged + merged * vision.hidden_size + vision.hidden_size
    kv = text.num_key_value_heads * text.head_dim
    layer = text.hidden_size * (2 * text.hidden_size + 2 * kv + 3 * text.intermediate_size + 3) + 2 * kv
    heads = 1 if text.tie_word_embeddings else 2
    parts = {
        "tower": vision.patch_dim * width + vision.depth * block,
        "merger": merger,
        "decoder": text.num_hidden_layers * layer + text.hidden_size * (1 + heads * text.vocab_size),
    }
    return parts | {"total": sum(parts.values())}
