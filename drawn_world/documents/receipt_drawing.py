"""Receipts on paper: the layouts of every split and how they are drawn. What stands on them is the business of receipts."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image

from drawn_world.typesetting import COLUMN, COLUMNS, MAX_SIDE, Sheet, TextStyle, fit_texts, whole_tokens
from qwen2vl.spec.config import FACTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Layouts:
    """What the receipts of a split may look like; the first of each is the easy one."""

    orders: tuple[tuple[str, ...], ...]
    """Of the parts, from the top."""
    columns: tuple[str, ...]
    """Where prices stand: at the right edge, in a column, behind a row of dots, behind a colon, behind a gap."""
    rules: tuple[str, ...]
    """What sets the goods off."""
    money: tuple[str, ...]
    dates: tuple[str, ...]
    totals: tuple[str, ...]
    """The word for it."""


LAYOUTS: dict[str, Layouts] = {
    "train": Layouts(
        orders=(
            ("shop", "goods", "total", "date"),
            ("shop", "date", "goods", "total"),
            ("date", "shop", "goods", "total"),
        ),
        columns=("right", "column", "dots"),
        rules=("blank", "line", "dashes"),
        money=("{}", "${}", "{} EUR"),
        dates=("{day}.{month}", "{day}/{month}", "{day} {name}"),
        totals=("Total", "TOTAL"),
    ),
    "val": Layouts(
        orders=(("shop", "goods", "date", "total"),),
        columns=("colon",),
        rules=("double",),
        money=("EUR {}",),
        dates=("{day}-{month}",),
        totals=("total",),
    ),
    "test": Layouts(
        orders=(("date", "goods", "total", "shop"),),
        columns=("gap",),
        rules=("stars",),
        money=("{} USD",),
        dates=("{name} {day}",),
        totals=("Total:",),
    ),
}
DASHES = {"line": (1, 0, 1), "dashes": (1, 4, 1), "double": (1, 0, 2), "stars": (3, 5, 1)}
"""Thickness in pixels, gap, how many."""
RULE_ROOM = 8
Drawn = tuple[Image.Image, dict[str, Any]]  # image, and how it was made


@dataclass(frozen=True, slots=True)
class Row:
    """One line."""

    part: str
    """Of the receipt."""
    left: str
    right: str = ""

    @property
    def text(self) -> str:
        """As it is read."""
        return f"{self.left} {self.right}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One choice out of the layouts of a split."""

    order: tuple[str, ...]
    column: str
    rule: str
    money: str
    date: str
    total: str


def choose_layout(rng: Random, split: str, ease: float) -> Layout:
    """One choice of everything; at ease 1 the first of each, and bare prices."""

    def choice(options: tuple[Any, ...]) -> Any:
        return options[0] if rng.random() < ease else rng.choice(options)

    known = LAYOUTS[split]
    return Layout(
        order=choice(known.orders),
        column=choice(known.columns),
        rule=choice(known.rules),
        money="{}" if ease == 1 else choice(known.money),
        date=choice(known.dates),
        total=choice(known.totals),
    )


def draw_in_columns(rng: Random, style: TextStyle, rows: Sequence[Row]) -> Drawn:
    """Every row in 28 pixels of its own, prices at the right edge."""
    sheet = Sheet(rng, style, (COLUMNS * COLUMN, FACTOR * len(rows)))
    for index, row in enumerate(rows):
        sheet.write(FACTOR, row.left, (0, index * FACTOR))
        if row.right:
            sheet.write(FACTOR, row.right, ((COLUMNS - len(row.right)) * COLUMN, index * FACTOR))
    return sheet.finish(rng, FACTOR)


def draw_freely(rng: Random, style: TextStyle, layout: Layout, rows: Sequence[Row], ease: float) -> Drawn:
    """One size that fits the longest row; the shop a little larger; rules above and below the goods."""
    margin = 6 if rng.random() < ease else rng.randint(3, 10)
    step = 24 if rng.random() < ease else rng.randint(18, 28)
    step = min(step, (MAX_SIDE - 2 * margin - 2 * RULE_ROOM) // len(rows))
    width = 6 * FACTOR if rng.random() < ease else rng.randint(5, 7) * FACTOR
    texts = [f"{row.left}   {row.right}".strip() for row in rows]
    room = step - (5 if "$" in layout.money else 2)  # the sign stands out above and below
    width, size = fit_texts(style, texts, width, margin, min(room, 24))
    gap = 16 if rng.random() < ease else rng.randint(10, 22)
    column_x = margin + gap + max(style.face.ink_size(size, row.left)[0] for row in rows if row.right)
    height = whole_tokens(step * len(rows) + 2 * margin + 2 * RULE_ROOM)
    sheet = Sheet(rng, style, (width, min(MAX_SIDE, height)))
    centred, y = rng.random() < ease or rng.random() < 0.5, margin
    for before, row in zip((None, *rows), rows, strict=False):
        if before is not None and (row.part == "goods") != (before.part == "goods"):
            y = _rule(sheet, layout.rule, margin, y)
        if row.part == "shop":
            _heading(sheet, size, row.left, (margin, y), step, centred)
        else:
            _row(sheet, layout.column, size, row, (margin, y), column_x)
        y += step
    return sheet.finish(rng, size)


def _heading(sheet: Sheet, size: int, text: str, corner: tuple[int, int], step: int, centred: bool) -> None:
    width = sheet.image.width - 2 * corner[0]
    size = max(size, sheet.style.face.fit_size(text, width, min(step - 1, size * 3 // 2)))
    indent = (width - sheet.style.face.ink_size(size, text)[0]) // 2 if centred else 0
    sheet.write(size, text, (corner[0] + indent, corner[1]))


def _row(sheet: Sheet, column: str, size: int, row: Row, corner: tuple[int, int], column_x: int) -> None:
    margin, y = corner
    end = sheet.write(size, row.left, corner)[2]
    if not row.right:
        return
    across, high = sheet.style.face.ink_size(size, row.right)
    edge = sheet.image.width - margin - across
    x = min(edge, {"column": column_x, "colon": end + size // 2, "gap": end + size}.get(column, edge))
    if column == "dots" and x - end > 16:
        sheet.rule((end + 4, y + high * 3 // 4, x - 4, y + high * 3 // 4 + 1), gap=3)
    sheet.write(size, row.right, (x, y))


def _rule(sheet: Sheet, kind: str, margin: int, y: int) -> int:
    """Draws what sets the goods off; returns where the next row begins."""
    if kind != "blank":
        thick, gap, count = DASHES[kind]
        for index in range(count):
            top = y + 1 + 3 * index
            sheet.rule((margin, top, sheet.image.width - margin, top + thick), gap)
    return y + RULE_ROOM
