"""How receipts are laid out and drawn: order of the parts, place of the prices, rules, letters, notations, spacing.

Training layouts come from a procedure. Val and test have one layout each, whose order, place of prices, rule and notations
no training receipt has. Not here: what a receipt says and the questions about it (receipts.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, starmap
from random import Random
from typing import Any

from PIL import Image

from drawn_world.documents.notations import (
    HIGH,
    WIDE,
    Date,
    Money,
    another_face,
    faint,
    ink_size,
    sample_date_form,
    sample_money,
)
from drawn_world.typesetting import MAX_SIDE, Sheet, TextStyle, choose_size, whole_tokens
from drawn_world.wording import LABELS

ORDERS = {"val": ("shop", "goods", "date", "total"), "test": ("date", "goods", "total", "shop")}
"""Order of the main parts that only this split has."""
COLUMNS_OF = {
    "train": ("right", "column", "dots", "inner", "first", "below"),
    "val": ("colon",),
    "test": ("gap",),
}
"""Place of the prices: at the right edge, in a column flush left, after dots, in a column flush right, before the name, on a
line of their own, after a colon, after a gap. The first of a split is the easy one."""
RULES = {
    "train": ("blank", "line", "dashes", "dots", "thick", "long", "hyphens", "frame", "shade", "stripes"),
    "val": ("double",),
    "test": ("stars",),
}
"""What separates the goods from the other parts; the first of a split is the easy one."""
STROKES = {
    "line": (1, 0, 1),
    "dashes": (1, 4, 1),
    "dots": (1, 2, 1),
    "thick": (2, 0, 1),
    "long": (1, 9, 1),
    "double": (1, 0, 2),
    "stars": (3, 5, 1),
}
"""Rule to its thickness, the gaps in it (0 for none) and the number of lines."""
TOTALS = {
    "train": ("Total", "TOTAL", "Sum", "SUM", "Amount", "To pay", "Balance", "Sum:", "Amount due", "Grand total"),
    "val": ("total",),
    "test": ("Total:",),
}
"""The word for the total."""
EXTRAS = ("address", "number", "phone", "time", "thanks")
"""Parts that a training receipt may have besides the main ones."""
RULE_ROOM = 8
"""Pixels for what separates two parts."""


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """One entry of a receipt."""

    part: str
    """The part of the receipt, such as shop, goods or total."""
    left: str
    right: str = ""
    count: str = ""
    """How many of the goods, as written before the name."""

    @property
    def name(self) -> str:
        """The left text with the count before it."""
        return f"{self.count} {self.left}".strip()


@dataclass(frozen=True, slots=True)
class Lettering:
    """Letters of one part."""

    style: TextStyle
    scale: float = 1.0
    """Letter size as a multiple of that of the goods."""
    align: str = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptLayout:
    """How one receipt is laid out and drawn."""

    order: tuple[str, ...]
    """The parts, from the top."""
    column: str
    """Place of the prices."""
    rule: str
    money: Money
    write_date: Callable[[Date], str] = field(repr=False)
    total: str
    """The word for the total."""
    breaks: str = "goods"
    """Where rules are: around the goods, above the total, between all parts, or between all entries."""

    @classmethod
    def sample(cls, rng: Random, split: str, ease: float) -> "ReceiptLayout":
        """A layout of the split. Ease 1 gives the first value of every field, and prices without a currency."""

        def choose(options: Sequence[Any]) -> Any:
            return options[0] if rng.random() < ease else rng.choice(options)

        rare = {
            "val": (Money("EUR {}"), lambda date: f"{date[0]}-{date[1]}"),
            "test": (Money("{} USD"), lambda date: f"{LABELS['month'][date[1] - 1]} {date[0]}"),
        }
        money, write_date = rare.get(split) or (sample_money(rng), sample_date_form(rng))
        easy = rng.random() < ease
        return cls(
            order=ORDERS.get(split) or (("shop", "goods", "total", "date") if easy else sample_order(rng, ease)),
            column=choose(COLUMNS_OF[split]),
            rule=choose(RULES[split]),
            money=Money() if ease == 1 else money,
            write_date=(lambda date: f"{date[0]}.{date[1]}") if easy and split == "train" else write_date,
            total=choose(TOTALS[split]),
            breaks="goods" if split != "train" else choose(("goods", "goods", "total", "all", "rows")),
        )

    def lines(self, row: ReceiptRow) -> list[str]:
        """One entry as it is read: one line, or two where the price is below the name."""
        if self.column == "first" and row.right:
            return [f"{row.right} {row.name}"]
        if self.column == "below" and row.part == "goods":
            return [row.name, row.right]
        return [f"{row.name} {row.right}".strip()]

    def is_break(self, before: str, part: str) -> bool:
        """Whether a rule is between entries of these two parts."""
        if self.breaks in ("all", "rows"):
            return before != part or self.breaks == "rows"
        if self.breaks == "total":
            return part in ("subtotal", "total") and before == "goods"
        return (part == "goods") != (before == "goods")


def sample_order(rng: Random, ease: float) -> tuple[str, ...]:
    """Parts of a training receipt from the top, never in the order of another split.

    The shop is mostly first, the total mostly after the goods. Each of EXTRAS is there with probability 0.3 at ease 0.
    """
    while True:
        more = [part for part in EXTRAS if rng.random() < 0.3 * (1 - ease)]
        head, tail = list[str](), ["total"]
        for part in ("shop", "date", *more):
            at_top = rng.random() < {"shop": 0.85, "date": 0.6, "address": 0.85, "thanks": 0.05}.get(part, 0.6)
            (head if at_top else tail).append(part)
        rng.shuffle(head)
        rng.shuffle(tail)
        if "shop" in head and rng.random() < 0.7:
            head.remove("shop")
            head.insert(0, "shop")
        order = (*head, "goods", *tail)
        if rng.random() < 0.04:
            order = (*head, "total", "goods", *(part for part in tail if part != "total"))
        if tuple(part for part in order if part in ORDERS["val"]) not in ORDERS.values():
            return order


def letterings(rng: Random, style: TextStyle, split: str, ease: float) -> dict[str, Lettering]:
    """Letters of the shop, the other parts, the goods and the total; with probability `ease` all but the shop are alike."""
    plain = Lettering(style)
    sides = ("left", "centre", "right") if split == "train" else ("left", "centre")
    shop_side = "centre" if rng.random() < ease or rng.random() < 0.5 else rng.choice(sides)
    made = {"shop": Lettering(another_face(rng, style, split, 0.5), rng.choice((1, 1.2, 1.4, 1.7)), shop_side)}
    if rng.random() < ease or split != "train":
        return made | {"goods": plain, "total": plain, "other": plain}
    other = Lettering(another_face(rng, style, split, 0.15), rng.choice((0.85, 1, 1, 1)), rng.choice(sides))
    total = Lettering(another_face(rng, style, split, 0.5), rng.choice((1, 1, 1, 1.2, 1.4)))
    return made | {"goods": plain, "total": total, "other": other}


def draw_receipt(
    rng: Random, layout: ReceiptLayout, style: TextStyle, rows: Sequence[ReceiptRow], split: str, ease: float
) -> tuple[Image.Image, dict[str, Any]]:
    """The image, and a description of how it was made. The goods' letter size shrinks until all fits the largest sheet."""
    made = letterings(rng, style, split, ease)
    by_row = [made.get({"subtotal": "goods"}.get(row.part, row.part), made["other"]) for row in rows]
    spare = 1.0 if rng.random() < ease else rng.uniform(1.0, 1.45)
    draft = ReceiptDraft(
        layout=layout,
        rows=list(zip(rows, by_row, strict=True)),
        size=16 if rng.random() < ease else choose_size(rng, 11, 22),
        margin=6 if rng.random() < ease else rng.randint(3, 16),
        gap=16 if rng.random() < ease else rng.randint(10, 40),
        leading=6 if rng.random() < ease else rng.randint(3, 12),
        indent=0 if rng.random() < ease or split != "train" else rng.choice((0, 0, 0, 6, 14)),
    )
    wide, high = (WIDE, HIGH) if split == "train" else (MAX_SIDE, MAX_SIDE)
    while (draft.width() > wide or draft.height() > high) and draft.size > 8:
        ratio = min(wide / draft.width(), high / draft.height())
        draft.size = max(8, min(draft.size - 1, round(draft.size * ratio)))
        draft.gap = max(8, draft.gap - 2)
        draft.leading = max(2, draft.leading - 1)
        draft.margin = max(2, draft.margin - 1)
        draft.indent = max(0, draft.indent - 4)
    width = min(wide, whole_tokens(round(max(draft.width() * spare, 84))))
    sheet = Sheet(rng, style, (width, min(high, whole_tokens(draft.height()))))
    draft.draw(sheet)
    return sheet.finish(rng, draft.size)


