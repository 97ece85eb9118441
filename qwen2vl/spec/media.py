"""Sizes and costs of images and videos: the resize rule, frame rules and `plan_media`, the one cost function.

Everything that must know how large an image becomes asks here: processor, cost preview, packing, admission, metrics.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from qwen2vl.common.errors import ConfigError, MediaError
from qwen2vl.spec import resolve_source
from qwen2vl.spec.config import CLIP_MEAN, CLIP_STD, Qwen2VLConfig, VisionConfig, read_preprocessor

FACTOR = 28
"""Pixels on a side of one decoder token: patch size 14 times merge size 2."""
MAX_RATIO = 200
LARGEST = 2**53
"""Of what an item may ask for: whole numbers beyond it have no exact float, and from 2^1024 on none at all."""


def smart_resize(
    height: int, width: int, factor: int = FACTOR, min_pixels: int = 4 * 784, max_pixels: int = 16384 * 784
) -> tuple[int, int]:
    """Height and width that the model will see: multiples of `factor` within the pixel limits [paper 4.1].

    480x640 stays 476x644; 1080x1920 becomes 1092x1932; a 20x20 icon is enlarged to 56x56. No side falls under `factor`.
    Raises MediaError when one side is over 200 times the other, or is zero.
    """
    if min(height, width) < 1 or max(height, width) / min(height, width) > MAX_RATIO:
        raise MediaError(
            f"an image of {width}x{height} pixels has sides in a ratio over {MAX_RATIO}: crop it or stack its parts"
        )
    tall = max(factor, round(height / factor) * factor)
    wide = max(factor, round(width / factor) * factor)
    if tall * wide > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        tall = max(factor, math.floor(height / beta / factor) * factor)
        wide = max(factor, math.floor(width / beta / factor) * factor)
    elif tall * wide < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        tall = math.ceil(height * beta / factor) * factor
        wide = math.ceil(width * beta / factor) * factor
    return tall, wide


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSettings:
    """What a checkpoint says about images and videos (`preprocessor_config.json`, `video_preprocessor_config.json`)."""

    min_pixels: int = 4 * 784
    """Smallest area of an image after resizing."""
    max_pixels: int = 16384 * 784
    """Largest area of an image after resizing; 784 pixels are one token."""
    video_min_pixels: int = 128 * 784
    """Smallest area of a frame, unless the whole video would be over its cap."""
    video_max_pixels: int = 768 * 784
    """Largest area of a frame."""
    video_total_pixels: int = 24576 * 784
    """Budget of all frames together, counted at half because two frames share a token [paper 4.5]."""
    video_max_tokens: int = 16384
    """Hard cap of a whole video in tokens; the per-frame minimum gives way to it."""
    fps: float = 2.0
    min_frames: int = 4
    max_frames: int = 768
    image_mean: tuple[float, ...] = CLIP_MEAN
    image_std: tuple[float, ...] = CLIP_STD
    max_file_bytes: int = 256 * 2**20
    """Ceiling of a file, looked at before it is opened."""
    max_decoded_pixels: int = 100_000_000
    """Ceiling of an image's own size, read from its header before decoding (a small file can unpack to gigapixels)."""

    def __post_init__(self) -> None:
        for small, large in (("min_pixels", "max_pixels"), ("video_min_pixels", "video_max_pixels")):
            if not 0 < getattr(self, small) <= getattr(self, large):
                raise ConfigError(
                    f"{small} {getattr(self, small)} and {large} {getattr(self, large)}: "
                    "both must be positive and the smaller must not be over the larger"
                )
        if self.max_pixels < FACTOR**2:
            raise ConfigError(f"max_pixels {self.max_pixels} is under one token: it must be at least {FACTOR**2}")

    @classmethod
    def load(cls, directory: str | Path) -> "MediaSettings":
        """Settings of a checkpoint directory; a missing file means the published constants."""
        folder = resolve_source(directory)
        known: dict[str, Any] = {}
        image = flatten_size(read_preprocessor(folder, "image"))
        video = flatten_size(read_preprocessor(folder, "video"))
        for raw, names in ((image, _IMAGE_KEYS), (video, _VIDEO_KEYS)):
            known |= {ours: raw[theirs] for theirs, ours in names.items() if raw.get(theirs) is not None}
        for name in ("image_mean", "image_std"):
            known[name] = tuple(known[name]) if name in known else getattr(cls(), name)
        return cls(**known)

    def with_limits(self, min_pixels: int | None, max_pixels: int | None) -> "MediaSettings":
        """The same with other pixel limits for images. A lone limit pulls the other along, so both hold."""
        if min_pixels is None and max_pixels is None:
            return self
        low = self.min_pixels if min_pixels is None else min_pixels
        high = self.max_pixels if max_pixels is None else max_pixels
        if min_pixels is None:
            low = min(low, high)
        if max_pixels is None:
            high = max(low, high)
        return replace(self, min_pixels=low, max_pixels=high)

    def capped(self, tokens: int) -> "MediaSettings":
        """The same with no image and no video over so many tokens: how a sample is brought under a budget."""
        high = min(self.max_pixels, max(1, tokens) * FACTOR**2)
        return replace(
            self,
            min_pixels=min(self.min_pixels, high),
            max_pixels=high,
            video_max_tokens=min(self.video_max_tokens, max(1, tokens)),
        )

    def image_file(self) -> dict[str, Any]:
        """Contents of `preprocessor_config.json` in the published form [paper 1.4]."""
        return {
            "min_pixels": self.min_pixels,
            "max_pixels": self.max_pixels,
            "patch_size": 14,
            "temporal_patch_size": 2,
            "merge_size": 2,
            "image_mean": list(self.image_mean),
            "image_std": list(self.image_std),
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen2VLProcessor",
        }

    def video_file(self) -> dict[str, Any]:
        """Contents of `video_preprocessor_config.json`: published names where there are some, ours for the rest."""
        return {theirs: getattr(self, ours) for theirs, ours in _VIDEO_KEYS.items()} | {
            "image_mean": list(self.image_mean),
            "image_std": list(self.image_std),
            "video_processor_type": "Qwen2VLVideoProcessor",
        }


