"""Pixels: order of patches against a simple loop, upright RGB from every mode, and the reference image processor."""

import io
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from qwen2vl.common.errors import MediaError
from qwen2vl.processing.images import (
    TRANSPOSE,
    can_be_split,
    exif_orientation,
    patchify,
    resize,
    resize_in_strips,
    to_8_bits,
    to_rgb,
    unpatchify,
)
from qwen2vl.spec.config import CLIP_MEAN, CLIP_STD, NANO
from qwen2vl.spec.positions import patch_positions
from qwen2vl.spec.resize import smart_resize


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@settings(deadline=None, max_examples=40)
@given(num_frames=st.integers(1, 5), rows=st.integers(1, 3), columns=st.integers(1, 3))
def test_every_patch_contains_its_pixels(num_frames: int, rows: int, columns: int) -> None:
    frames = noise(num_frames, 28 * rows, 28 * columns, 3)
    grid = ((num_frames + 1) // 2, 2 * rows, 2 * columns)
    patches = patchify(frames).reshape(-1, 3, 2, 14, 14)
    cells = patch_positions([grid], NANO.vision)
    assert len(patches) == len(cells)
    for index, (row, column) in enumerate(cells):
        pair = index // (grid[1] * grid[2])
        for half in range(2):
            frame = frames[min(2 * pair + half, num_frames - 1)]
            square = frame[14 * row : 14 * row + 14, 14 * column : 14 * column + 14]
            assert (patches[index, :, half] == square.transpose(2, 0, 1)).all()
    back = unpatchify(patchify(frames), grid)
    assert (back == frames[np.minimum(np.arange(2 * grid[0]), num_frames - 1)]).all()


def test_an_image_is_a_video_of_two_equal_frames() -> None:
    still = noise(1, 56, 84, 3)
    assert (patchify(still) == patchify(np.concatenate([still, still]))).all()
    video = noise(3, 56, 56, 3)
    assert (patchify(video) == patchify(video[[0, 1, 2, 2]])).all()


def test_patches_of_a_view_are_those_of_its_copy() -> None:
    frames = noise(2, 56, 112, 3)[:, ::-1, ::2]
    assert (patchify(frames) == patchify(frames.copy())).all()


def test_resizing_to_the_same_size_returns_the_same_image() -> None:
    image = Image.fromarray(noise(30, 40, 3))
    assert resize(image, 30, 40) is image
    assert resize(image, 56, 28).size == (28, 56)


@settings(deadline=None, max_examples=20)
@given(
    height=st.integers(600, 1000),
    aspect=st.floats(0.6, 1.8),
    shrink=st.floats(0.1, 0.999),
    num_strips=st.sampled_from([2, 4]),
)
@example(height=873, aspect=1066 / 873, shrink=0.9985, num_strips=2)
@example(height=789, aspect=869 / 789, shrink=0.999, num_strips=4)
def test_strips_give_the_pixels_of_the_whole_image(height: int, aspect: float, shrink: float, num_strips: int) -> None:
    image = Image.fromarray(noise(height, round(aspect * height), 3))
    tall, wide = (max(1, int(side * shrink / 28)) * 28 for side in (image.height, image.width))
    if can_be_split(image, tall, wide):
        whole = image.resize((wide, tall), Image.Resampling.BICUBIC)
        assert (np.asarray(resize_in_strips(image, tall, wide, num_strips)) == np.asarray(whole)).all()


def test_only_large_images_that_shrink_rows_first_are_split() -> None:
    for size, (height, width) in (((4000, 3000), (840, 1148)), ((3000, 4000), (1148, 840)), ((1024, 1024), (980, 980))):
        assert can_be_split(Image.new("RGB", size), height, width)
    for size, (height, width) in (((640, 480), (476, 644)), ((1066, 873), (868, 1064)), ((1024, 1024), (560, 980))):
        assert not can_be_split(Image.new("RGB", size), height, width)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F"]
)
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = to_rgb(Image.new(mode, (5, 4)))
    assert (image.mode, image.size) == ("RGB", (5, 4))