@dataclass(slots=True, kw_only=True)
class ReceiptDraft:
    """A receipt whose sizes are still open; lengths are in pixels."""

    layout: ReceiptLayout
    rows: list[tuple[ReceiptRow, Lettering]]
    size: int
    """Letter size of the goods."""
    margin: int
    gap: int
    """Least space between a name and its price."""
    leading: int
    """Space below every line."""
    indent: int
    """Space before the names of goods."""

    def ink(self, lettering: Lettering, text: str) -> tuple[int, int]:
        """Width and height of a text."""
        return ink_size(lettering.style, self.letter(lettering), text)

    def letter(self, lettering: Lettering) -> int:
        """Letter size of a part."""
        return max(8, round(self.size * lettering.scale))

    def widest(self, side: str) -> int:
        """Width of the widest name or price of the rows with prices."""
        inks = [
            (self.ink(lettering, row.name)[0] + self.indented(row), self.ink(lettering, row.right)[0])
            for row, lettering in self.rows
            if row.right
        ]
        return max(ink[side == "right"] for ink in inks)

    def indented(self, row: ReceiptRow) -> int:
        """Space before the name of a row."""
        return self.indent if row.part == "goods" else 0

    def width(self) -> int:
        """Least width of the sheet."""
        alone = [self.ink(lettering, row.left)[0] for row, lettering in self.rows if not row.right]
        return max(*alone, self.widest("left") + self.gap + self.widest("right")) + 2 * self.margin + 2

    def step(self, row: ReceiptRow, lettering: Lettering) -> int:
        """Height of one line."""
        over = (
            self.size // 3 if set(row.right) & set("$\u20ac\u00a3") else 0
        )  # signs are higher and deeper than letters
        return self.ink(lettering, "x")[1] + over + self.leading

    def breaks(self) -> list[bool]:
        """Whether a rule is above each row."""
        parts = [row.part for row, _ in self.rows]
        return [False, *starmap(self.layout.is_break, pairwise(parts))]

    def height(self) -> int:
        """Height of the sheet."""
        steps = sum(self.step(row, each) * len(self.layout.lines(row)) for row, each in self.rows)
        return steps + RULE_ROOM * sum(self.breaks()) + 2 * self.margin

    def draw(self, sheet: Sheet) -> None:
        """Draw all rows from the top, then what separates them."""
        y, bounds = self.margin, []
        for number, ((row, lettering), is_break) in enumerate(zip(self.rows, self.breaks(), strict=True)):
            if is_break:
                bounds.append(y)
                y += RULE_ROOM
            if self.layout.rule == "stripes" and number % 2:
                bottom = y - 1 + self.step(row, lettering) * len(self.layout.lines(row))
                sheet.pen.rectangle(
                    (self.margin - 2, y - 1, sheet.image.width - self.margin + 1, bottom - 1), fill=faint(sheet.style)
                )
            y = self._write_row(sheet, row, lettering, y)
        self._separate(sheet, bounds)

    def _write_row(self, sheet: Sheet, row: ReceiptRow, lettering: Lettering, y: int) -> int:
        """Write one entry with its top at y; returns the top of the next."""
        size, style, margin = self.letter(lettering), lettering.style, self.margin
        inner = sheet.image.width - 2 * margin
        step = self.step(row, lettering)
        if not row.right:
            free = max(0, inner - self.ink(lettering, row.left)[0])
            x = margin + {"left": 0, "centre": free // 2, "right": free}[lettering.align]
            sheet.write(size, row.left, (x, y), style=style)
            return y + step
        x, price, prices = margin + self.indented(row), self.ink(lettering, row.right)[0], self.widest("right")
        edge = margin + inner - price
        if self.layout.column == "first":
            sheet.write(size, row.right, (margin, y), style=style)
            sheet.write(size, row.name, (margin + prices + self.gap, y), style=style)
            return y + step
        _, _, end, bottom = sheet.write(size, row.name, (x, y), style=style)
        if self.layout.column == "below" and row.part == "goods":
            y += step
        column = margin + self.widest("left") + self.gap
        places = {
            "column": column,
            "inner": column + prices - price,
            "colon": end + size // 2,
            "gap": end + size,
        }
        at = min(edge, places.get(self.layout.column, edge))
        if self.layout.column == "dots" and at - end > 16:
            sheet.rule((end + 4, bottom - 4, at - 4, bottom - 3), gap=3)
        sheet.write(size, row.right, (at, y), style=style)
        return y + step

    def _separate(self, sheet: Sheet, bounds: list[int]) -> None:
        """Draw what separates the parts, at the tops of the free strips between them."""
        rule, (width, height) = self.layout.rule, sheet.image.size
        if rule == "frame":
            sheet.frame((1, 1, width - 1, height - 1))
        for top in bounds:
            if rule in STROKES:
                thickness, gap, count = STROKES[rule]
                for y in range(top + 1, top + 1 + 3 * count, 3):
                    sheet.rule((self.margin, y, width - self.margin, y + thickness), gap)
            elif rule == "hyphens":  # as tills print them; not text to be read
                for x in range(self.margin, width - self.margin - 4, 7):
                    sheet.rule((x, top + 3, x + 4, top + 4))
            elif rule == "shade":
                sheet.pen.rectangle((self.margin, top + 1, width - self.margin, top + 4), fill=faint(sheet.style))
                sheet.rules.append((self.margin, top + 1, width - self.margin + 1, top + 5))
