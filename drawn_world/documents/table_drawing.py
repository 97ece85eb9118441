"""Tables on paper: lines, shades and cells. What stands in them is the business of tables."""

from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image

from drawn_world.palette import Rgb
from drawn_world.typesetting import COLUMN, COLUMNS, MAX_SIDE, Sheet, TextStyle, choose_size, whole_tokens
from qwen2vl.spec.config import FACTOR

RULES = {"train": ("grid", "header", "stripes"), "val": ("rows",), "test": ("band",)}
"""What sets cells apart: all lines, one under the header, shaded rows, lines between rows, the header on ink."""
SIDES = {"train": ("left", "centre"), "val": ("centre",), "test": ("right",)}
"""How cells stand in their columns."""
Cells = list[list[str]]
Drawn = tuple[Image.Image, dict[str, Any]]  # image, and how it was made


def draw_in_columns(rng: Random, style: TextStyle, cells: Cells) -> Drawn:
    """Two columns of six letters each, every row in 28 pixels of its own."""
    sheet = Sheet(rng, style, (COLUMNS * COLUMN, FACTOR * len(cells)))
    for y, row in enumerate(cells):
        for x, text in enumerate(row):
            sheet.write(FACTOR, text, (x * COLUMNS // 2 * COLUMN, y * FACTOR))
    return sheet.finish(rng, FACTOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where the cells of a table lie, in pixels."""

    size: int
    """Of the letters."""
    xs: tuple[int, ...]
    """Left edges of the columns, and the right edge of the last."""
    ys: tuple[int, ...]
    """Top edges of the rows, and the bottom edge of the last."""


def draw_freely(rng: Random, style: TextStyle, cells: Cells, rules: str, side: str, ease: float) -> Drawn:
    """Columns as wide as their longest cell and a margin, on an image of whole visual tokens."""
    pad = 6 if rng.random() < ease else rng.randint(3, 9)
    size = 16 if rng.random() < ease else choose_size(rng, 13, 20)
    widths = _widths(style, size, cells, pad)
    while sum(widths) > MAX_SIDE - 6 and size > 8:
        size, pad = size - 1, max(3, pad - 1)
        widths = _widths(style, size, cells, pad)
    top, bottom = style.face.line_edges(size)
    step = FACTOR if rng.random() < ease else bottom - top + rng.randint(4, 12)
    step = min(step, (MAX_SIDE - 6) // len(cells))
    low = sum(widths) + 6, step * len(cells) + 6
    sides = [6 * FACTOR if rng.random() < ease and low[0] <= 6 * FACTOR else whole_tokens(low[0]), whole_tokens(low[1])]
    sheet = Sheet(rng, style, (min(MAX_SIDE, sides[0]), sides[1]))
    x, y = (2 + (0 if rng.random() < ease else rng.randint(0, sheet.image.size[i] - low[i] + 2)) for i in range(2))
    xs = tuple(x + sum(widths[:index]) for index in range(len(widths) + 1))
    ys = tuple(y + step * index for index in range(len(cells) + 1))
    _write(sheet, Geometry(size=size, xs=xs, ys=ys), cells, rules, side, pad)
    return sheet.finish(rng, size)


def _widths(style: TextStyle, size: int, cells: Cells, pad: int) -> list[int]:
    columns = zip(*cells, strict=True)
    return [max(style.face.ink_size(size, text)[0] for text in column) + 2 * pad for column in columns]


def _write(sheet: Sheet, at: Geometry, cells: Cells, rules: str, side: str, pad: int) -> None:
    _shade(sheet, at, rules)
    _rule(sheet, at, rules)
    for row, texts in enumerate(cells):
        ink = sheet.style.paper if rules == "band" and row == 0 else None
        for column, text in enumerate(texts):
            left, right = at.xs[column], at.xs[column + 1]
            across, high = sheet.style.face.ink_size(at.size, text)
            spare = right - left - across
            x = left + {"left": pad, "centre": spare // 2, "right": spare - pad}[side]
            y = at.ys[row] + (at.ys[row + 1] - at.ys[row] - high) // 2
            sheet.write(at.size, text, (x, y), ink)


def _shade(sheet: Sheet, at: Geometry, rules: str) -> None:
    rows = {"stripes": range(0, len(at.ys) - 1, 2), "band": range(1)}.get(rules, range(0))
    fill = sheet.style.ink if rules == "band" else _mixed(sheet.style.paper, sheet.style.ink)
    for row in rows:
        sheet.pen.rectangle((at.xs[0], at.ys[row], at.xs[-1] - 1, at.ys[row + 1] - 1), fill=fill)


def _mixed(paper: Rgb, ink: Rgb) -> Rgb:
    """Paper with an eighth of ink."""
    red, green, blue = ((7 * a + b) // 8 for a, b in zip(paper, ink, strict=True))
    return red, green, blue


def _rule(sheet: Sheet, at: Geometry, rules: str) -> None:
    rows = {"grid": at.ys, "rows": at.ys, "header": at.ys[1:2]}.get(rules, ())
    for y in rows:
        sheet.rule((at.xs[0], y, at.xs[-1] + 1, y + 1))
    for x in at.xs if rules == "grid" else ():
        sheet.rule((x, at.ys[0], x + 1, at.ys[-1]))
