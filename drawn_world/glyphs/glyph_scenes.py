"""Scenes of glyphs: sizes and arrangements, both held out by split, and the images made from them.

The easy form is a grid of equal cells with one glyph in each, on a nearly white background; the full form has sizes,
backgrounds and arrangements of its split. Not here: backgrounds (grounds), the glyphs (emoji) and the questions about
them (glyph_tasks).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import cos, pi, sin
from random import Random
from typing import Any

from PIL import Image

from drawn_world import palette
from drawn_world.glyphs.emoji import raster
from drawn_world.glyphs.grounds import Ground, paint
from drawn_world.item import Box, Size
from drawn_world.shapes.shape_scenes import apart, image_size
from qwen2vl.spec.config import FACTOR

SIDES: dict[str, tuple[int, ...]] = {
    "train": (*range(16, 27), *range(32, 41), *range(48, 59), *range(70, 201)),
    "val": (*range(27, 29), *range(41, 44), *range(59, 63)),
    "test": (*range(29, 32), *range(44, 48), *range(63, 70)),
}
"""Longer sides of glyphs in pixels: those of val and test lie between those of training."""
LAYOUTS = {"train": ("free", "free", "row", "grid"), "val": ("rim",), "test": ("ring",)}
LARGEST = 2.6
"""Images of training and their glyphs are up to this many times larger than those of val and test."""
MOST_TOKENS = 16  # on a side of an image
GAP = 2  # pixels between any two glyphs


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyph:
    """One glyph at its place in an image."""

    name: str
    side: int
    """Longer side in pixels."""
    x: int
    """Left edge in pixels."""
    y: int
    """Top edge in pixels."""

    @property
    def box_px(self) -> Box:
        """The box that encloses the glyph tightly."""
        width, height = raster(self.name, self.side).size
        return self.x, self.y, self.x + width, self.y + height

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box."""
        x1, y1, x2, y2 = self.box_px
        return (x1 + x2) / 2, (y1 + y2) / 2

    @property
    def area(self) -> int:
        """Pixels in the box."""
        x1, y1, x2, y2 = self.box_px
        return (x2 - x1) * (y2 - y1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlyphScene:
    """The description of one image of glyphs."""

    size: Size
    ground: Ground
    layout: str
    """One of LAYOUTS, or "cells" for the easy form of every split."""
    glyphs: tuple[Glyph, ...]

    def facts(self) -> dict[str, Any]:
        """The JSON form of the description, for the truth of an item."""
        return {
            "size": list(self.size),
            "layout": self.layout,
            "ground": self.ground.facts(),
            "glyphs": [{"name": g.name, "side": g.side, "box_px": list(g.box_px)} for g in self.glyphs],
        }

    def in_order(self) -> list[Glyph] | None:
        """Glyphs from left to right, or None if two centres are less than 14 pixels (one patch) apart horizontally."""
        ordered = sorted(self.glyphs, key=lambda glyph: glyph.centre[0])
        clear = all(b.centre[0] - a.centre[0] >= FACTOR // 2 for a, b in pairwise(ordered))
        return ordered if clear else None

    def in_reading_order(self) -> list[Glyph]:
        """Glyphs row by row from the top, each row from the left; a row holds those whose centres its first one spans."""
        left, ordered = sorted(self.glyphs, key=lambda glyph: glyph.y), []
        while left:
            _, top, _, bottom = left[0].box_px
            row = [glyph for glyph in left if top <= glyph.centre[1] < bottom]
            ordered += sorted(row, key=lambda glyph: glyph.x)
            left = [glyph for glyph in left if glyph not in row]
        return ordered

    def in_corner(self, corner: str) -> Glyph | None:
        """The only glyph with its centre in this quarter of the image, for example "upper left", and well inside it."""
        (width, height), (up, left) = self.size, (corner.startswith("upper"), corner.endswith("left"))
        shares = [(g, g.centre[0] / width, g.centre[1] / height) for g in self.glyphs]
        toward = [(g, x if left else 1 - x, y if up else 1 - y) for g, x, y in shares]  # 0 is at the corner
        inside = [each for each in toward if max(each[1:]) < 0.55]
        return inside[0][0] if len(inside) == 1 and max(inside[0][1:]) < 0.4 else None

    def neighbour(self, b: Glyph, relation: str) -> tuple[Glyph, bool] | None:
        """The nearest glyph in this relation to b, and whether others farther away are too; None if that is not clear.

        It must be level with b within half a glyph, and all others on that side must be 1.5 times as far away.
        """
        ahead = []
        for number, a in enumerate(self.glyphs):
            right, down = a.centre[0] - b.centre[0], a.centre[1] - b.centre[1]
            along = {"left of": -right, "right of": right, "above": -down, "below": down}[relation]
            aside = abs(down if relation in ("left of", "right of") else right)
            if aside < 2 * along:
                ahead.append((along + aside, aside, along, number))
        if not ahead:
            return None
        (distance, aside, _, number), *others = sorted(ahead)
        nearest = self.glyphs[number]
        clear = aside <= min(nearest.side, b.side) / 2 and all(other[0] >= 1.5 * distance for other in others)
        return (nearest, any(off < 0.95 * along for _, off, along, _ in others)) if clear else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The geometry of a task in its easy and its full form."""

    cells: tuple[int, int]
    """Columns and rows of the easy form."""
    cell: int
    """Side of a cell of the easy form in pixels: one or two visual tokens."""
    tokens: tuple[int, int]
    """Smallest and largest number of visual tokens on a side of a full image."""
    sides: tuple[int, int]
    """Smallest and largest side of a glyph in a full image, in pixels."""


def place(rng: Random, split: str, ease: float, names: list[str], ground: Ground, form: Form) -> GlyphScene:
    """The named glyphs, in this order, in cells with probability `ease`, else in an arrangement of the split."""
    if not ease or rng.random() >= ease:
        return _arranged(rng, split, names, ground, form)
    columns, rows = form.cells
    cells = rng.sample(range(columns * rows), len(names))
    glyphs = tuple(
        in_cell(rng, ease, name, form.cell, *divmod(c, columns)) for name, c in zip(names, cells, strict=True)
    )
    size = (columns * form.cell, rows * form.cell)
    return GlyphScene(size=size, ground=ground, layout="cells", glyphs=glyphs)


def in_cell(rng: Random, ease: float, name: str, cell: int, row: int, column: int) -> Glyph:
    """A glyph in a cell of `cell` pixels a side: with probability `ease` it fills the cell, and independently is centred."""
    full = cell - 2
    side = full if rng.random() < ease else rng.choice(_sides("train", full * 3 // 4, full))
    middle = rng.random() < ease
    x, y = (room // 2 if middle else rng.randint(0, room) for room in (cell - e for e in raster(name, side).size))
    return Glyph(name=name, side=side, x=column * cell + x, y=row * cell + y)


@lru_cache(maxsize=1024)
def _sides(split: str, low: int, high: int) -> tuple[int, ...]:
    """The sides of a split from low to high, or its two smallest if it has none in that range."""
    return tuple(side for side in SIDES[split] if low <= side <= high) or SIDES[split][:2]


def _arranged(rng: Random, split: str, names: list[str], ground: Ground, form: Form) -> GlyphScene:
    """Choose sizes and places until the glyphs fit; after every failure the largest side shrinks by a tenth."""
    low, high = form.sides
    tokens = form.tokens
    if split == "train":
        scale = rng.choice((1, rng.uniform(1, LARGEST), rng.uniform(1, LARGEST)))
        low, high, tokens = 16, int(high * scale), (tokens[0], min(MOST_TOKENS, int(tokens[1] * scale)))
    while True:
        size = image_size(rng, *tokens)
        sides = _sides(split, low, min(high, min(size) - 2 * GAP))
        wanted = [(name, rng.choice(sides)) for name in names]
        layout = rng.choice(LAYOUTS[split])
        glyphs = _try_layout(rng, layout, size, wanted)
        if glyphs is not None:
            return GlyphScene(size=size, ground=ground, layout=layout, glyphs=glyphs)
        high = max(low, high * 9 // 10)


def _try_layout(rng: Random, layout: str, size: Size, wanted: list[tuple[str, int]]) -> tuple[Glyph, ...] | None:
    """The glyphs (name, side) at spots of the layout, in random order and with gaps, or None if they do not fit."""
    rasters = [raster(name, side).size for name, side in wanted]
    pitch = max(map(max, rasters)) + GAP
    spots = _Spots(rng, (size[0] - pitch, size[1] - pitch), len(wanted), pitch)
    makers = {"free": spots.free, "row": spots.row, "grid": spots.grid, "rim": spots.rim, "ring": spots.ring}
    spot = makers[layout]()
    placed: list[Glyph] = []
    boxes: list[Box] = []
    numbers = rng.sample(range(len(wanted)), len(wanted))
    for (name, side), (width, height), number in zip(wanted, rasters, numbers, strict=True):
        for _ in range(20):
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
"""Number of a glyph to the upper left corner of its field; chance gives another corner at every call."""


@dataclass(frozen=True, slots=True)
class _Spots:
    """The layouts: each method chooses an arrangement and returns its spots."""

    rng: Random
    room: Size
    """Pixels over which the corners of fields can move."""
    count: int
    """Number of glyphs."""
    pitch: int
    """Side of a field in pixels."""

    def free(self) -> Spot:
        """Anywhere."""
        return lambda number: (self.rng.uniform(0, self.room[0]), self.rng.uniform(0, self.room[1]))

    def _steps(self, axis: int, count: int) -> tuple[float, float]:
        """Start and distance of spots along an axis, at least a pitch apart if there is room for that."""
        widest = self.room[axis] / max(1, count - 1)
        step = self.rng.uniform(min(self.pitch, widest), widest)
        return self.rng.uniform(0, self.room[axis] - step * (count - 1)), step

    def row(self) -> Spot:
        """In a horizontal row, a little up and down."""
        left, step = self._steps(0, self.count)
        top = self.rng.uniform(0, self.room[1])

        def spot(number: int) -> tuple[float, float]:
            y = top + self.rng.uniform(-0.3, 0.3) * self.pitch
            return left + step * number, min(self.room[1], max(0, y))

        return spot

    def grid(self) -> Spot:
        """In some of the cells of a grid of as many cells as there is room for."""
        columns, rows = (1 + extent // self.pitch for extent in self.room)
        (left, across), (top, down) = self._steps(0, columns), self._steps(1, rows)
        cells = self.rng.sample(range(columns * rows), min(self.count, columns * rows))

        def spot(number: int) -> tuple[float, float]:
            row, column = divmod(cells[number % len(cells)], columns)
            return left + across * column, top + down * row

        return spot

    def rim(self) -> Spot:
        """Along the edge of the image, clockwise, at nearly equal distances."""
        width, height = self.room
        start, length = self.rng.random(), 2 * (width + height)

        def spot(number: int) -> tuple[float, float]:
            along = (start + (number + self.rng.uniform(-0.2, 0.2)) / self.count) % 1 * length
            if along < width:
                return along, 0
            if along < width + height:
                return width, along - width
            if along < 2 * width + height:
                return 2 * width + height - along, height
            return 0, length - along

        return spot

    def ring(self) -> Spot:
        """Around the middle of the image, at nearly equal distances."""
        start, reach = self.rng.random(), self.rng.uniform(0.8, 1)

        def spot(number: int) -> tuple[float, float]:
            angle = 2 * pi * (start + (number + self.rng.uniform(-0.15, 0.15)) / self.count)
            return self.room[0] / 2 * (1 + reach * cos(angle)), self.room[1] / 2 * (1 + reach * sin(angle))

        return spot


def render(rng: Random, scene: GlyphScene) -> Image.Image:
    """The image of a scene; `rng` is used for noise only."""
    image = paint(scene.ground, scene.size)
    for glyph in scene.glyphs:
        pixels = raster(glyph.name, glyph.side)
        image.paste(pixels, (glyph.x, glyph.y), pixels)
    return palette.noisy(rng, image, scene.ground.noise) if scene.ground.noise else image
