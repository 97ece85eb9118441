"""Receipts: shop, date, goods with prices, total. Questions for one entry, dialogues, and reading the whole receipt.

Every split has its own order of the parts, place of the prices, rules, and forms of money and dates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image

from drawn_world.documents.lookups import DrawnDocument, Lookup, draw_in_columns, money, pick_cents, pick_goods
from drawn_world.item import Item
from drawn_world.task import Task
from drawn_world.typesetting import (
    COLUMNS,
    MAX_SIDE,
    Sheet,
    TextStyle,
    choose_form,
    choose_style,
    fit_texts,
    whole_tokens,
)
from drawn_world.wording import LABELS, ask
from drawn_world.words import pick_word
from qwen2vl.spec.config import FACTOR

LAYOUTS: dict[str, dict[str, tuple[Any, ...]]] = {
    "train": {
        "order": (
            ("shop", "goods", "total", "date"),
            ("shop", "date", "goods", "total"),
            ("date", "shop", "goods", "total"),
        ),
        "column": ("right", "column", "dots"),
        "rule": ("blank", "line", "dashes"),
        "money": ("{}", "${}", "{} EUR"),
        "date": ("{day}.{month}", "{day}/{month}", "{day} {name}"),
        "total": ("Total", "TOTAL"),
    },
    "val": {
        "order": (("shop", "goods", "date", "total"),),
        "column": ("colon",),
        "rule": ("double",),
        "money": ("EUR {}",),
        "date": ("{day}-{month}",),
        "total": ("total",),
    },
    "test": {
        "order": (("date", "goods", "total", "shop"),),
        "column": ("gap",),
        "rule": ("stars",),
        "money": ("{} USD",),
        "date": ("{name} {day}",),
        "total": ("Total:",),
    },
}
"""Values that each field of a `ReceiptLayout` can have in a split; the first is the easy one."""
RULE_ROOM = 8
"""Pixels above and below the goods for what separates them."""


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """One line of a receipt."""

    part: str
    """The part of the receipt: shop, date, goods or total."""
    left: str
    right: str = ""

    @property
    def text(self) -> str:
        """The line as it is read."""
        return f"{self.left} {self.right}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptLayout:
    """How one receipt is laid out and drawn."""

    order: tuple[str, ...]
    """The parts, from the top."""
    column: str
    """Place of the prices: at the right edge, in a column, after a row of dots, after a colon or after a gap."""
    rule: str
    """What separates the goods from the other parts."""
    money: str
    date: str
    total: str
    """The word for the total."""

    @classmethod
    def sample(cls, rng: Random, split: str, ease: float) -> "ReceiptLayout":
        """A layout of the split. Ease 1 gives the first value of every field, and prices without a currency."""

        def choose(field: str) -> Any:
            options = LAYOUTS[split][field]
            return options[0] if rng.random() < ease else rng.choice(options)

        return cls(
            order=choose("order"),
            column=choose("column"),
            rule=choose("rule"),
            money="{}" if ease == 1 else choose("money"),
            date=choose("date"),
            total=choose("total"),
        )

    def rows(self, shop: str, date: str, goods: Sequence[tuple[str, int]]) -> list[ReceiptRow]:
        """All lines, from the top. goods: names and cents."""
        end = ":" if self.column == "colon" else ""
        total = sum(cents for _, cents in goods)
        parts = {
            "shop": [ReceiptRow("shop", shop)],
            "date": [ReceiptRow("date", date)],
            "goods": [ReceiptRow("goods", name + end, self.money.format(money(cents))) for name, cents in goods],
            "total": [ReceiptRow("total", self.total + end, self.money.format(money(total)))],
        }
        return [row for part in self.order for row in parts[part]]

    def draw(
        self, rng: Random, style: TextStyle, rows: Sequence[ReceiptRow], ease: float
    ) -> tuple[Image.Image, dict[str, Any]]:
        """The image, and a description of how it was made. One letter size fits the longest row; the shop may be larger."""
        margin = 6 if rng.random() < ease else rng.randint(3, 10)
        step = 24 if rng.random() < ease else rng.randint(18, 28)
        step = min(step, (MAX_SIDE - 2 * margin - 2 * RULE_ROOM) // len(rows))
        width = 6 * FACTOR if rng.random() < ease else rng.randint(5, 7) * FACTOR
        texts = [f"{row.left}   {row.right}".strip() for row in rows]
        room = step - (5 if "$" in self.money else 2)  # the dollar sign is higher and deeper than letters
        width, size = fit_texts(style, texts, width, margin, min(room, 24))
        gap = 16 if rng.random() < ease else rng.randint(10, 22)
        column_x = margin + gap + max(style.face.ink_size(size, row.left)[0] for row in rows if row.right)
        height = whole_tokens(step * len(rows) + 2 * margin + 2 * RULE_ROOM)
        sheet = Sheet(rng, style, (width, min(MAX_SIDE, height)))
        centred, y = rng.random() < ease or rng.random() < 0.5, margin
        for before, row in zip((None, *rows), rows, strict=False):
            if before is not None and (row.part == "goods") != (before.part == "goods"):
                self._separate(sheet, margin, y)
                y += RULE_ROOM
            if row.part == "shop":
                across = width - 2 * margin
                large = max(size, style.face.fit_size(row.left, across, min(step - 1, size * 3 // 2)))
                indent = (across - style.face.ink_size(large, row.left)[0]) // 2 if centred else 0
                sheet.write(large, row.left, (margin + indent, y))
            else:
                self._write_row(sheet, size, row, (margin, y), column_x)
            y += step
        return sheet.finish(rng, size)

    def _write_row(self, sheet: Sheet, size: int, row: ReceiptRow, corner: tuple[int, int], column_x: int) -> None:
        margin, y = corner
        end = sheet.write(size, row.left, corner)[2]
        if not row.right:
            return
        across, high = sheet.style.face.ink_size(size, row.right)
        edge = sheet.image.width - margin - across
        x = min(edge, {"column": column_x, "colon": end + size // 2, "gap": end + size}.get(self.column, edge))
        if self.column == "dots" and x - end > 16:
            sheet.rule((end + 4, y + high * 3 // 4, x - 4, y + high * 3 // 4 + 1), gap=3)
        sheet.write(size, row.right, (x, y))

    def _separate(self, sheet: Sheet, margin: int, y: int) -> None:
        """Draw what separates the goods from the other parts."""
        if self.rule != "blank":
            lines = {"line": (1, 0, 1), "dashes": (1, 4, 1), "double": (1, 0, 2), "stars": (3, 5, 1)}
            thickness, gap, count = lines[self.rule]
            for top in range(y + 1, y + 1 + 3 * count, 3):
                sheet.rule((margin, top, sheet.image.width - margin, top + thickness), gap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(DrawnDocument):
    """A drawn receipt and its entries."""

    shop: str
    date: str
    goods: tuple[tuple[str, int], ...]
    """Names and cents."""
    layout: ReceiptLayout
    lines: list[str]
    """The lines as they are read, from the top."""

    def lookups(self, rng: Random, split: str, ease: float) -> list[Lookup]:
        """Every question that the receipt answers."""

        def worded(field: str, **parts: str) -> str:
            return ask(rng, f"receipt_{field}", ease, split, **parts)

        def price(field: str, cents: int, **parts: str) -> Lookup:
            written = self.layout.money.format(money(cents))
            subject = {"field": field, **parts}
            read = tuple(parts.values())
            return Lookup(
                question=worded(field, **parts), answer=money(cents), accept=(written,), subject=subject, read=read
            )

        every = [price("price", cents, name=name) for name, cents in self.goods]
        every.append(price("total", sum(cents for _, cents in self.goods)))
        every.append(Lookup(question=worded("date"), answer=self.date, subject={"field": "date"}))
        every.append(Lookup(question=worded("shop"), answer=self.shop, subject={"field": "shop"}, read=(self.shop,)))
        name, cents = rng.choice(self.goods)
        if [other for _, other in self.goods].count(cents) == 1:
            subject = {"field": "which", "price": money(cents)}
            every.append(
                Lookup(question=worded("which", price=money(cents)), answer=name, subject=subject, read=(name,))
            )
        return every


def receipt(rng: Random, split: str, ease: float) -> Item:
    """Give a price, the total, the date, the shop, or the name of what has a price."""
    drawn = make_receipt(rng, split, ease)
    field = rng.choice(("price", "price", "price", "total", "total", "date", "shop", "which"))
    every = drawn.lookups(rng, split, ease)
    about = [each for each in every if each.subject["field"] == field]
    return drawn.item("receipt", rng.choice(about or every))


def receipt_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Up to six of these questions about one receipt."""
    drawn = make_receipt(rng, split, ease)
    every = drawn.lookups(rng, split, ease)
    # the question which item has a price gives the answer to the question for the price of that item
    given = {each.answer for each in every if each.subject["field"] == "which"}
    return drawn.dialogue(rng, "receipt_dialogue", [each for each in every if each.subject.get("name") not in given])


