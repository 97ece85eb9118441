"""The kinds of shapes and their masks.

A mask is cropped to its own pixels, so that the box of a shape is the box of its mask and always tight.
"""

from functools import lru_cache
from math import cos, pi, sin

from PIL import Image, ImageDraw

KINDS = ("circle", "square", "triangle", "star", "cross", "diamond", "ring")
PLURALS = {kind: "crosses" if kind == "cross" else f"{kind}s" for kind in KINDS}
TURNS = {"triangle": (0, 0, 180, 90, 270), "star": (0, 12, 24, 36)}
"""Rotations in degrees; other kinds would look alike or like each other, as a square and a diamond do."""
OVERSAMPLE = 4
"""Masks are painted this much larger and reduced, for smooth edges."""


@lru_cache(maxsize=2048)
def mask(kind: str, side: int, turn: int = 0) -> Image.Image:
    """Coverage of a shape as an 8-bit image of about side x side, cropped to the shape. Cached: do not draw on it."""
    large = Image.new("L", (side * OVERSAMPLE, side * OVERSAMPLE))
    _paint(ImageDraw.Draw(large), kind, side * OVERSAMPLE, turn)
    small = large.reduce(OVERSAMPLE)
    return small.crop(small.getbbox())


def _paint(pen: ImageDraw.ImageDraw, kind: str, side: int, turn: int) -> None:
    last = side - 1
    if kind == "circle":
        pen.ellipse((0, 0, last, last), fill=255)
    elif kind == "ring":
        pen.ellipse((0, 0, last, last), outline=255, width=max(OVERSAMPLE * 3, side // 5))
    elif kind == "square":
        pen.rectangle((side // 16, side // 16, last - side // 16, last - side // 16), fill=255)
    elif kind == "cross":
        low, high = side * 11 // 32, side * 21 // 32
        pen.rectangle((low, 0, high, last), fill=255)
        pen.rectangle((0, low, last, high), fill=255)
    else:
        pen.polygon(_corners(kind, side / 2, turn), fill=255)


def _corners(kind: str, radius: float, turn: int) -> list[tuple[float, float]]:
    if kind == "diamond":
        radii, steps = [1.0, 0.72], 4
    elif kind == "star":
        radii, steps = [1.0, 0.42], 10
    else:
        radii, steps = [1.0], 3
    angles = [(turn - 90) * pi / 180 + 2 * pi * step / steps for step in range(steps)]
    reach = [radius * 0.99 * radii[step % len(radii)] for step in range(steps)]
    return [(radius + r * cos(a), radius + r * sin(a)) for r, a in zip(reach, angles, strict=True)]
