"""Inputs that every machine draws alike: a photo-like JPEG, packed patches, a prompt, a long video."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.inputs import ModelInputs
from qwen2vl.spec.positions import mrope_positions

JPEG_QUALITY = 90


def write_photo(path: Path, width: int, height: int, seed: int = 0) -> None:
    """A JPEG with large soft areas, sharp edges and sensor noise: what makes decoding cost what a photo's does."""
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
    """uint8 [P, patch_dim] for these grids."""
    count = sum(t * h * w for t, h, w in grids)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, patch_dim), dtype=torch.uint8, generator=generator)


def image_prompt(config: Qwen2VLConfig, grid: tuple[int, int, int], num_text: int, seed: int = 0) -> ModelInputs:
    """Words, one image, as many words again; ids at random among the plain ones."""
    random = np.random.default_rng(seed)
    words = plain_ids(config, num_text, random)
    pads = [config.tokens.image_pad] * (int(np.prod(grid)) // config.vision.merge_unit)
    ids = [*words, config.tokens.vision_start, *pads, config.tokens.vision_end, *words]
    return document(config, np.array(ids), [grid], random_patches([grid], config.vision.patch_dim, seed))


def text_prompt(config: Qwen2VLConfig, num_tokens: int, seed: int = 0) -> ModelInputs:
    """Plain words only."""
    ids = plain_ids(config, num_tokens, np.random.default_rng(seed))
    return document(config, ids, [], torch.zeros(0, config.vision.patch_dim, dtype=torch.uint8))


def plain_ids(config: Qwen2VLConfig, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Ids of words: special tokens stand at the end of a published vocabulary and at the beginning of a small one."""
    first = config.tokens.video_pad + 1 if config.tokens.bos == 0 else 0
    return random.integers(first, min(first + 1000, config.text.vocab_size), count)


def document(
    config: Qwen2VLConfig, ids: NDArray[np.int64], grids: Sequence[tuple[int, int, int]], patches: torch.Tensor
) -> ModelInputs:
    return ModelInputs(
        ids=torch.from_numpy(ids.astype(np.int64)),
        positions=torch.from_numpy(mrope_positions(ids, grids, config)),
        segments=torch.tensor([0, len(ids)], dtype=torch.int32),
        patches=patches,
        grids=torch.tensor(grids, dtype=torch.int64).reshape(-1, 3),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """A video whose content never stops changing, with a magenta square in its last seconds and nowhere else."""

    seconds: int = 1200
    width: int = 1280
    height: int = 720
    fps: int = 5
    """Few, to keep the drawing of it short; the model sees at most 2 a second anyway."""
    detail_seconds: int = 10


MAGENTA_YUV = (107, 202, 222)
"""Saturated magenta in the limited range of BT.601; nothing else in the video comes near it."""


def write_video(path: Path, video: Video, seed: int = 0) -> None:
    """Moving blocks on a ground that changes every ten seconds, as H.264 in an MP4.

    Planes are filled directly, without drawing in RGB: 6,000 frames of 720p take seconds instead of minutes.
    """
    random = np.random.default_rng(seed)
    grounds = random.integers(40, 200, (video.seconds // 10 + 1, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=video.fps, options={"preset": "ultrafast", "crf": "30"})
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        for number in range(video.seconds * video.fps):
            frame = av.VideoFrame.from_ndarray(video_frame(video, grounds, number), format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def video_frame(video: Video, grounds: NDArray[np.int64], number: int) -> NDArray[np.uint8]:
    """One frame as the three planes under each other, [height * 3 / 2, width]."""
    second = number / video.fps
    luma = np.full((video.height, video.width), grounds[int(second) // 10, 0], np.uint8)
    chroma = [
        np.full((video.height // 2, video.width // 2), min(150, int(g)), np.uint8)
        for g in grounds[int(second) // 10, 1:]
    ]
    side = video.height // 6 // 2 * 2
    for block in range(4):
        x = int((number * (block + 2) * video.width / 160 + block * video.width / 4) % (video.width - side)) // 2 * 2
        y = (video.height * (2 * block + 1) // 10) // 2 * 2
        paint(luma, chroma, x, y, side, (60 + 45 * block, 90 + 15 * block, 140 - 15 * block))
    if second >= video.seconds - video.detail_seconds:
        paint(luma, chroma, video.width // 2, video.height // 2, 2 * side, MAGENTA_YUV)
    return np.concatenate([luma, *(plane.reshape(-1, video.width) for plane in chroma)])


def paint(
    luma: NDArray[np.uint8],
    chroma: Sequence[NDArray[np.uint8]],
    x: int,
    y: int,
    side: int,
    colour: tuple[int, int, int],
) -> None:
    luma[y : y + side, x : x + side] = colour[0]
    for plane, value in zip(chroma, colour[1:], strict=True):
        plane[y // 2 : (y + side) // 2, x // 2 : (x + side) // 2] = value


def shows_magenta(patches: NDArray[np.uint8]) -> bool:
    """Whether some patch [P, 1176] (channel, frame, row, column) is magenta: red and blue high, green low."""
    channels = patches.reshape(len(patches), 3, -1).astype(np.float32).mean(2)
    red, green, blue = channels.T
    return bool(((red > 150) & (blue > 150) & (green < 90)).any())
