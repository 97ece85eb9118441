"""Receipts: shop, date, goods with prices, total and more. Questions for their entries and lines, dialogues, whole readings.

Not here: how a receipt is laid out and drawn, and what keeps the splits apart (receipt_layouts.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from drawn_world.documents.lookups import (
    DrawnDocument,
    Lookup,
    draw_in_columns,
    money,
    neighbours,
    pick_cents,
    pick_goods,
)
from drawn_world.documents.notations import cased, document_style, sample_date, sample_time
from drawn_world.documents.receipt_layouts import ReceiptLayout, ReceiptRow, draw_receipt
from drawn_world.item import Item
from drawn_world.task import Task
from drawn_world.typesetting import COLUMNS
from drawn_world.wording import LABELS, ask
from drawn_world.words import pick_digits, pick_word

EXAM_FIELDS = ("price", "price", "price", "total", "total", "date", "shop", "which")
"""What the task "receipt" asks in val and test, by weight; training asks everything that a receipt answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(DrawnDocument):
    """A drawn receipt and its entries."""

    rows: tuple[ReceiptRow, ...]
    goods: tuple[tuple[str, int], ...]
    """Names as written, and cents."""
    layout: ReceiptLayout
    lines: list[str]
    """The lines as they are read, from the top."""

    def lookups(self, rng: Random, split: str, ease: float) -> list[Lookup]:
        """Every question that the receipt answers."""
        return [*self.main_lookups(rng, split, ease), *self.more_lookups(rng, split, ease)]

    def main_lookups(self, rng: Random, split: str, ease: float) -> list[Lookup]:
        """Questions for prices, total, date, shop, and for what has a price."""
        every = [
            self._amount(rng, split, ease, "price", row, cents, name=row.left.lower().rstrip(":"))
            for row, (_, cents) in zip(self._of("goods"), self.goods, strict=True)
        ]
        (total,) = self._of("total")
        every.append(self._amount(rng, split, ease, "total", total, self.scene["total_cents"]))
        for field in ("date", "shop"):
            question, (row,) = ask(rng, f"receipt_{field}", ease, split), self._of(field)
            read = (row.left,) if field == "shop" else ()
            every.append(Lookup(question=question, answer=row.left, subject={"field": field}, read=read))
        name, cents = rng.choice(self.goods)
        if [other for _, other in self.goods].count(cents) == 1:
            written = self.layout.money.number(cents)
            question = ask(rng, "receipt_which", ease, split, price=written)
            subject = {"field": "which", "price": written}
            every.append(Lookup(question=question, answer=name, subject=subject, read=(name,)))
        return every

    def more_lookups(self, rng: Random, split: str, ease: float) -> list[Lookup]:
        """Questions for the goods as a list, for lines, and for the parts that only some receipts have."""
        names, prices = [name for name, _ in self.goods], [cents for _, cents in self.goods]
        found = [("list_goods", "goods", ", ".join(names)), ("document_kind", "kind", "receipt")]
        found += [("first_item", "first", names[0]), ("last_item", "last", names[-1])]
        if not any(row.count for row in self.rows):
            found.append(("count_goods", "count", str(len(names))))
        for name, best in (("cheapest", min), ("dearest", max)):
            if prices.count(best(prices)) == 1:
                found.append((name, name, names[prices.index(best(prices))]))
        for part in ("address", "number", "phone", "time"):
            found += [(f"receipt_{part}", part, row.left.split(": ")[-1]) for row in self._of(part)]
        every = [
            Lookup(question=ask(rng, question, ease, split), answer=answer, subject={"field": field})
            for question, field, answer in found
        ]
        for row in self._of("goods"):
            if row.count:
                name = row.left.lower()
                question, count = ask(rng, "goods_count", ease, split, name=name), row.count.rstrip("x ")
                every.append(Lookup(question=question, answer=count, subject={"field": "of", "name": name}))
        for part in ("subtotal", "tax", "cash", "change"):
            every += [self._amount(rng, split, ease, part, row, self.scene[f"{part}_cents"]) for row in self._of(part)]
        return every + neighbours(self.lines, lambda name, **parts: ask(rng, name, ease, split, **parts), rng)

    def _of(self, part: str) -> list[ReceiptRow]:
        return [row for row in self.rows if row.part == part]

    def _amount(
        self, rng: Random, split: str, ease: float, field: str, row: ReceiptRow, cents: int, **parts: str
    ) -> Lookup:
        """A question for a sum of money: the number is the answer, what is written with its currency is right too."""
        return Lookup(
            question=ask(rng, f"receipt_{field}", ease, split, **parts),
            answer=self.layout.money.number(cents),
            accept=(row.right, money(cents)),
            subject={"field": field, **parts},
            read=tuple(parts.values()),
        )


def receipt(rng: Random, split: str, ease: float) -> Item:
    """Give one entry: in val and test a price, the total, the date, the shop, or the name of what has a price."""
    drawn = make_receipt(rng, split, ease)
    every = drawn.main_lookups(rng, split, ease)
    if split == "train" and rng.random() < 0.4 * (1 - ease):
        return drawn.item("receipt", rng.choice(drawn.more_lookups(rng, split, ease)))
    field = rng.choice(EXAM_FIELDS)
    about = [each for each in every if each.subject["field"] == field]
    return drawn.item("receipt", rng.choice(about or every))


