"""Pixels of an image: conversion to upright RGB, resizing, cutting into patches. `sources` opens files, `video` videos."""

import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from qwen2vl.common.errors import MediaError
from qwen2vl.spec.config import FACTOR, MERGE, PATCH

Frames = NDArray[np.uint8]
"""[F, H, W, 3], RGB."""

TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition that makes an image of each EXIF orientation upright."""


def patchify(frames: Frames) -> NDArray[np.uint8]:
    """Patches [P, 1176] of frames [F, H, W, 3], P = ceil(F/2) * H/14 * W/14 [paper 4.2].

    Order inside a patch: channel, frame, row, column. Order of patches: frame pair, then 2x2 merge block (raster), then row
    and column inside the block. An odd last frame is used for both frames of its pair. H and W: multiples of 28.
    """
    num_frames, height, width, channels = frames.shape
    assert num_frames and channels == 3 and height % FACTOR == 0 and width % FACTOR == 0, frames.shape
    planes = np.empty((num_frames, 3, height, width), dtype=np.uint8)
    for channel in range(3):
        planes[:, channel] = frames[..., channel]
    rows, columns, pairs = height // FACTOR, width // FACTOR, (num_frames + 1) // 2
    # One row of one patch in one channel as one array element: numpy then copies 14 bytes at a time instead of one.
    run = np.dtype(f"V{PATCH}")
    runs = planes.view(run).reshape(num_frames, 3, rows, MERGE, PATCH, columns, MERGE)
    # New order: frame, block row, block column, row in the block, column in the block, channel, line of the patch.
    runs = runs.transpose(0, 2, 5, 3, 6, 1, 4)
    patches = np.empty((pairs * rows * columns * MERGE**2, 3 * 2 * PATCH**2), dtype=np.uint8)
    target = patches.view(run).reshape(pairs, rows, columns, MERGE, MERGE, 3, 2, PATCH)
    target[..., 0, :] = runs[0::2]
    target[: num_frames // 2, ..., 1, :] = runs[1::2]
    if num_frames % 2:
        last = target[-1:].view(np.dtype(f"V{PATCH**2}"))
        last[..., 1, :] = last[..., 0, :]
    return patches


def unpatchify(patches: NDArray[np.uint8], grid: Sequence[int]) -> Frames:
    """Frames [2 * time, H, W, 3] of the patches [P, 1176] of one image or video: the inverse of `patchify`.

    grid: (time, rows, columns) in patches. A frame that `patchify` used twice appears twice.
    """
    pairs, rows, columns = grid
    pixels = patches.reshape(pairs, rows // MERGE, columns // MERGE, MERGE, MERGE, 3, 2, PATCH, PATCH)
    # New order: frame pair, frame, block row, row in the block, line, block column, column in the block, pixel, channel.
    return pixels.transpose(0, 6, 1, 3, 7, 2, 4, 8, 5).reshape(2 * pairs, PATCH * rows, PATCH * columns, 3)


def resize(image: Image.Image, height: int, width: int, threads: int = 1) -> Image.Image:
    """The image resized by bicubic interpolation with antialiasing, as in the reference; the same object at the right size.

    Large images are resized in up to four strips, one per thread: resizing is the most expensive step, 90 of 130 ms for
    12 megapixels on one core, and Pillow releases the interpreter lock in it.
    """
    if image.size == (width, height):
        return image
    if not can_be_split(image, height, width):
        threads = 1
    return resize_in_strips(image, height, width, num_strips=4 if threads >= 4 else 2 if threads >= 2 else 1)


def can_be_split(image: Image.Image, height: int, width: int) -> bool:
    """Whether strips give exactly the same pixels, and save time.

    Strips resize the rows first. A whole image does so too, except that Pillow 13 begins with the columns where the
    height loses over twice as many pixels as the width, and the other order rounds differently. This rule of Pillow
    was found by experiment: it held for 6,000 sizes, near the original size and far from it.
    """
    is_smaller = width < image.width and height < image.height
    rows_first = image.height - height <= 2 * (image.width - width)
    is_worth_it = image.width * image.height >= 500_000  # below, starting threads (0.2 ms) costs more than they save
    return is_smaller and rows_first and is_worth_it and width % 4 == 0


def resize_in_strips(image: Image.Image, height: int, width: int, num_strips: int) -> Image.Image:
    """The image resized as `num_strips` (1, 2 or 4) strips of columns, one thread each, put together.

    Halves and quarters, because Pillow takes the box in float32, where a third of the width is not exact.
    """
    if num_strips == 1:
        return image.resize((width, height), Image.Resampling.BICUBIC)
    image.load()

    def strip(number: int) -> Image.Image:
        box = (number * image.width / num_strips, 0, (number + 1) * image.width / num_strips, image.height)
        return image.resize((width // num_strips, height), Image.Resampling.BICUBIC, box=box)

    whole = Image.new(image.mode, (width, height))
    with ThreadPoolExecutor(num_strips) as pool:
        for number, piece in enumerate(pool.map(strip, range(num_strips))):
            whole.paste(piece, (number * width // num_strips, 0))
    return whole


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as upright 8-bit RGB: EXIF orientation applied, alpha over white, 16 bits scaled to 8 and not cut.

    An animated file gives its current frame, which is the first one after opening. Pixels of 32-bit integers are read as
    16-bit ones and floats as 0..1. Raises MediaError when such values are out of range.
    """
    image.load()  # before reading the orientation: Pillow makes TIFFs upright while loading
    orientation = exif_orientation(image)
    rgb = _drop_mode(image)
    return rgb.transpose(TRANSPOSE[orientation]) if orientation > 1 else rgb


def exif_orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 = upright, also without an EXIF block, with a damaged one, or with another number."""
    try:
        # The method of the base class: that of PNG decodes the whole image when no EXIF block precedes the pixels.
        orientation = int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
        return orientation if orientation in TRANSPOSE else 1
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error):
        return 1  # an image with a damaged EXIF block is still an image


def _drop_mode(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        return Image.fromarray(to_8_bits(np.asarray(image), 65535)).convert("RGB")
    if image.mode == "F":
        return Image.fromarray(to_8_bits(np.asarray(image), 1)).convert("RGB")
    if image.has_transparency_data:
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")  # La converts to LA only
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def to_8_bits(values: NDArray[Any], white: int) -> NDArray[np.uint8]:
    """Pixels of any type from 0..white to 0..255, rounded. Raises MediaError when values are out of range."""
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= white):  # catches NaN too
        raise MediaError(
            f"an image of type {values.dtype.name} has pixels from {low} to {high}, but they must be in 0..{white}: "
            "scale them or save it with 8 bits"
        )
    return (values * np.float32(255 / white) + np.float32(0.5)).astype(np.uint8)
