"""Pixels of shapes on a ground, in numpy alone: a pixel's share of the shape is read off its signed distance.

A pixel is covered by 0.5 - distance, cut to 0..1: analytic anti-aliasing, one pixel wide, without supersampling. Shapes are
solid and have no outline or shadow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from experiments.plain_pictures.outlines import distance

RGB = tuple[int, int, int]
Pixels = NDArray[np.float64]
"""[H, W, 3], values of 0..255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One solid shape of a picture."""

    shape: str
    """Name in `outlines`."""
    colour: str
    rgb: RGB
    x: float
    """Middle, in pixels from the left edge of the picture."""
    y: float
    """Middle, in pixels from the upper edge."""
    radius: float
    """Radius of the circle that encloses the shape, in pixels."""
    turn: tuple[float, float] = (1.0, 0.0)
    """Cosine and sine of the angle by which the shape is turned clockwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What lies behind the shapes: one colour, or two that change into each other along a straight line."""

    begin: RGB
    end: RGB
    along: tuple[float, float] = (1.0, 0.0)
    """Shares of the width and of the height in the way from begin to end; they add up to 1."""


def paint(size: tuple[int, int], ground: Ground, figures: Sequence[Figure]) -> Image.Image:
    """Picture of this width and height, later figures over earlier ones."""
    pixels = paint_ground(size, ground)
    for figure in figures:
        rows, columns, covered = coverage(size, figure)
        window = pixels[rows, columns]
        window += covered[..., None] * (np.array(figure.rgb, dtype=np.float64) - window)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def paint_ground(size: tuple[int, int], ground: Ground) -> Pixels:
    """Pixels of a ground."""
    width, height = size
    across, down = ground.along
    share = across * (np.arange(width) / width)[None, :] + down * (np.arange(height) / height)[:, None]
    begin, end = (np.array(rgb, dtype=np.float64) for rgb in (ground.begin, ground.end))
    return begin + share[..., None] * (end - begin)


def coverage(size: tuple[int, int], figure: Figure) -> tuple[slice, slice, NDArray[np.float64]]:
    """Rows and columns of the window around a figure, and the share of each of its pixels that the figure covers."""
    width, height = size
    reach = figure.radius + 2
    left, right = max(0, int(figure.x - reach)), min(width, int(figure.x + reach) + 1)
    top, bottom = max(0, int(figure.y - reach)), min(height, int(figure.y + reach) + 1)
    x = (np.arange(left, right) + 0.5 - figure.x)[None, :] / figure.radius
    y = (np.arange(top, bottom) + 0.5 - figure.y)[:, None] / figure.radius
    cosine, sine = figure.turn
    away = distance(figure.shape, x * cosine + y * sine, y * cosine - x * sine) * figure.radius
    return slice(top, bottom), slice(left, right), np.clip(0.5 - away, 0, 1)


def box_of(size: tuple[int, int], figure: Figure) -> tuple[int, int, int, int]:
    """Left, top, right, bottom, in pixels, of the part of the picture that a figure covers by more than half."""
    rows, columns, covered = coverage(size, figure)
    ys, xs = np.nonzero(covered > 0.5)
    left, top = columns.start + int(xs.min()), rows.start + int(ys.min())
    return left, top, columns.start + int(xs.max()) + 1, rows.start + int(ys.max()) + 1
