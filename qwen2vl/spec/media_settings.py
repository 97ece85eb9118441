"""Limits of images and videos: those of a checkpoint, and those that one item of a conversation sets for itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from qwen2vl.common.errors import ConfigError, MediaError
from qwen2vl.spec import resolve_source
from qwen2vl.spec.config import CLIP_MEAN, CLIP_STD, FACTOR, FRAMES_PER_PATCH, MERGE, PATCH
from qwen2vl.spec.hub_config import read_preprocessor

LARGEST = 2**53
"""Largest number that an item may set: larger whole numbers have no exact float."""

TRAINED_VIDEO_TOKENS = 16384
"""Cap of a video in tokens in the paper's training; training recipes use it, published checkpoints answer without it."""

_VIDEO_KEYS = {
    "min_pixels": "video_min_pixels",
    "max_pixels": "video_max_pixels",
    "total_pixels": "video_total_pixels",
    "max_tokens": "video_max_tokens",
    "fps": "fps",
    "min_frames": "min_frames",
    "max_frames": "max_frames",
}
"""Keys of `video_preprocessor_config.json`, and our names for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSettings:
    """Limits and pixel statistics of a checkpoint (`preprocessor_config.json`, `video_preprocessor_config.json`)."""

    min_pixels: int = 4 * FACTOR**2
    """Smallest area of an image after resizing."""
    max_pixels: int = 16384 * FACTOR**2
    """Largest area of an image after resizing; 784 pixels are one token."""
    video_min_pixels: int = 128 * FACTOR**2
    """Smallest area of a frame, unless the whole video would exceed its cap."""
    video_max_pixels: int = 768 * FACTOR**2
    """Largest area of a frame."""
    video_total_pixels: int = 24576 * FACTOR**2
    """Budget of pixels of all frames; each counts half, because two frames share a token [paper 4.5]."""
    video_max_tokens: int | None = None
    """Cap of a whole video in tokens; it has priority over the minimum per frame. None = none, as in the published utilities,
    where the minimum per frame makes a video of 768 frames exceed the budget [paper 4.5]."""
    fps: float = 2.0
    min_frames: int = 4
    max_frames: int = 768
    image_mean: tuple[float, ...] = CLIP_MEAN
    image_std: tuple[float, ...] = CLIP_STD
    max_file_bytes: int | None = None
    """Ceiling of a local file or of bytes in memory, checked before it is opened; None = none: images have one in pixels."""
    max_download_bytes: int = 256 * 2**20
    """Ceiling of a file from an http(s) or data: URL, in bytes."""
    max_redirects: int = 3
    """Redirects that a URL may make, each to an allowed host; 0 for clients that this program does not trust."""
    max_decoded_pixels: int = 100_000_000
    """Ceiling of an image's original size in pixels, checked before decoding (a small file can decode to gigapixels)."""
    fit_tokens: int | None = None
    """Cap of each image and video that no option of an item can raise: it makes a sample fit into a budget."""

    def __post_init__(self) -> None:
        for small, large in (("min_pixels", "max_pixels"), ("video_min_pixels", "video_max_pixels")):
            if not 0 < getattr(self, small) <= getattr(self, large):
                raise ConfigError(
                    f"{small} {getattr(self, small)} and {large} {getattr(self, large)}: "
                    "both must be positive and the smaller must not be over the larger"
                )
        if self.max_pixels < FACTOR**2:
            raise ConfigError(f"max_pixels {self.max_pixels} is under one token: it must be at least {FACTOR**2}")
        if self.video_max_tokens is not None and self.video_max_tokens < 1:
            raise ConfigError(f"max_tokens {self.video_max_tokens} is too low: a video has at least 1 token")

    @classmethod
    def load(cls, directory: str | Path) -> "MediaSettings":
        """Settings of a checkpoint directory; a missing file means the published constants.

        A `video_preprocessor_config.json` without a budget was written by transformers. Its limits are those of a second
        resize, after the published utilities have applied theirs, so they can only make frames smaller [paper 4.6].
        """
        folder = resolve_source(directory)
        known: dict[str, Any] = {}
        published = cls()
        image = flatten_size(read_preprocessor(folder, "image"))
        video = flatten_size(read_preprocessor(folder, "video"))
        image_keys = {name: name for name in ("min_pixels", "max_pixels", "image_mean", "image_std")}
        for raw, names in ((image, image_keys), (video, _VIDEO_KEYS)):
            known |= {ours: raw[theirs] for theirs, ours in names.items() if raw.get(theirs) is not None}
        if "total_pixels" not in video:
            high = min(known.get("video_max_pixels", math.inf), published.video_max_pixels)
            known |= {"video_max_pixels": high, "video_min_pixels": min(published.video_min_pixels, high)}
        for name in ("image_mean", "image_std"):
            known[name] = tuple(known[name]) if name in known else getattr(published, name)
        return cls(**known)

    def with_limits(
        self, min_pixels: int | None, max_pixels: int | None, max_tokens: int | None = None
    ) -> "MediaSettings":
        """A copy with other pixel limits for images and another cap in tokens for videos; None keeps a limit.

        If only one limit of pixels is given, the other is moved so that both hold. Raises ConfigError.
        """
        if min_pixels is max_pixels is max_tokens is None:
            return self
        low = self.min_pixels if min_pixels is None else min_pixels
        high = self.max_pixels if max_pixels is None else max_pixels
        if min_pixels is None:
            low = min(low, high)
        if max_pixels is None:
            high = max(low, high)
        cap = self.video_max_tokens if max_tokens is None else max_tokens
        return replace(self, min_pixels=low, max_pixels=high, video_max_tokens=cap)

    def capped(self, tokens: int) -> "MediaSettings":
        """A copy in which no image and no video has more than `tokens` tokens, to fit a sample into a budget."""
        return replace(self, fit_tokens=min(self.fit_tokens or tokens, max(1, tokens)))

    def image_file(self) -> dict[str, Any]:
        """Contents of `preprocessor_config.json` in the published form [paper 1.4]."""
        return {
            "min_pixels": self.min_pixels,
            "max_pixels": self.max_pixels,
            "patch_size": PATCH,
            "temporal_patch_size": FRAMES_PER_PATCH,
            "merge_size": MERGE,
            "image_mean": list(self.image_mean),
            "image_std": list(self.image_std),
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen2VLProcessor",
        }

    def video_file(self) -> dict[str, Any]:
        """Contents of `video_preprocessor_config.json`: published names where they exist, our names for the rest."""
        limits = {theirs: getattr(self, ours) for theirs, ours in _VIDEO_KEYS.items()}
        return {name: value for name, value in limits.items() if value is not None} | {
            "image_mean": list(self.image_mean),
            "image_std": list(self.image_std),
            "video_processor_type": "Qwen2VLVideoProcessor",
        }


