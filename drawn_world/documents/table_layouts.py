"""How tables are laid out and drawn: rules and shades, alignment of columns, header, caption, spacing.

Training layouts come from a procedure. Rules and alignments of val and test are in no training table: lines between all rows,
a header on ink, all columns flush right. Not here: what a table says and the questions about it (tables.py).
"""

from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Any

from PIL import Image

from drawn_world.documents.notations import HIGH, WIDE, another_face, faint, ink_size
from drawn_world.typesetting import MAX_SIDE, Sheet, TextStyle, choose_size, whole_tokens
from qwen2vl.spec.config import FACTOR

RULES = {
    "train": ("grid", "header", "stripes", "none", "columns", "frame", "tinted", "booktabs", "dotted", "grid_header"),
    "val": ("rows",),
    "test": ("band",),
}
"""What separates cells: all lines, a line under the header, shaded rows, nothing, lines between columns, a frame, a shaded
header, lines above, under the header and below, dots between rows, a shaded header in all lines; lines between rows; a header
on ink. The first of a split is the easy one."""
SIDES = {"train": ("left", "centre", "numbers", "mixed"), "val": ("centre",), "test": ("right",)}
"""Alignment of cells in their columns; "numbers" puts numbers flush right, "mixed" has one for every column."""


@dataclass(slots=True, kw_only=True)
class TableLayout:
    """How one table is drawn; lengths are in pixels."""

    cells: list[list[str]]
    rules: str
    """One of RULES."""
    sides: list[str]
    """Alignment of every column: left, centre or right."""
    head: TextStyle
    """Letters of the header; those of the sheet are for all other cells."""
    caption: str
    caption_below: bool
    size: int
    """Letter size."""
    pad: int
    """Space beside the text of a cell."""
    leading: int
    """Space above and below the text of a cell, together."""
    step: int = 0
    """Height of a row; 0 for letters and leading."""

    def widths(self, style: TextStyle) -> list[int]:
        """Widths of the columns, which the longest cell sets."""
        return [
            max(ink_size(self.head if row == 0 else style, self.size, text)[0] for row, text in enumerate(column))
            + 2 * self.pad
            for column in zip(*self.cells, strict=True)
        ]

    def row_height(self, style: TextStyle) -> int:
        """Height of a row."""
        return self.step or max(ink_size(each, self.size, "x")[1] for each in (style, self.head)) + self.leading

    def caption_height(self, style: TextStyle) -> int:
        """Height of the caption, 0 without one."""
        return ink_size(style, self.size, "x")[1] + 6 if self.caption else 0

    def need(self, style: TextStyle) -> tuple[int, int]:
        """Least width and height of the sheet."""
        wide = max(sum(self.widths(style)), ink_size(style, self.size, self.caption or "x")[0])
        return wide + 6, self.row_height(style) * len(self.cells) + self.caption_height(style) + 6

    def shrink(self) -> None:
        """Make everything one step smaller."""
        self.size, self.pad, self.leading = self.size - 1, max(3, self.pad - 1), max(2, self.leading - 1)
        self.step = max(0, self.step - 1)

    def draw(self, sheet: Sheet, left: int, top: int, stretch: int = 0) -> None:
        """Draw caption, shades, lines and texts, with the upper left corner at a pixel. stretch: added to every column."""
        style = sheet.style
        edges = [left + edge for edge in accumulate((0, *(width + stretch for width in self.widths(style))))]
        room, step = self.caption_height(style), self.row_height(style)
        if self.caption:
            y = top + step * len(self.cells) + 4 if self.caption_below else top
            sheet.write(self.size, self.caption, (left, y))
        top += 0 if self.caption_below else room
        ys = [top + step * row for row in range(len(self.cells) + 1)]
        self._draw_shades(sheet, edges, ys)
        self._draw_rules(sheet, edges, ys)
        for row, texts in enumerate(self.cells):
            for column, text in enumerate(texts):
                self._write_cell(sheet, (row, column), text, (edges[column], edges[column + 1], ys[row], ys[row + 1]))

    def _write_cell(self, sheet: Sheet, at: tuple[int, int], text: str, box: tuple[int, int, int, int]) -> None:
        """Write one cell into its box, which is left, right, top, bottom."""
        style = self.head if at[0] == 0 else sheet.style
        across, high = ink_size(style, self.size, text)
        spare = box[1] - box[0] - across
        x = box[0] + {"left": self.pad, "centre": spare // 2, "right": spare - self.pad}[self.sides[at[1]]]
        ink = sheet.style.paper if self.rules == "band" and at[0] == 0 else None
        sheet.write(self.size, text, (x, box[2] + (box[3] - box[2] - high) // 2), ink, style)

    def _draw_shades(self, sheet: Sheet, xs: list[int], ys: list[int]) -> None:
        shaded = {"stripes": range(0, len(ys) - 1, 2), "band": range(1), "tinted": range(1), "grid_header": range(1)}
        for row in shaded.get(self.rules, ()):
            box = (xs[0], ys[row], xs[-1] - 1, ys[row + 1] - 1)
            sheet.pen.rectangle(box, fill=sheet.style.ink if self.rules == "band" else faint(sheet.style))

    def _draw_rules(self, sheet: Sheet, xs: list[int], ys: list[int]) -> None:
        rules = self.rules
        across = {"grid": ys, "grid_header": ys, "rows": ys, "header": ys[1:2], "frame": (ys[0], ys[1], ys[-1])}
        across |= {"booktabs": (ys[0], ys[1], ys[-1]), "dotted": ys[1:-1]}
        for y in across.get(rules, ()):
            sheet.rule((xs[0], y, xs[-1] + 1, y + 1), gap=3 if rules == "dotted" else 0)
        down = {"grid": xs, "grid_header": xs, "columns": xs[1:-1], "frame": (xs[0], xs[-1])}
        for x in down.get(rules, ()):
            sheet.rule((x, ys[0], x + 1, ys[-1]))


def sample_sides(rng: Random, split: str, ease: float, cells: list[list[str]]) -> tuple[str, list[str]]:
    """A name of SIDES, and the alignment of every column; training never has all columns flush right."""
    side = SIDES[split][0] if rng.random() < ease else rng.choice(SIDES[split])
    columns = list(zip(*cells[1:], strict=True))
    if side == "numbers":
        numeric = [all(text[0].isdigit() for text in column) for column in columns]
        return side, ["right" if each else "left" for each in numeric]
    if side == "mixed":
        return side, ["left", *(rng.choice(("left", "centre", "right")) for _ in columns[1:])]
    return side, [side] * len(columns)


def draw_table(
    rng: Random, style: TextStyle, cells: list[list[str]], caption: str, split: str, ease: float
) -> tuple[Image.Image, dict[str, Any]]:
    """The image of a table, and a description of how it was made."""
    easy_size = rng.random() < ease
    side, sides = sample_sides(rng, split, ease, cells)
    layout = TableLayout(
        cells=cells,
        rules=RULES[split][0] if rng.random() < ease else rng.choice(RULES[split]),
        sides=sides,
        head=another_face(rng, style, split, 0.5 * (1 - ease) if split == "train" else 0),
        caption=caption,
        caption_below=rng.random() < 0.3,
        size=16 if easy_size else choose_size(rng, 10 if split == "train" else 13, 20),
        pad=6 if rng.random() < ease else rng.randint(3, 14 if split == "train" else 9),
        leading=rng.randint(3, 16),
        step=FACTOR if rng.random() < ease else 0,
    )
    limit = (WIDE, HIGH) if split == "train" else (MAX_SIDE, MAX_SIDE)
    while layout.size > 8 and any(a > b for a, b in zip(layout.need(style), limit, strict=True)):
        layout.shrink()
    need = layout.need(style)
    easy = 6 * FACTOR if rng.random() < ease and need[0] <= 6 * FACTOR else 0
    more = [0 if rng.random() < ease + 0.3 else rng.randint(0, 40) for _ in range(2)]
    size = [min(most, whole_tokens(a + extra)) for a, extra, most in zip(need, more, limit, strict=True)]
    sheet = Sheet(rng, style, (max(size[0], easy), size[1]))
    spare = [max(0, a - b) for a, b in zip(sheet.image.size, need, strict=True)]
    stretch = spare[0] // len(cells[0]) if split == "train" and rng.random() >= ease and rng.random() < 0.4 else 0
    spare[0] -= stretch * len(cells[0])
    x, y = (2 + (0 if rng.random() < ease else rng.randint(0, each)) for each in spare)
    layout.draw(sheet, x, y, stretch)
    image, made = sheet.finish(rng, layout.size)
    return image, {"ruled": layout.rules, "side": side, **made}
