"""Small tables: a cell looked up by row and column, or the whole table as Markdown.

| Item | Price |
|---|---|
| tea | 2.50 |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image

from drawn_world import palette
from drawn_world.documents.lookups import Lookup, look_up, money, pick_cents, pick_goods, talk_over
from drawn_world.documents.table_drawing import RULES, SIDES, Cells, draw_freely, draw_in_columns
from drawn_world.item import Item, dialogue_item, image_item, text_truth
from drawn_world.task import Task
from drawn_world.typesetting import choose_form, choose_style, fixed, with_scene
from drawn_world.wording import phrase, read_wordings, texts_of
from drawn_world.words import pick_digits, pick_letters

QUESTIONS = read_wordings("documents")
FIRST = ("item", "name", "city", "team")
"""Headings of the column that names the rows."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
OTHERS = ("price", "size", "age", "score", "year", "code", "day", "colour", "room")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A drawn table."""

    image: Image.Image
    cells: Cells
    """Rows of texts; the first row is the header, the first column names the rows."""
    scene: dict[str, Any]


def table(rng: Random, split: str, ease: float) -> Item:
    """One cell, which row has a value, or the whole table."""
    drawn = make_table(rng, split, ease)
    if rng.random() < 0.3:
        answer = markdown(drawn.cells)
        truth = text_truth(answer, read=_words(drawn.cells), metric="anls")
        truth |= {"scene": drawn.scene | {"asked": {"table": "markdown"}}}
        return image_item("table", [drawn.image], _ask_markdown(rng, split, ease), answer, truth)
    return look_up("table", drawn.image, rng.choice(lookups(rng, split, ease, drawn)), drawn.scene)


def table_rows(rng: Random, split: str, ease: float) -> Item:
    """The whole table as Markdown: all cells supervised."""
    drawn = make_table(rng, split, ease)
    turns = [(_ask_markdown(rng, split, ease), markdown(drawn.cells))]
    return with_scene(dialogue_item("table_rows", drawn.image, turns), drawn.scene)


def table_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Up to six cells of one table."""
    drawn = make_table(rng, split, ease)
    cells = [each for each in lookups(rng, split, ease, drawn) if "row" in each.asked]
    return talk_over(rng, "table_dialogue", drawn.image, cells, drawn.scene)


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """The table as GitHub writes it."""
    header, *rows = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join((header, "|" + "---|" * len(cells[0]), *rows))


def lookups(rng: Random, split: str, ease: float, drawn: Table) -> list[Lookup]:
    """A question for every cell, and one for every value that stands only once in its column, at most three of them."""
    header, *rows = drawn.cells
    every, which = [], []
    for row in rows:
        for heading, value in zip(header[1:], row[1:], strict=True):
            column = heading.lower()
            question = phrase(rng, QUESTIONS["table_cell"], ease, split, column=column, row=row[0])
            asked = {"row": row[0], "column": heading}
            every.append(Lookup(question=question, answer=value, asked=asked, read=(row[0], value)))
            if [other[header.index(heading)] for other in rows].count(value) == 1:
                parts = {"first": header[0].lower(), "column": column, "value": value}
                question = phrase(rng, QUESTIONS["table_which"], ease, split, **parts)
                asked = {"value": value, "column": heading}
                which.append(Lookup(question=question, answer=row[0], asked=asked, read=(row[0], value)))
    return every + rng.sample(which, min(3, len(which), len(every) // 2))


def _ask_markdown(rng: Random, split: str, ease: float) -> str:
    return phrase(rng, QUESTIONS["table_markdown"], ease, split)


def _words(cells: Cells) -> list[str]:
    return [text for row in cells[1:] for text in row if text.isalpha()]


def make_table(rng: Random, split: str, ease: float) -> Table:
    """Two to four columns and two to four rows below the header."""
    style = choose_style(rng, split, choose_form(rng, ease), coloured=0.3)
    aligned = style.form == "aligned"
    columns = 2 if aligned or fixed(rng, ease) else rng.choice((2, 3, 3, 4))
    rows = 3 if fixed(rng, ease) else rng.randint(2, 4)
    names = pick_goods(rng, split, rows, 5 if aligned or columns == 4 else 7)
    headings = [rng.choice(FIRST), *rng.sample([h for h in OTHERS if len(h) <= 5 or not aligned], columns - 1)]
    body = [[name, *(_value(rng, split, heading) for heading in headings[1:])] for name in names]
    capital = not aligned and not fixed(rng, ease) and rng.random() < 0.5
    cells = [[heading.capitalize() if capital else heading for heading in headings], *body]
    rules = RULES[split][0] if fixed(rng, ease) else rng.choice(RULES[split])
    side = SIDES[split][0] if fixed(rng, ease) else rng.choice(SIDES[split])
    drawn = draw_in_columns(rng, style, cells) if aligned else draw_freely(rng, style, cells, rules, side, ease)
    image, made = drawn
    return Table(image=image, cells=cells, scene={"cells": cells, "ruled": rules, "side": side, **made})


def _value(rng: Random, split: str, heading: str) -> str:
    if heading == "price":
        return money(pick_cents(rng))
    if heading == "code":
        return pick_letters(rng, split, 3)
    if heading == "day":
        return rng.choice(DAYS)
    if heading == "colour":
        return rng.choice(list(palette.COLOURS))
    if heading == "year":
        return str(rng.randint(1950, 2029))
    return pick_digits(rng, *{"age": (2, 2), "score": (1, 3), "room": (2, 3)}.get(heading, (1, 2)))


WORDS = (*FIRST, *OTHERS, *(word.capitalize() for word in (*FIRST, *OTHERS)), *DAYS, *texts_of(QUESTIONS))
TASKS = (
    Task("table", table, "ocr", exams=("exam",), words=WORDS),
    Task("table_rows", table_rows, "ocr", lesson=True, words=WORDS),
    Task("table_dialogue", table_dialogue, "ocr", lesson=True, words=WORDS),
)
