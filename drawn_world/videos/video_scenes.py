"""A video is a description first: things, and for each the spans of frames in which it shows.

Frames and truths both come from it; its JSON form stands in truth["scene"]. Two frames make one temporal step, so easy
videos change between steps only. Not here: questions (tasks).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from string import digits
from typing import Any

from PIL import Image, ImageDraw

from drawn_world import palette
from drawn_world.fonts import Face, faces
from drawn_world.palette import Rgb
from drawn_world.shapes.shape_scenes import Placed, in_cell, make_shape, scatter
from qwen2vl.spec.config import FACTOR

Size = tuple[int, int]
Span = tuple[int, int, int, int]  # first frame, frame after the last, left edge, top edge

STEP = 2  # frames of a temporal step
SMALL: Size = (2 * FACTOR, 2 * FACTOR)
SIZES: tuple[Size, ...] = (SMALL, (3 * FACTOR, 2 * FACTOR), (3 * FACTOR, 3 * FACTOR), (4 * FACTOR, 3 * FACTOR))


@dataclass(frozen=True, slots=True, kw_only=True)
class Digit:
    """One digit to be shown."""

    name: str
    """The digit itself."""
    face: Face
    height: int
    """Pixels of a line at its font size; the digit fills about three quarters of them."""
    colour: str
    rgb: Rgb

    @property
    def mask(self) -> Image.Image:
        """Its coverage, cut to its pixels."""
        return _digit_mask(self.face, self.height, self.name)


Thing = Placed | Digit
Part = tuple[Thing, tuple[Span, ...]]


@lru_cache(maxsize=4096)
def _digit_mask(face: Face, height: int, digit: str) -> Image.Image:
    size = face.fit_size(digit, height, height)
    large = Image.new("L", (2 * height, 2 * height))
    ImageDraw.Draw(large).text((height // 2, height // 4), digit, font=face.at(size), fill=255)
    return large.crop(large.getbbox())


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """What is drawn."""

    size: Size
    ground: Rgb
    num_frames: int
    parts: tuple[Part, ...]
    """Every thing with the spans in which it shows; later things lie above earlier ones."""

    def described(self) -> dict[str, Any]:
        """The JSON form, complete enough to draw the video again."""
        things = [_described(thing) | {"spans": [list(span) for span in spans]} for thing, spans in self.parts]
        return {"size": list(self.size), "ground": list(self.ground), "num_frames": self.num_frames, "things": things}


def _described(thing: Thing) -> dict[str, Any]:
    common = {"name": thing.name, "colour": thing.colour, "rgb": list(thing.rgb)}
    if isinstance(thing, Digit):
        return common | {"face": thing.face.file, "height": thing.height}
    return common | {"kind": thing.kind, "side": thing.side, "turn": thing.turn}


def draw_video(video: Video) -> list[Image.Image]:
    """The frames; those that look alike are one and the same image."""
    shown: list[list[tuple[int, int, int]]] = [[] for _ in range(video.num_frames)]
    for index, (_, spans) in enumerate(video.parts):
        for first, until, x, y in spans:
            for frame in range(first, until):
                shown[frame].append((index, x, y))
    drawn: dict[tuple[tuple[int, int, int], ...], Image.Image] = {}
    frames = []
    for each in map(tuple, shown):
        if each not in drawn:
            image = Image.new("RGB", video.size, video.ground)
            for index, x, y in each:
                image.paste(video.parts[index][0].rgb, (x, y), video.parts[index][0].mask)
            drawn[each] = image
        frames.append(drawn[each])
    return frames


def video_size(rng: Random, ease: float) -> Size:
    """Four to twelve visual tokens a temporal step; with probability `ease` four."""
    return SMALL if rng.random() < ease else rng.choice(SIZES)


def place(rng: Random, size: Size, names: Sequence[tuple[str, str]], ground: Rgb, ease: float) -> list[Placed]:
    """(colour, kind) shapes that do not touch; with probability `ease` each fills a visual token of its own."""
    columns, rows = size[0] // FACTOR, size[1] // FACTOR
    if rng.random() < ease:
        cells = rng.sample(range(columns * rows), len(names))
        made = [make_shape(rng, kind, colour, FACTOR - 3) for colour, kind in names]
        return [in_cell(shape, cell % columns, cell // columns) for shape, cell in zip(made, cells, strict=True)]
    high = {1: 40, 2: 30}.get(len(names), 26)
    return list(scatter(rng, size, list(names), 16, min(high, min(size) // 2 + 6), ground).shapes)


def still(shape: Placed, *stretches: tuple[int, int]) -> Part:
    """The shape where it stands, in these stretches of frames."""
    return shape, tuple((first, until, shape.x, shape.y) for first, until in stretches)


def along(shape: Placed, path: Sequence[tuple[int, int]]) -> Part:
    """The shape with its upper left corner at these places, one a frame."""
    return shape, tuple((frame, frame + 1, x, y) for frame, (x, y) in enumerate(path))


def flash_of_digit(rng: Random, split: str, size: Size, ground: Rgb, ease: float, stretch: tuple[int, int]) -> Part:
    """A random digit in a face of the split; with probability `ease` dark, of one size, in one visual token."""
    colours = palette.colours_on(ground)
    name = "black" if "black" in colours and rng.random() < ease else rng.choice(colours)
    simple = rng.random() < ease
    digit = Digit(
        name=rng.choice(digits),
        face=rng.choice(faces(split)),
        height=34 if simple else rng.randint(28, 54),
        colour=name,
        rgb=palette.jitter(rng, palette.COLOURS[name]),
    )
    width, height = digit.mask.size
    if simple:
        column, row = rng.randrange(size[0] // FACTOR), rng.randrange(size[1] // FACTOR)
        x, y = column * FACTOR + (FACTOR - width) // 2, row * FACTOR + (FACTOR - height) // 2
    else:
        x, y = rng.randint(0, size[0] - width), rng.randint(0, size[1] - height)
    return digit, ((*stretch, x, y),)


def blinks(rng: Random, number: int, num_frames: int, ease: float, step: int = 1) -> list[tuple[int, int]]:
    """Stretches of at least two frames with at least two between them; nothing shows in the first `step` frames.

    With probability `ease` every second step from the second on; otherwise lengths and pauses are free multiples of
    `step` (1 or 2) frames. Needs 4 * number frames.
    """
    if rng.random() < ease:
        return [(first, first + STEP) for first in range(STEP, STEP + 2 * STEP * number, 2 * STEP)]
    least = STEP // step
    spare = num_frames // step - 1 - (2 * number - 1) * least
    lengths, pauses = [least] * number, [1] + [least] * (number - 1) + [0]
    for index in range(number):
        extra = rng.randint(0, min(least, spare))
        lengths[index] += extra
        spare -= extra
    for _ in range(spare):
        pauses[rng.randrange(len(pauses))] += 1
    stretches, now = [], 0
    for pause, length in zip(pauses, lengths, strict=False):
        now += pause
        stretches.append((now * step, (now + length) * step))
        now += length
    return stretches
