"""Receipts: shop, date, goods with prices, total. Lookups, dialogues, and the whole receipt read from the top.

Every split has its own order of the parts, place of the prices, rules, and forms of money and dates.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image

from drawn_world.documents.lookups import Lookup, look_up, money, pick_cents, pick_goods, talk_over
from drawn_world.documents.receipt_drawing import Layout, Row, choose_layout, draw_freely, draw_in_columns
from drawn_world.item import Item, dialogue_item
from drawn_world.task import Task
from drawn_world.typesetting import choose_form, choose_style, fixed, with_scene
from drawn_world.wording import phrase, read_wordings, texts_of
from drawn_world.words import pick_word

QUESTIONS = read_wordings("documents")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A drawn receipt and what stands on it."""

    image: Image.Image
    shop: str
    date: str
    goods: tuple[tuple[str, int], ...]
    """Names and cents."""
    layout: Layout
    lines: list[str]
    """As they are read, from the top."""
    scene: dict[str, Any]

    @property
    def total(self) -> int:
        """In cents."""
        return sum(cents for _, cents in self.goods)


def receipt(rng: Random, split: str, ease: float) -> Item:
    """A price, the total, the date, the shop, or what costs so much."""
    drawn = make_receipt(rng, split, ease)
    field = rng.choice(("price", "price", "price", "total", "total", "date", "shop", "which"))
    every = lookups(rng, split, ease, drawn)
    about = [each for each in every if each.asked["field"] == field]
    return look_up("receipt", drawn.image, rng.choice(about or every), drawn.scene)


def receipt_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Up to six of these questions about one receipt."""
    drawn = make_receipt(rng, split, ease)
    every = lookups(rng, split, ease, drawn)
    told = {each.answer for each in every if each.asked["field"] == "which"}  # its price stands in that question
    every = [each for each in every if each.asked.get("name") not in told]
    return talk_over(rng, "receipt_dialogue", drawn.image, every, drawn.scene)


def receipt_lines(rng: Random, split: str, ease: float) -> Item:
    """All lines from the top: small letters, all of them supervised."""
    drawn = make_receipt(rng, split, ease)
    question = phrase(rng, QUESTIONS["receipt_lines"], ease, split)
    return with_scene(dialogue_item("receipt_lines", drawn.image, [(question, "\n".join(drawn.lines))]), drawn.scene)


def lookups(rng: Random, split: str, ease: float, drawn: Receipt) -> list[Lookup]:
    """Every question that the receipt answers."""

    def ask(field: str, **parts: str) -> str:
        return phrase(rng, QUESTIONS[f"receipt_{field}"], ease, split, **parts)

    def price(field: str, cents: int, **parts: str) -> Lookup:
        written = drawn.layout.money.format(money(cents))
        asked = {"field": field, **parts}
        read = tuple(parts.values())
        return Lookup(question=ask(field, **parts), answer=money(cents), accept=(written,), asked=asked, read=read)

    every = [price("price", cents, name=name) for name, cents in drawn.goods]
    every.append(price("total", drawn.total))
    every.append(Lookup(question=ask("date"), answer=drawn.date, asked={"field": "date"}))
    every.append(Lookup(question=ask("shop"), answer=drawn.shop, asked={"field": "shop"}, read=(drawn.shop,)))
    name, cents = rng.choice(drawn.goods)
    if [other for _, other in drawn.goods].count(cents) == 1:
        asked = {"field": "which", "price": money(cents)}
        every.append(Lookup(question=ask("which", price=money(cents)), answer=name, asked=asked, read=(name,)))
    return every


def make_receipt(rng: Random, split: str, ease: float) -> Receipt:
    """A receipt of two to five goods."""
    style = choose_style(rng, split, choose_form(rng, ease), coloured=0.15)
    aligned = style.form == "aligned"
    layout = choose_layout(rng, split, 1.0 if aligned else ease)
    shop = pick_word(rng, split)
    shop = shop.capitalize() if split == "train" and style.form == "full" and rng.random() < 0.3 else shop
    count = 3 if fixed(rng, ease) else rng.randint(2, 5)
    goods = tuple((name, pick_cents(rng)) for name in pick_goods(rng, split, count, 6 if aligned else 7))
    month = rng.randrange(12)
    date = layout.date.format(day=rng.randint(1, 28), month=month + 1, name=MONTHS[month])
    rows = _rows(layout, shop, date, goods)
    image, made = draw_in_columns(rng, style, rows) if aligned else draw_freely(rng, style, layout, rows, ease)
    lines = [row.text for row in rows]
    scene = {"shop": shop, "date": date, "goods": [[row.left, row.right] for row in rows if row.part == "goods"]}
    scene |= {"lines": lines, "order": list(layout.order), "column": layout.column, "rule": layout.rule, **made}
    return Receipt(image=image, shop=shop, date=date, goods=goods, layout=layout, lines=lines, scene=scene)


def _rows(layout: Layout, shop: str, date: str, goods: tuple[tuple[str, int], ...]) -> list[Row]:
    """All lines in the order of the layout."""
    end = ":" if layout.column == "colon" else ""
    total = sum(cents for _, cents in goods)
    parts = {
        "shop": [Row("shop", shop)],
        "date": [Row("date", date)],
        "goods": [Row("goods", name + end, layout.money.format(money(cents))) for name, cents in goods],
        "total": [Row("total", layout.total + end, layout.money.format(money(total)))],
    }
    return [row for part in layout.order for row in parts[part]]


WORDS = ("Total", "TOTAL", "total", "EUR", "USD", *MONTHS, *texts_of(QUESTIONS))
TASKS = (
    Task("receipt", receipt, "ocr", exams=("exam",), words=WORDS),
    Task("receipt_lines", receipt_lines, "ocr", lesson=True, words=WORDS),
    Task("receipt_dialogue", receipt_dialogue, "ocr", lesson=True, words=WORDS),
)