def test_alpha_is_composed_over_white() -> None:
    for mode, clear, half in (("RGBA", (9, 9, 9, 0), (0, 0, 0, 128)), ("LA", (9, 0), (0, 128))):
        image = Image.new(mode, (2, 1))
        image.putpixel((0, 0), clear)
        image.putpixel((1, 0), half)
        pixels = np.asarray(to_rgb(image))
        assert pixels[0, 0].tolist() == [255, 255, 255]
        assert pixels[0, 1].tolist() == [127, 127, 127]


def test_a_transparent_palette_entry_is_composed_over_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = 0
    assert np.asarray(to_rgb(image)).tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_a_transparent_colour_of_rgb_is_composed_over_white() -> None:
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    image.putpixel((1, 0), (1, 2, 3))
    image.info["transparency"] = (10, 20, 30)
    assert np.asarray(to_rgb(image)).tolist() == [[[255, 255, 255], [1, 2, 3]]]


@pytest.mark.parametrize(("file_format", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B")])
def test_sixteen_bits_are_scaled_to_eight(file_format: str, mode: str) -> None:
    values = np.array([[0, 257, 32768, 65535]], dtype=">u2" if mode == "I;16B" else "<u2")
    written = io.BytesIO()
    Image.frombytes(mode, (4, 1), values.tobytes()).save(written, file_format)
    with Image.open(written) as image:
        assert image.mode.startswith("I")
        assert np.asarray(to_rgb(image))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_values_out_of_range_are_refused() -> None:
    assert to_8_bits(np.array([[0.0, 0.5, 1.0]]), 1).tolist() == [[0, 128, 255]]
    for bad in (Image.new("F", (2, 2), 255.0), Image.new("F", (2, 2), float("nan")), Image.new("I", (2, 2), -1)):
        with pytest.raises(MediaError, match="must be in 0"):
            to_rgb(bad)


def test_cmyk_black_is_black() -> None:
    assert np.asarray(to_rgb(Image.new("CMYK", (1, 1), (0, 0, 0, 255)))).tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize("orientation", [0, 9, 32_774])
def test_an_unknown_orientation_counts_as_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.new("RGB", (40, 24)).save(buffer, "PNG", exif=exif)
    with Image.open(buffer) as image:
        assert exif_orientation(image) == 1
        assert to_rgb(image).size == (40, 24)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_exif_orientation_is_applied_once(orientation: int, file_format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    written = io.BytesIO()
    Image.fromarray(noise(24, 40, 3)).save(written, file_format, exif=exif)
    with Image.open(written) as image, Image.open(written) as again:
        expected = np.asarray(ImageOps.exif_transpose(again))
        upright = to_rgb(image)
        assert upright.size == ((24, 40) if orientation >= 5 else (40, 24))
        assert (np.asarray(upright) == expected).all()
    assert (orientation in TRANSPOSE) == (orientation > 1)


def test_a_broken_exif_block_is_ignored() -> None:
    image = Image.new("RGB", (4, 2))
    for block in (b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"Exif\x00\x00", b"nonsense"):
        image.info["exif"] = block
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow says so too
            assert to_rgb(image).size == (4, 2)


@pytest.mark.parametrize("size", [(224, 224), (640, 480), (30, 500), (15, 300), (17, 23), (100, 1000), (333, 77)])
def test_patches_are_those_of_the_reference(size: tuple[int, int]) -> None:
    module = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    image = Image.fromarray(noise(size[1], size[0], 3))
    limits = {"min_pixels": 3136, "max_pixels": 200 * 784}
    theirs = module.Qwen2VLImageProcessorPil(**limits)(images=[image], return_tensors="np")
    height, width = smart_resize(size[1], size[0], **limits)
    ours = patchify(np.asarray(resize(to_rgb(image), height, width))[None])
    assert theirs["image_grid_thw"].tolist() == [[1, height // 14, width // 14]]
    mean, std = (np.repeat(np.array(values, dtype=np.float32), 392) for values in (CLIP_MEAN, CLIP_STD))
    pixels = theirs["pixel_values"] * std + mean
    assert pixels.shape == ours.shape
    assert np.abs(pixels - ours / np.float32(255)).max() <= 1 / 255 + 1e-5
