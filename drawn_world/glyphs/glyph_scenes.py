"""Where glyphs stand and on what: grounds and arrangements, both held out by split, and the images made of them.

An easy form is a grid of equal cells with one glyph in each, on a nearly white ground; the full form has sizes, grounds
and arrangements of its split. Not here: the glyphs (emoji) and what is asked about them (glyphs).
"""

from collections.abc import Callable
from colorsys import hls_to_rgb
from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, sin
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from drawn_world import palette
from drawn_world.glyphs.emoji import raster
from drawn_world.item import Box
from drawn_world.palette import Rgb
from drawn_world.shapes.shape_scenes import apart, image_size

SIDES: dict[str, tuple[int, ...]] = {
    "train": (*range(20, 27), *range(32, 41), *range(48, 59), *range(70, 85)),
    "val": (*range(27, 29), *range(41, 44), *range(59, 63)),
    "test": (*range(29, 32), *range(44, 48), *range(63, 70)),
}
"""Longer sides of glyphs in pixels: those of val and test lie between those of training."""
HUES = {"train": ((0.0, 0.28), (0.45, 0.75)), "val": ((0.31, 0.36), (0.78, 0.86)), "test": ((0.38, 0.43), (0.88, 0.97))}
SHADES = {"train": ("plain", "plain", "down", "across"), "val": ("plain", "rising"), "test": ("plain", "falling")}
"""Direction in which a gradient runs: what is plain differs by hue alone."""
LAYOUTS = {"train": ("free", "free", "row", "grid"), "val": ("rim",), "test": ("ring",)}
GAP = 2  # pixels between any two glyphs
MARGIN = 2  # a glyph's longer side leaves this much of its cell
TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What lies behind the glyphs."""

    shade: str
    """"plain", or the direction of a gradient."""
    first: Rgb
    second: Rgb
    """The same as `first` where plain."""
    hue: float
    """0..1, of both colours; -1 for the easy ground."""
    noise: int
    """Spread a channel."""


EASY = Ground(shade="plain", first=palette.EASY_GROUND, second=palette.EASY_GROUND, hue=-1, noise=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyph:
    """One glyph where it stands."""

    name: str
    side: int
    x: int
    """Left edge of its pixels."""
    y: int
    """Top edge of its pixels."""

    @property
    def box_px(self) -> Box:
        """Its pixels, right and bottom exclusive."""
        width, height = raster(self.name, self.side).size
        return self.x, self.y, self.x + width, self.y + height

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box."""
        x1, y1, x2, y2 = self.box_px
        return (x1 + x2) / 2, (y1 + y2) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GlyphScene:
    """What is drawn."""

    size: tuple[int, int]
    ground: Ground
    layout: str
    """One of LAYOUTS, or "cells" for the easy form of every split."""
    glyphs: tuple[Glyph, ...]

    def facts(self) -> dict[str, Any]:
        """The description that goes into an item's truth, JSON-able."""
        ground = self.ground
        return {
            "size": list(self.size),
            "layout": self.layout,
            "ground": {
                "shade": ground.shade,
                "colours": [list(ground.first), list(ground.second)],
                "hue": ground.hue,
                "noise": ground.noise,
            },
            "glyphs": [{"name": g.name, "side": g.side, "box_px": list(g.box_px)} for g in self.glyphs],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The two ends of a task's geometry."""

    cells: tuple[int, int]
    """Columns and rows of the easy form."""
    cell: int
    """Side of an easy cell in pixels: one or two visual tokens."""
    tokens: tuple[int, int]
    """Fewest and most visual tokens a side of a full image."""
    sides: tuple[int, int]
    """Smallest and largest glyphs of a full image, in pixels."""


def pick_ground(rng: Random, split: str, ease: float) -> Ground:
    """A light, dark or middling ground in hues of the split; with probability `ease` always the same, nearly white one."""
    if ease and rng.random() < ease:
        return EASY
    shade, hue = rng.choice(SHADES[split]), rng.uniform(*rng.choice(HUES[split]))
    light = rng.choice((rng.uniform(0.8, 0.97), rng.uniform(0.8, 0.97), rng.uniform(0.05, 0.25), rng.uniform(0.4, 0.6)))
    colourful = rng.uniform(0.1, 0.6)
    other = light + rng.choice((-1, 1)) * rng.uniform(0.08, 0.2)
    first = _rgb(hue, light, colourful)
    second = first if shade == "plain" else _rgb(hue, min(0.98, max(0.02, other)), colourful)
    noise = rng.randint(2, 9) if rng.random() < 0.25 else 0
    return Ground(shade=shade, first=first, second=second, hue=hue, noise=noise)


def _rgb(hue: float, light: float, colourful: float) -> Rgb:
    red, green, blue = (round(255 * channel) for channel in hls_to_rgb(hue, light, colourful))
    return red, green, blue


def place(rng: Random, split: str, ease: float, names: list[str], ground: Ground, form: Form) -> GlyphScene:
    """The named glyphs, in this order, in cells with probability `ease`, else in an arrangement of the split."""
    if ease and rng.random() < ease:
        return _in_cells(rng, ease, names, ground, form)
    return _arranged(rng, split, names, ground, form)


def _in_cells(rng: Random, ease: float, names: list[str], ground: Ground, form: Form) -> GlyphScene:
    """Each glyph in a cell of its own; with probability `ease` it fills it, and with that again in its middle."""
    columns, rows = form.cells
    cells = rng.sample(range(columns * rows), len(names))
    glyphs = tuple(
        in_cell(rng, ease, name, form.cell, *divmod(c, columns)) for name, c in zip(names, cells, strict=True)
    )
    size = (columns * form.cell, rows * form.cell)
    return GlyphScene(size=size, ground=ground, layout="cells", glyphs=glyphs)


def in_cell(rng: Random, ease: float, name: str, cell: int, row: int, column: int) -> Glyph:
    """A glyph in a cell of `cell` pixels a side: with probability `ease` it fills the cell, likewise in its middle."""
    full = cell - MARGIN
    side = full if rng.random() < ease else rng.choice(_sides("train", full * 3 // 4, full))
    middle = rng.random() < ease
    x, y = (room // 2 if middle else rng.randint(0, room) for room in (cell - e for e in raster(name, side).size))
    return Glyph(name=name, side=side, x=column * cell + x, y=row * cell + y)


@lru_cache(maxsize=1024)
def _sides(split: str, low: int, high: int) -> tuple[int, ...]:
    """The sides of a split from low to high, or its smallest ones where it has none there."""
    return tuple(side for side in SIDES[split] if low <= side <= high) or SIDES[split][:2]


def _arranged(rng: Random, split: str, names: list[str], ground: Ground, form: Form) -> GlyphScene:
    """Draws sizes and places until the glyphs fit; after every failure the largest may be a tenth smaller."""
    low, high = form.sides
    while True:
        size = image_size(rng, *form.tokens)
        sides = _sides(split, low, min(high, min(size) - 2 * GAP))
        wanted = [(name, rng.choice(sides)) for name in names]
        layout = rng.choice(LAYOUTS[split])
        glyphs = _try_layout(rng, layout, size, wanted)
        if glyphs is not None:
            return GlyphScene(size=size, ground=ground, layout=layout, glyphs=glyphs)
        high = max(low, high * 9 // 10)


def _try_layout(
    rng: Random, layout: str, size: tuple[int, int], wanted: list[tuple[str, int]]
) -> tuple[Glyph, ...] | None:
    """The glyphs (name, side) at spots of the layout in a random order, apart from each other, or None."""
    rasters = [raster(name, side).size for name, side in wanted]
    pitch = max(map(max, rasters)) + GAP
    spot = _SPOTS[layout](rng, (size[0] - pitch, size[1] - pitch), len(wanted), pitch)
    placed: list[Glyph] = []
    boxes: list[Box] = []
    numbers = rng.sample(range(len(wanted)), len(wanted))
    for (name, side), (width, height), number in zip(wanted, rasters, numbers, strict=True):
        for _ in range(TRIES):
            across, down = spot(number)
            x, y = round(across + (pitch - width) / 2), round(down + (pitch - height) / 2)
            box = (x, y, x + width, y + height)
            inside = x >= 0 and y >= 0 and box[2] <= size[0] and box[3] <= size[1]
            if inside and all(apart(box, other, GAP) for other in boxes):
                break
        else:
            return None
        placed.append(Glyph(name=name, side=side, x=x, y=y))
        boxes.append(box)
    return tuple(placed)


Spot = Callable[[int], tuple[float, float]]
"""Number of a glyph to the left upper corner of its field: another one at every call, as chance wants it."""


def _free(rng: Random, room: tuple[int, int], count: int, pitch: int) -> Spot:
    return lambda number: (rng.uniform(0, room[0]), rng.uniform(0, room[1]))


def _steps(rng: Random, room: int, count: int, pitch: int) -> tuple[float, float]:
    """Start and distance of `count` spots along `room` pixels, at least a pitch apart if there is room for that."""
    widest = room / max(1, count - 1)
    step = rng.uniform(min(pitch, widest), widest)
    return rng.uniform(0, room - step * (count - 1)), step


def _row(rng: Random, room: tuple[int, int], count: int, pitch: int) -> Spot:
    """One after the other, a little up and down."""
    left, step = _steps(rng, room[0], count, pitch)
    top = rng.uniform(0, room[1])
    return lambda number: (left + step * number, min(room[1], max(0, top + rng.uniform(-0.3, 0.3) * pitch)))


def _grid(rng: Random, room: tuple[int, int], count: int, pitch: int) -> Spot:
    """In some of the cells of a grid, as many cells as there is room for."""
    columns, rows = (1 + extent // pitch for extent in room)
    (left, across), (top, down) = _steps(rng, room[0], columns, pitch), _steps(rng, room[1], rows, pitch)
    cells = rng.sample(range(columns * rows), min(count, columns * rows))

    def spot(number: int) -> tuple[float, float]:
        row, column = divmod(cells[number % len(cells)], columns)
        return left + across * column, top + down * row

    return spot


def _rim(rng: Random, room: tuple[int, int], count: int, pitch: int) -> Spot:
    """Along the edge of the image, clockwise, equally far apart but for a little."""
    width, height = room
    start, length = rng.random(), 2 * (width + height)

    def spot(number: int) -> tuple[float, float]:
        along = (start + (number + rng.uniform(-0.2, 0.2)) / count) % 1 * length
        if along < width:
            return along, 0
        if along < width + height:
            return width, along - width
        if along < 2 * width + height:
            return 2 * width + height - along, height
        return 0, length - along

    return spot


def _ring(rng: Random, room: tuple[int, int], count: int, pitch: int) -> Spot:
    """Around the middle of the image, equally far apart but for a little."""
    start, reach = rng.random(), rng.uniform(0.8, 1)

    def spot(number: int) -> tuple[float, float]:
        angle = 2 * pi * (start + (number + rng.uniform(-0.15, 0.15)) / count)
        return room[0] / 2 * (1 + reach * cos(angle)), room[1] / 2 * (1 + reach * sin(angle))

    return spot


_SPOTS = {"free": _free, "row": _row, "grid": _grid, "rim": _rim, "ring": _ring}


@lru_cache(maxsize=512)
def _ramp(shade: str, size: tuple[int, int]) -> Image.Image:
    """Coverage of the second colour of a gradient."""
    across, down = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    share = {"down": down, "across": across, "rising": (across + 1 - down) / 2, "falling": (across + down) / 2}[shade]
    return Image.fromarray((share * 255).round().astype(np.uint8))


def render(rng: Random, scene: GlyphScene) -> Image.Image:
    """The image of a scene; `rng` only draws its noise."""
    ground = scene.ground
    image = Image.new("RGB", scene.size, ground.first)
    if ground.shade != "plain":
        image.paste(ground.second, (0, 0), _ramp(ground.shade, scene.size))
    for glyph in scene.glyphs:
        pixels = raster(glyph.name, glyph.side)
        image.paste(pixels, (glyph.x, glyph.y), pixels)
    return palette.noisy(rng, image, ground.noise) if ground.noise else image
