"""Words over pictures: letters that stand out from what is behind them, on synthetic textures.

Photographs, and several lines on one picture: pictures and line_stacks. The exam's photographs: transfer.words_on_photos.
"""

from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from drawn_world.fonts import Face, faces
from drawn_world.item import Box, Item, image_item, text_truth
from drawn_world.palette import COLOURS, luma
from drawn_world.task import Task
from drawn_world.wording import ask
from drawn_world.words import pick_letters, pick_word
from qwen2vl.spec.config import FACTOR


def word_on_texture(rng: Random, split: str, ease: float) -> Item:
    """Read a word or random letters on a synthetic texture. Ease 1 gives faint textures and one image size."""
    face = rng.choice(faces(split, mono=False))
    word = pick_letters(rng, split) if rng.random() < 0.3 else pick_word(rng, split)
    widths = [width * FACTOR for width in range(3, 7) if width * FACTOR >= 12 * len(word)]
    free = rng.choice(widths or [6 * FACTOR]), rng.randint(1, 3) * FACTOR
    size = (6 * FACTOR, 2 * FACTOR) if rng.random() < ease else free
    pattern, strength = rng.choice(PATTERNS), rng.uniform(0.05, 0.2) if rng.random() < ease else rng.uniform(0.2, 1)
    image = texture(rng, size, pattern, strength)
    text_px = face.fit_size(word, int((size[0] - 16) * rng.uniform(0.75, 1)), int((size[1] - 6) * 0.8))
    extent = face.ink_size(text_px, word)
    x, y = (rng.randint(2, max(2, side - length - 2)) for side, length in zip(size, extent, strict=True))
    box = (x, y, x + extent[0], y + extent[1])
    edge = write_over(rng, image, face, text_px, word, box)
    scene = {"pattern": pattern, "word": word, "box_px": list(box), "family": face.family, "edge": edge}
    question = ask(rng, "read_word", ease, split)
    return image_item("word_on_texture", [image], question, word, text_truth(word, read=[word], scene=scene))


def texture(rng: Random, size: tuple[int, int], pattern: str, strength: float) -> Image.Image:
    """A picture without meaning: three colours, sometimes greys, mixed by a pattern.

    strength: from 0 (one colour) to 1 (full difference between the colours).
    """
    source = np.random.default_rng(rng.getrandbits(32))
    share = _DRAW[pattern](source, size)[:, :, None]
    first, second, third = source.uniform(0, 255, (3, 3))
    if rng.random() < 0.3:
        first, second, third = (colour.mean() for colour in (first, second, third))
    other = np.where(share < 0.5, first + (third - first) * 2 * share, third + (second - third) * (2 * share - 1))
    mixed = first + (other - first) * strength + source.normal(0, rng.choice((0, 3, 8)), (size[1], size[0], 1))
    pixels = np.broadcast_to(mixed, (size[1], size[0], 3)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels))


def _clouds(source: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Smooth noise of several grain sizes, [height, width] in 0..1."""
    total = np.zeros((size[1], size[0]))
    for octave in range(2, 2 + int(source.integers(2, 5))):
        grain = source.integers(0, 256, (2**octave, 2**octave), dtype=np.uint8)
        total += np.asarray(Image.fromarray(grain).resize(size, Image.Resampling.BICUBIC)) / 2**octave
    return _scaled(total)


def _waves(source: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Bands in one direction, bent by noise, like wood or cloth."""
    y, x = np.mgrid[: size[1], : size[0]]
    angle, length = source.uniform(0, np.pi), source.uniform(6, 40)
    bend = _clouds(source, size) * source.uniform(0, 12)
    waves = np.sin((x * np.cos(angle) + y * np.sin(angle) + bend) * 2 * np.pi / length)
    return _scaled(np.sign(waves) if source.random() < 0.4 else waves)


def _cells(source: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Cells like stones: every pixel has the shade of the nearest of some points, slightly darker far from it."""
    count = int(source.integers(6, 60))
    points = source.uniform(0, 1, (count, 2)) * size
    y, x = np.mgrid[: size[1], : size[0]]
    away = np.hypot(x[:, :, None] - points[:, 0], y[:, :, None] - points[:, 1])
    return _scaled(source.uniform(0, 1, count)[away.argmin(2)] - source.uniform(0, 0.05) * away.min(2))


def _things(source: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Ellipses and triangles of many shades that overlap, slightly blurred."""
    image = Image.new("L", size, int(source.integers(256)))
    pen = ImageDraw.Draw(image)
    for _ in range(int(source.integers(4, 25))):
        x, y, wide, high = (int(value) for value in source.uniform(-0.2, 1, 4) * (*size, *size))
        box, shade = (x, y, x + abs(wide) + 2, y + abs(high) + 2), int(source.integers(256))
        if source.random() < 0.5:
            pen.ellipse(box, fill=shade)
        else:
            pen.polygon([(int(a), int(b)) for a, b in source.uniform(-0.1, 1.1, (3, 2)) * size], fill=shade)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(float(source.uniform(0.3, 3))))) / 255