def receipt_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Four to six of all questions about one receipt, half of them about its main entries."""
    drawn = make_receipt(rng, split, ease)
    every, more = drawn.main_lookups(rng, split, ease), drawn.more_lookups(rng, split, ease)
    return drawn.dialogue(rng, "receipt_dialogue", every + rng.sample(more, min(len(more), 4)))


def receipt_lines(rng: Random, split: str, ease: float) -> Item:
    """Read all lines from the top: many small letters, all of them supervised."""
    drawn = make_receipt(rng, split, ease)
    question = ask(rng, "receipt_lines", ease, split)
    return drawn.reading("receipt_lines", question, "\n".join(drawn.lines))


def make_receipt(rng: Random, split: str, ease: float) -> Receipt:
    """Draw a receipt of one to eight goods, in val and test of two to five."""
    style = document_style(rng, split, ease)
    aligned, free = style.form == "aligned", split == "train" and style.form != "aligned"
    layout = ReceiptLayout.sample(rng, split, 1.0 if aligned else ease)
    usual = rng.choice((1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8)) if free else rng.randint(2, 5)
    if layout.column == "below" and usual > 4:
        layout = replace(layout, column="right")  # two lines for each of many goods are too high
    names = pick_goods(rng, split, 3 if aligned or rng.random() < ease else usual, 6 if aligned else 7)
    if free and rng.random() < 0.25 * (1 - ease):
        names = [f"{pick_word(rng, split)} {name}" if rng.random() < 0.5 else name for name in names]
    change = rng.choice((str, str, str.capitalize, str.upper)) if free and rng.random() >= ease else str
    dear = 10 if free and rng.random() < 0.2 * (1 - ease) else 1
    goods = tuple((change(name), pick_cents(rng) * (dear if rng.random() < 0.5 else 1)) for name in names)
    rows, facts = fill_rows(rng, layout, goods, split, 1.0 if aligned or not free else ease)
    if aligned:
        in_columns = [((0, row.left), (COLUMNS - len(row.right), row.right)) for row in rows]
        image, made = draw_in_columns(rng, style, in_columns)
    else:
        image, made = draw_receipt(rng, layout, style, rows, split, ease)
    lines = [line for row in rows for line in layout.lines(row)]
    scene = facts | {"goods": [[row.left, row.right] for row in rows if row.part == "goods"], "lines": lines}
    scene |= {"entries": [[row.part, row.count, row.left, row.right] for row in rows]}
    scene |= {"order": list(layout.order), "column": layout.column, "rule": layout.rule, **made}
    return Receipt(image=image, scene=scene, rows=tuple(rows), goods=goods, layout=layout, lines=lines)


def fill_rows(
    rng: Random, layout: ReceiptLayout, goods: Sequence[tuple[str, int]], split: str, ease: float
) -> tuple[list[ReceiptRow], dict[str, object]]:
    """All entries from the top, and the facts for the description: shop, date, and sums in cents."""
    end = ":" if layout.column == "colon" else ""
    shop = pick_word(rng, split)
    if split == "train" and rng.random() >= ease:
        shop = cased(rng, f"{shop} {pick_word(rng, split)}" if rng.random() < 0.3 else shop, ease)
    date = layout.write_date(sample_date(rng))
    numbered = "" if rng.random() < 0.3 else f"{rng.choice(LABELS['receipt_number'])}: "
    single = {
        "shop": shop,
        "date": date,
        "address": f"{rng.randint(1, 199)} {pick_word(rng, split).capitalize()} {rng.choice(LABELS['street_kind'])}",
        "number": f"{numbered or 'No: '}{pick_digits(rng, 3, 6)}",
        "phone": f"Tel: {pick_digits(rng, 5, 7)}",
        "time": sample_time(rng),
        "thanks": rng.choice(LABELS["receipt_thanks"]),
    }
    counted = rng.choice(("{} x", "{}x", "{}")) if rng.random() < 0.25 * (1 - ease) else ""
    written = [counted.format(rng.randint(1, 9)) for _ in goods]
    parts = {part: [ReceiptRow(part, text)] for part, text in single.items()}
    parts["goods"] = [
        ReceiptRow("goods", name + end, layout.money.write(cents), count)
        for (name, cents), count in zip(goods, written, strict=True)
    ]
    sums = _sample_sums(rng, sum(cents for _, cents in goods), ease)
    parts["total"] = [
        ReceiptRow(part, layout.total + end if part == "total" else rng.choice(LABELS[f"receipt_{part}"]),
                   layout.money.write(cents))
        for part, cents in sums.items()
    ]  # fmt: skip
    facts: dict[str, object] = {"shop": shop, "date": date} | {f"{part}_cents": cents for part, cents in sums.items()}
    return [row for part in layout.order for row in parts[part]], facts


def _sample_sums(rng: Random, total: int, ease: float) -> dict[str, int]:
    """Part to cents, as they follow the goods: perhaps subtotal and added tax, the total, perhaps cash and change."""
    sums = {}
    if rng.random() < 0.2 * (1 - ease):
        sums = {"subtotal": total, "tax": total * rng.choice((5, 7, 8, 10, 19, 20)) // 100}
        total += sums["tax"]
    sums["total"] = total
    if rng.random() < 0.2 * (1 - ease):
        note = rng.choice((500, 1000, 2000, 5000))
        cash = -(-total // note) * note
        sums |= {"cash": cash, "change": cash - total}
    return sums


TASKS = (
    Task("receipt", receipt, "ocr", in_exam=True),
    Task("receipt_lines", receipt_lines, "ocr", lesson=True),
    Task("receipt_dialogue", receipt_dialogue, "ocr", lesson=True),
)