def flatten_size(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Newer files say size = {shortest_edge: min_pixels, longest_edge: max_pixels}; one form for both."""
    size = raw.get("size") or {}
    return {"min_pixels": size.get("shortest_edge"), "max_pixels": size.get("longest_edge")} | {
        k: v for k, v in raw.items() if v is not None
    }


_IMAGE_KEYS = {name: name for name in ("min_pixels", "max_pixels", "image_mean", "image_std")}
_VIDEO_KEYS = {
    "min_pixels": "video_min_pixels",
    "max_pixels": "video_max_pixels",
    "total_pixels": "video_total_pixels",
    "max_tokens": "video_max_tokens",
    "fps": "fps",
    "min_frames": "min_frames",
    "max_frames": "max_frames",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaOptions:
    """What one image or video of a conversation asks for itself; None = as the settings say [paper 4.6]."""

    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None
    resized_height: int | None = None
    resized_width: int | None = None
    fps: float | None = None
    nframes: int | None = None
    min_frames: int | None = None
    max_frames: int | None = None
    video_start: float | None = None
    """Seconds from the video's beginning."""
    video_end: float | None = None

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise MediaError(f"{name} is {value!r}: it must be a finite number that is not negative")
            if value > LARGEST:
                raise MediaError(f"{name} is over {LARGEST}: no size, number or time is so large")
        if self.fps is not None and self.nframes is not None:
            raise MediaError(f"fps {self.fps} and nframes {self.nframes} exclude each other: give one of them")
        if (self.resized_height is None) != (self.resized_width is None):
            raise MediaError("resized_height and resized_width belong together: give both or neither")


def image_size(
    height: int, width: int, settings: MediaSettings, options: MediaOptions | None = None
) -> tuple[int, int]:
    """Height and width of one image after resizing; an item's limits override the settings, with no second resize.

    Raises MediaError when the item's limits cannot be.
    """
    options = options or MediaOptions()
    try:
        limits = settings.with_limits(options.min_pixels, options.max_pixels)
    except ConfigError as error:
        raise MediaError(str(error)) from error
    if options.resized_height is not None and options.resized_width is not None:
        height, width = options.resized_height, options.resized_width
    return smart_resize(height, width, FACTOR, limits.min_pixels, limits.max_pixels)


def choose_num_frames(total: int, fps: float, settings: MediaSettings, options: MediaOptions | None = None) -> int:
    """How many frames of a video are taken: even, at least 2 [paper 4.4, rule of 0.0.14].

    total frames at fps per second -> total / fps * wanted fps, within min_frames and max_frames and the video itself.
    A video of one frame gives 2: the frame is shown twice. Raises MediaError when nframes asks for under 2.
    """
    options = options or MediaOptions()
    if options.nframes is not None:
        count = round(options.nframes / 2) * 2
        if count < 2:
            raise MediaError(f"nframes {options.nframes} is too few: a video needs at least 2 frames")
        return count
    wanted = settings.fps if options.fps is None else options.fps
    if not wanted > 0:
        raise MediaError(f"fps {wanted} is too low: it must be over 0")
    low = math.ceil((options.min_frames or settings.min_frames) / 2) * 2
    high = math.floor(min(options.max_frames or settings.max_frames, max(total, 2)) / 2) * 2
    count = int(min(max(total / fps * wanted, low), high))
    return max(2, count // 2 * 2)


def frame_size(
    height: int, width: int, num_frames: int, settings: MediaSettings, options: MediaOptions | None = None
) -> tuple[int, int]:
    """Height and width of every frame of a video [paper 4.5], never over `video_max_tokens` in all.

    Where the per-frame minimum would burst the cap (over 243 frames at the published constants) the minimum gives way.
    Raises MediaError when even frames of one token each, or frames of the size asked for, are over the cap.
    """
    options = options or MediaOptions()
    slices = math.ceil(num_frames / 2)
    if options.resized_height is not None and options.resized_width is not None:
        tall, wide = smart_resize(options.resized_height, options.resized_width)
        if (tokens := slices * tall * wide // FACTOR**2) > settings.video_max_tokens:
            raise MediaError(
                f"{num_frames} frames of {wide}x{tall} make {tokens} tokens, over the cap of "
                f"{settings.video_max_tokens} for a video: ask for a smaller size or fewer frames"
            )
        return tall, wide
    hard = settings.video_max_tokens * FACTOR**2 // slices
    if hard < FACTOR**2:
        raise MediaError(
            f"{num_frames} frames make over {settings.video_max_tokens} tokens at any size: ask for fewer frames"
        )
    low = settings.video_min_pixels if options.min_pixels is None else options.min_pixels
    total = settings.video_total_pixels if options.total_pixels is None else options.total_pixels
    high = max(min(settings.video_max_pixels, total / num_frames * 2), int(low * 1.05))
    if options.max_pixels is not None:
        high = options.max_pixels
    high = max(FACTOR**2, min(int(high), hard))
    return fit_under(height, width, min(low, high), high, hard)


def fit_under(height: int, width: int, low: int, high: int, hard: int) -> tuple[int, int]:
    """smart_resize, but with the area at most `hard` even where rounding up to a whole token would burst it."""
    tall, wide = smart_resize(height, width, FACTOR, low, high)
    while tall * wide > hard:
        if tall >= wide:
            tall -= FACTOR
        else:
            wide -= FACTOR
    return tall, wide


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPlan:
    """What one image or video will be and cost."""

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
    """Multiply-adds counted twice: projections and MLP, attention per frame, merger. No rotary, norms, softmax."""
    pixel_bytes: int
    """uint8 patches on their way to the device."""
    kv_bytes: int
    """bf16 keys and values that its tokens occupy in the cache."""


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

    The one cost function: processor, packing, cost preview, admission and MFU all call it. Raises MediaError.
    """
    settings = settings or MediaSettings()
    if num_frames is None:
        tall, wide = image_size(height, width, settings, options)
    else:
        tall, wide = frame_size(height, width, num_frames, settings, options)
    vision = config.vision
    grid = (math.ceil((num_frames or 1) / 2), tall // vision.patch_size, wide // vision.patch_size)
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
    """Forward FLOPs of the decoder for a prompt of `num_tokens`, causal attention counted at half."""
    per_token, per_pair, per_logit = decoder_terms(config)
    return num_tokens * per_token + num_tokens**2 * per_pair + num_logits * per_logit


def decoder_terms(config: Qwen2VLConfig) -> tuple[int, int, int]:
    """Forward FLOPs per token, per token squared and per row of logits: for whole columns of lengths at once."""
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
    """Keys and values of one token over all layers: 28,672 / 57,344 / 327,680 bytes for 2B / 7B / 72B in bf16."""
    text = config.text
    return 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * element_bytes


def num_parameters(config: Qwen2VLConfig) -> dict[str, int]:
    """Parameters by part: "tower", "merger", "decoder" (embedding and head in it) and "total" [paper 1.8]."""
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