def receipt_lines(rng: Random, split: str, ease: float) -> Item:
    """Read all lines from the top: many small letters, all of them supervised."""
    drawn = make_receipt(rng, split, ease)
    question = ask(rng, "receipt_lines", ease, split)
    return drawn.reading("receipt_lines", question, "\n".join(drawn.lines))


def make_receipt(rng: Random, split: str, ease: float) -> Receipt:
    """Draw a receipt of two to five goods."""
    style = choose_style(rng, split, choose_form(rng, ease), coloured=0.15)
    aligned = style.form == "aligned"
    layout = ReceiptLayout.sample(rng, split, 1.0 if aligned else ease)
    shop = pick_word(rng, split)
    shop = shop.capitalize() if split == "train" and style.form == "full" and rng.random() < 0.3 else shop
    count = 3 if rng.random() < ease else rng.randint(2, 5)
    goods = tuple((name, pick_cents(rng)) for name in pick_goods(rng, split, count, 6 if aligned else 7))
    month = rng.randrange(12)
    date = layout.date.format(day=rng.randint(1, 28), month=month + 1, name=LABELS["month"][month])
    rows = layout.rows(shop, date, goods)
    if aligned:
        in_columns = [((0, row.left), (COLUMNS - len(row.right), row.right)) for row in rows]
        image, made = draw_in_columns(rng, style, in_columns)
    else:
        image, made = layout.draw(rng, style, rows, ease)
    lines = [row.text for row in rows]
    scene = {"shop": shop, "date": date, "goods": [[row.left, row.right] for row in rows if row.part == "goods"]}
    scene |= {"lines": lines, "order": list(layout.order), "column": layout.column, "rule": layout.rule, **made}
    return Receipt(image=image, scene=scene, shop=shop, date=date, goods=goods, layout=layout, lines=lines)


TASKS = (
    Task("receipt", receipt, "ocr", exams=("exam",)),
    Task("receipt_lines", receipt_lines, "ocr", lesson=True),
    Task("receipt_dialogue", receipt_dialogue, "ocr", lesson=True),
)
