"""Scenes of videos. A video describes things and, for each, the spans of frames in which it is visible.

Frames and truths both come from the description; truth["scene"] has its JSON form. Two frames make one temporal step, so
easy videos change only between steps. Not here: questions about videos (motion, video_tasks, video_lessons).
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
from drawn_world.item import Size
from drawn_world.palette import Rgb
from drawn_world.shapes.shape_scenes import Placed, fill_cells, scatter
from qwen2vl.spec.config import FACTOR

Span = tuple[int, int, int, int]
"""First frame, frame after the last, left edge and top edge in pixels."""

STEP = 2
"""Frames of a temporal step."""
SMALL: Size = (2 * FACTOR, 2 * FACTOR)
SIZES: tuple[Size, ...] = (SMALL, (3 * FACTOR, 2 * FACTOR), (3 * FACTOR, 3 * FACTOR), (4 * FACTOR, 3 * FACTOR))


@dataclass(frozen=True, slots=True, kw_only=True)
class Digit:
    """One digit in a face and a colour."""

    name: str
    """The digit itself."""
    face: Face
    height: int
    """Height of a line at the font size in pixels; the digit fills about three quarters of it."""
    colour: str
    rgb: Rgb

    @property
    def mask(self) -> Image.Image:
        """Coverage of the digit, 8 bits a pixel, cropped to the digit."""
        return _digit_mask(self.face, self.height, self.name)


Part = tuple[Placed | Digit, tuple[Span, ...]]
"""What is shown, and when and where."""


@lru_cache(maxsize=4096)
def _digit_mask(face: Face, height: int, digit: str) -> Image.Image:
    size = face.fit_size(digit, height, height)
    large = Image.new("L", (2 * height, 2 * height))
    ImageDraw.Draw(large).text((height // 2, height // 4), digit, font=face.at(size), fill=255)
    return large.crop(large.getbbox())


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """The description of one video."""

    size: Size
    ground: Rgb
    num_frames: int
    parts: tuple[Part, ...]
    """Every thing with the spans in which it is visible; later things cover earlier ones."""

    def described(self) -> dict[str, Any]:
        """The JSON form, complete enough to draw the video again."""
        things: list[dict[str, Any]] = []
        for thing, spans in self.parts:
            described: dict[str, Any] = {"name": thing.name, "colour": thing.colour, "rgb": list(thing.rgb)}
            if isinstance(thing, Digit):
                described |= {"face": thing.face.file, "height": thing.height}
            else:
                described |= {"kind": thing.kind, "side": thing.side, "turn": thing.turn}
            things.append(described | {"spans": [list(span) for span in spans]})
        return {"size": list(self.size), "ground": list(self.ground), "num_frames": self.num_frames, "things": things}


def draw_video(video: Video) -> list[Image.Image]:
    """The frames; equal ones are the same Image object."""
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
    """A size of four to twelve visual tokens a temporal step; with probability `ease` four."""
    return SMALL if rng.random() < ease else rng.choice(SIZES)


def place(rng: Random, size: Size, names: Sequence[tuple[str, str]], ground: Rgb, ease: float) -> list[Placed]:
    """(colour, kind) shapes that do not touch; with probability `ease` each fills its own visual token."""
    if rng.random() < ease:
        return list(fill_cells(rng, size, names, ground).shapes)
    high = {1: 40, 2: 30}.get(len(names), 26)
    return list(scatter(rng, size, names, 16, min(high, min(size) // 2 + 6), ground).shapes)


def still(shape: Placed, *stretches: tuple[int, int]) -> Part:
    """The shape, without motion, in these stretches of frames."""
    return shape, tuple((first, until, shape.x, shape.y) for first, until in stretches)


def along(shape: Placed, axis: int, across: int, places: Sequence[int]) -> Part:
    """The shape moving along an axis (0 = horizontal, 1 = vertical), with its left or top edge at one place a frame.

    across: its edge on the other axis, which stays.
    """
    corners = [(place, across) if axis == 0 else (across, place) for place in places]
    return shape, tuple((frame, frame + 1, x, y) for frame, (x, y) in enumerate(corners))


def flash_of_digit(rng: Random, split: str, size: Size, ground: Rgb, ease: float, stretch: tuple[int, int]) -> Part:
    """A random digit in a face of the split; with probability `ease` black, of one size, inside one visual token."""
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
    """Stretches of at least two frames with at least two frames between them, none in the first `step` frames.

    With probability `ease` every second temporal step from the second on; otherwise lengths and pauses are random
    multiples of `step` (1 or 2) frames. Needs 4 * number frames.
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