def flatten_size(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a preprocessor file in one form: newer files have size = {shortest_edge: min_pixels, longest_edge: max_pixels}."""
    size = raw.get("size") or {}
    return {"min_pixels": size.get("shortest_edge"), "max_pixels": size.get("longest_edge")} | {
        k: v for k, v in raw.items() if v is not None
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaOptions:
    """Limits of one image or video of a conversation; None = as in the settings [paper 4.6]."""

    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None
    max_tokens: int | None = None
    """Cap of a video in tokens."""
    resized_height: int | None = None
    resized_width: int | None = None
    fps: float | None = None
    nframes: int | None = None
    min_frames: int | None = None
    max_frames: int | None = None
    video_start: float | None = None
    """Start in seconds from the beginning of the video."""
    video_end: float | None = None

    @property
    def selects_frames(self) -> bool:
        """A number or a rate of frames is set."""
        return self.fps is not None or self.nframes is not None or self.max_frames is not None

    @property
    def sets_range(self) -> bool:
        """A start or an end is set."""
        return self.video_start is not None or self.video_end is not None

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise MediaError(f"{name} is {value!r}: it must be a finite number that is not negative")
            if value > LARGEST:
                raise MediaError(f"{name} is over {LARGEST}: this is larger than any size, number of frames or time")
        if self.fps is not None and self.nframes is not None:
            raise MediaError(f"fps {self.fps} and nframes {self.nframes} exclude each other: give one of them")
        if (self.resized_height is None) != (self.resized_width is None):
            raise MediaError("resized_height and resized_width need each other: give both or neither")
