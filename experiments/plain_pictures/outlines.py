"""Everyday shapes as signed distances: how far a pixel lies outside (positive) or inside (negative) the outline.

Every shape fits into a circle of radius 1 around (0, 0), with x to the right and y down. Arithmetic is limited to operations
that IEEE 754 rounds correctly (no sine, no power over arrays), so distances have the same bits on every machine. Formulas for
polygons and the heart follow Inigo Quilez, "2D distance functions"; the ellipse is his first-order approximation, whose
error vanishes on the outline itself.
"""

from collections.abc import Callable
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
"""One value per pixel, [H, W]."""
Corners = tuple[tuple[float, float], ...]

OVAL = (1.0, 0.6)
"""Half width and half height."""
RING_HOLE = 0.5
"""Radius of the hole."""
HEART = 0.65, 0.6
"""Length 1 in units of the heart's formula, and the height of the middle above the heart's tip in them."""


def distance(shape: str, x: Field, y: Field) -> Field:
    """Signed distance [H, W] of points to the outline of a shape. Raises KeyError for an unknown shape."""
    return ROUND[shape](x, y) if shape in ROUND else polygon(CORNERS[shape], x, y)


def circle(x: Field, y: Field) -> Field:
    """Exact distance to the unit circle."""
    return np.sqrt(x * x + y * y) - 1


def ring(x: Field, y: Field) -> Field:
    """Exact distance to the unit disc without its hole."""
    half_width = (1 - RING_HOLE) / 2
    return np.abs(np.sqrt(x * x + y * y) - (RING_HOLE + half_width)) - half_width


def oval(x: Field, y: Field) -> Field:
    """Distance to a lying ellipse: first order, exact on the outline."""
    a, b = OVAL
    scaled = np.sqrt((x / a) * (x / a) + (y / b) * (y / b))
    slope = np.sqrt((x / (a * a)) * (x / (a * a)) + (y / (b * b)) * (y / (b * b)))
    return scaled * (scaled - 1) / np.maximum(slope, 1e-6)


def heart(x: Field, y: Field) -> Field:
    """Exact distance to a heart of two half discs on a square that stands on its corner."""
    unit, middle = HEART
    u, v = np.abs(x) * unit, middle - y * unit
    lobe = np.sqrt((u - 0.25) * (u - 0.25) + (v - 0.75) * (v - 0.75)) - np.sqrt(2) / 4
    along = 0.5 * np.maximum(u + v, 0)
    squared = np.minimum(u * u + (v - 1) * (v - 1), (u - along) * (u - along) + (v - along) * (v - along))
    return np.where(u + v > 1, lobe, np.sqrt(squared) * np.sign(u - v)) / unit


def polygon(corners: Corners, x: Field, y: Field) -> Field:
    """Signed distance to a simple polygon, by its nearest edge and the parity of crossed edges."""
    squared = np.full(x.shape, np.inf)
    is_inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        ex, ey, px, py = bx - ax, by - ay, x - ax, y - ay
        share = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
        squared = np.minimum(squared, (px - ex * share) ** 2 + (py - ey * share) ** 2)
        crosses = (py >= 0) != (y >= by)
        is_inside ^= crosses & ((ex * py > ey * px) == (ey > 0))
    return np.where(is_inside, -1, 1) * np.sqrt(squared)


def regular(count: int, inner: float | None = None) -> Corners:
    """Corners of a regular polygon with one at the top; with `inner` a star whose notches have that radius."""
    radii = [1.0] if inner is None else [1.0, inner]
    total = count * len(radii)
    turns = [2 * pi * number / total - pi / 2 for number in range(total)]
    # Rounded: the last bits of sine and cosine differ between C libraries.
    return tuple(
        (round(radii[number % len(radii)] * cos(turn), 9), round(radii[number % len(radii)] * sin(turn), 9))
        for number, turn in enumerate(turns)
    )


def box(half_width: float, half_height: float) -> Corners:
    """Corners of an upright rectangle."""
    w, h = half_width, half_height
    return ((-w, -h), (w, -h), (w, h), (-w, h))


def plus(half_width: float) -> Corners:
    """An upright cross with arms of this half width that end at 0.95."""
    w, end = half_width, 0.95
    turned: list[Corners] = [((-w, -end), (w, -end), (w, -w))]
    for _ in range(3):
        turned.append(tuple((-y, x) for x, y in turned[-1]))
    return tuple(corner for corners in turned for corner in corners)


ROUND: dict[str, Callable[[Field, Field], Field]] = {"circle": circle, "ring": ring, "oval": oval, "heart": heart}
CORNERS: dict[str, Corners] = {
    "square": box(0.7, 0.7),
    "rectangle": box(0.88, 0.44),
    "triangle": regular(3),
    "diamond": ((0.0, -1.0), (0.68, 0.0), (0.0, 1.0), (-0.68, 0.0)),
    "pentagon": regular(5),
    "hexagon": regular(6),
    "star": regular(5, inner=0.42),
    "cross": plus(0.3),
    "arrow": ((1.0, 0.0), (0.3, 0.65), (0.3, 0.25), (-0.95, 0.25), (-0.95, -0.25), (0.3, -0.25), (0.3, -0.65)),
}
SHAPES = (*ROUND, *CORNERS)