def _slope(source: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """An even change of shade in one direction, or from a point outwards, sometimes with a horizon."""
    y, x = np.mgrid[: size[1], : size[0]] / max(size)
    angle = source.uniform(0, 2 * np.pi)
    middle = source.uniform(-0.2, 1.2, 2)
    even, round_ = x * np.cos(angle) + y * np.sin(angle), np.hypot(x - middle[0], y - middle[1])
    shades = even if source.random() < 0.5 else round_
    if source.random() < 0.3:
        shades = np.where(y > source.uniform(0.2, 0.8) * y.max(), shades + source.uniform(-1, 1), shades)
    return _scaled(shades)


def _bricks(source: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Rows of rectangles of slightly different shades with joints between them, like walls, tiles or boards."""
    high, long = source.integers(8, 40), source.integers(16, 160)
    joint, shift = source.integers(1, 4), source.uniform(0, 1) if source.random() < 0.3 else 0.5
    y, x = np.mgrid[: size[1], : size[0]] + source.integers(0, 40, (2, 1, 1))
    row = y // high
    along = x + (row * shift * long).astype(int) % long
    shade = source.uniform(0.3, 1, (row.max() + 1, along.max() // long + 1))[row, along // long]
    in_joint = (y % high < joint) | (along % long < joint)
    grain = _clouds(source, size) * source.uniform(0, 0.4)
    return _scaled(np.where(in_joint, source.uniform(0, 1.2), shade) + grain)


def _leaves(source: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Many small strokes over each other in nearby shades and a common direction, like grass, leaves or fur."""
    image = Image.new("L", size, int(source.integers(40, 120)))
    pen = ImageDraw.Draw(image)
    count, angle, spread = int(source.integers(150, 500)), source.uniform(0, np.pi), source.uniform(0.1, 1.5)
    starts, turns = source.uniform(0, 1, (count, 2)) * size, source.normal(angle, spread, count)
    lengths, shades = source.uniform(3, 22, count), source.integers(20, 256, count)
    width = int(source.integers(1, 5))
    for (x, y), turn, length, shade in zip(starts, turns, lengths, shades, strict=True):
        end = x + length * np.cos(turn), y + length * np.sin(turn)
        pen.line((float(x), float(y), float(end[0]), float(end[1])), fill=int(shade), width=width)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(float(source.uniform(0, 1.2))))) / 255


def _lights(source: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Soft discs on a soft ground, like lights out of focus."""
    y, x = np.mgrid[: size[1], : size[0]]
    total = _clouds(source, size) * source.uniform(0, 1)
    for _ in range(int(source.integers(3, 14))):
        middle, radius = source.uniform(0, 1, 2) * size, source.uniform(0.05, 0.4) * max(size)
        edge = source.uniform(1, radius)
        away = np.hypot(x - middle[0], y - middle[1])
        total += source.uniform(-0.6, 1) * ((radius - away) / edge).clip(0, 1)
    return _scaled(total)


def _squares(source: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """A chequered, striped or dotted ground, turned by any angle."""
    y, x = np.mgrid[: size[1], : size[0]]
    angle, step = source.uniform(0, np.pi), source.uniform(5, 40)
    across, along = (x * np.cos(angle) + y * np.sin(angle)) / step, (y * np.cos(angle) - x * np.sin(angle)) / step
    kind = source.integers(3)
    if kind == 0:
        return ((np.floor(across) + np.floor(along)) % 2).astype(np.float64)
    if kind == 1:
        return (across % 1 < source.uniform(0.2, 0.8)).astype(np.float64)
    return (np.hypot(across % 1 - 0.5, along % 1 - 0.5) < source.uniform(0.15, 0.45)).astype(np.float64)


_DRAW = {
    "clouds": _clouds,
    "waves": _waves,
    "cells": _cells,
    "things": _things,
    "slope": _slope,
    "bricks": _bricks,
    "leaves": _leaves,
    "lights": _lights,
    "squares": _squares,
}
PATTERNS = tuple(_DRAW)


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values scaled to 0..1."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(1e-9, high - low)


def write_over(rng: Random, image: Image.Image, face: Face, text_px: int, word: str, box: Box) -> str:
    """Write letters that stand out from what is behind them; returns the kind of edge, "none" only on calm pictures."""
    behind = np.asarray(image.crop(box).convert("L"))
    colours = [colour for colour in COLOURS.values() if abs(luma(colour) - behind.mean()) >= 90]
    ink = rng.choice(colours or [COLOURS["white" if behind.mean() < 128 else "black"]])
    calm = behind.std() < 22
    edge = rng.choice(("none", "none", "outline", "shadow") if calm else ("outline", "outline", "shadow", "plate"))
    origin = box[0] - int(face.at(text_px).getbbox(word)[0]), box[1] - face.line_edges(text_px)[0]
    mask, font = Image.new("L", image.size), face.at(text_px)
    pen = ImageDraw.Draw(mask)
    if edge == "outline":
        pen.text(origin, word, font=font, fill=255, stroke_width=2)
    elif edge == "shadow":
        pen.text((origin[0] + 1, origin[1] + 1), word, font=font, fill=255, stroke_width=3)
        mask = mask.filter(ImageFilter.GaussianBlur(1.5))
    elif edge == "plate":
        pen.rectangle((box[0] - 4, box[1] - 3, box[2] + 3, box[3] + 2), fill=190)
    under_letters = (0, 0, 0) if luma(ink) > 127 else (255, 255, 255)
    image.paste(under_letters, (0, 0), mask)
    ImageDraw.Draw(image).text(origin, word, font=font, fill=ink)
    return edge


TASKS = (Task("word_on_texture", word_on_texture, "ocr", lesson=True),)
