"""Inputs that are the same on every machine: a photo-like JPEG, random patches, prompts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.spec.positions import mrope_positions

JPEG_QUALITY = 90


def write_photo(path: Path, width: int, height: int, seed: int = 0) -> None:
    """Write a JPEG with large soft areas, sharp edges and sensor noise, which costs as much to decode as a photo."""
    random = np.random.default_rng(seed)
    soft = random.integers(0, 256, (max(2, height // 64), max(2, width // 64), 3), dtype=np.uint8)
    image = Image.fromarray(soft).resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, size = (int(random.integers(0, bound)) for bound in (width, height, max(2, width // 6)))
        pen.ellipse([x, y, x + size, y + size // 2], fill=tuple(random.integers(0, 256, 3).tolist()))
    noise = random.normal(0, 4, (height, width, 3)).astype(np.int16)
    pixels = (np.asarray(image).astype(np.int16) + noise).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, "JPEG", quality=JPEG_QUALITY)


def random_patches(grids: Sequence[tuple[int, int, int]], patch_dim: int, seed: int = 0) -> torch.Tensor:
    """Random patches, uint8 [P, patch_dim], for images of these grids (t, h, w)."""
    count = sum(t * h * w for t, h, w in grids)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, patch_dim), dtype=torch.uint8, generator=generator)


def image_prompt(config: Qwen2VLConfig, grid: tuple[int, int, int], num_text: int, seed: int = 0) -> ModelInputs:
    """A prompt of `num_text` random words, one image, and `num_text` random words."""
    random = np.random.default_rng(seed)
    words = plain_ids(config, num_text, random)
    pads = [config.tokens.image_pad] * (int(np.prod(grid)) // config.vision.merge_unit)
    ids = [*words, config.tokens.vision_start, *pads, config.tokens.vision_end, *words]
    return document(config, np.array(ids), [grid], random_patches([grid], config.vision.patch_dim, seed))


def text_prompt(config: Qwen2VLConfig, num_tokens: int, seed: int = 0) -> ModelInputs:
    """A prompt of random words without media."""
    ids = plain_ids(config, num_tokens, np.random.default_rng(seed))
    return document(config, ids, [], torch.zeros(0, config.vision.patch_dim, dtype=torch.uint8))


def plain_ids(config: Qwen2VLConfig, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Random ids that are not special: those are at the end of a published vocabulary, at the start of a small one."""
    first = config.tokens.video_pad + 1 if config.tokens.bos == 0 else 0
    return random.integers(first, min(first + 1000, config.text.vocab_size), count)


def document(
    config: Qwen2VLConfig, ids: NDArray[np.int64], grids: Sequence[tuple[int, int, int]], patches: torch.Tensor
) -> ModelInputs:
    """One document as model inputs; ids int64 [T], patches [P, patch_dim]."""
    return ModelInputs(
        ids=torch.from_numpy(ids.astype(np.int64)),
        positions=torch.from_numpy(mrope_positions(ids, grids, config)),
        segments=torch.tensor([0, len(ids)], dtype=torch.int32),
        patches=patches,
        grids=torch.tensor(grids, dtype=torch.int64).reshape(-1, 3),
    )
