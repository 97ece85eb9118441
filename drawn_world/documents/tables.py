"""Small tables: give a cell by its row and column, or write the whole table as Markdown.

| Item | Price |
|---|---|
| tea | 2.50 |
"""

from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Any

from PIL import Image

from drawn_world import palette
from drawn_world.documents.lookups import DrawnDocument, Lookup, draw_in_columns, money, pick_cents, pick_goods
from drawn_world.item import Item, image_item, text_truth
from drawn_world.task import Task
from drawn_world.typesetting import (
    COLUMNS,
    MAX_SIDE,
    Sheet,
    TextStyle,
    choose_form,
    choose_size,
    choose_style,
    whole_tokens,
)
from drawn_world.wording import LABELS, ask
from drawn_world.words import pick_digits, pick_letters
from qwen2vl.spec.config import FACTOR

RULES = {"train": ("grid", "header", "stripes"), "val": ("rows",), "test": ("band",)}
"""What separates cells: all lines, a line under the header, shaded rows, lines between rows, or a header on ink."""
SIDES = {"train": ("left", "centre"), "val": ("centre",), "test": ("right",)}
"""Alignment of cells in their columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLayout:
    """Positions of the cells of one table, in pixels, and the rules between them."""

    rules: str
    """One of RULES."""
    side: str
    """One of SIDES."""
    size: int
    """Letter size."""
    pad: int
    """Space beside the text of a cell."""
    xs: tuple[int, ...]
    """Left edges of the columns, and the right edge of the last."""
    ys: tuple[int, ...]
    """Top edges of the rows, and the bottom edge of the last."""

    def draw(self, sheet: Sheet, cells: list[list[str]]) -> None:
        """Draw shades, then lines, then texts."""
        rules, xs, ys, (ink, paper) = self.rules, self.xs, self.ys, (sheet.style.ink, sheet.style.paper)
        light = tuple((7 * a + b) // 8 for a, b in zip(paper, ink, strict=True))
        for row in {"stripes": range(0, len(ys) - 1, 2), "band": range(1)}.get(rules, ()):
            box = (xs[0], ys[row], xs[-1] - 1, ys[row + 1] - 1)
            sheet.pen.rectangle(box, fill=ink if rules == "band" else light)
        for y in {"grid": ys, "rows": ys, "header": ys[1:2]}.get(rules, ()):
            sheet.rule((xs[0], y, xs[-1] + 1, y + 1))
        for x in xs if rules == "grid" else ():
            sheet.rule((x, ys[0], x + 1, ys[-1]))
        for row, texts in enumerate(cells):
            for column, text in enumerate(texts):
                across, high = sheet.style.face.ink_size(self.size, text)
                spare = xs[column + 1] - xs[column] - across
                x = xs[column] + {"left": self.pad, "centre": spare // 2, "right": spare - self.pad}[self.side]
                y = ys[row] + (ys[row + 1] - ys[row] - high) // 2
                sheet.write(self.size, text, (x, y), paper if rules == "band" and row == 0 else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(DrawnDocument):
    """A drawn table and its cells."""

    cells: list[list[str]]
    """Texts of the rows; the first row is the header, the first column names the rows."""

    def markdown(self) -> str:
        """The table in the form that GitHub uses."""
        header, *rows = (f"| {' | '.join(row)} |" for row in self.cells)
        return "\n".join((header, "|" + "---|" * len(self.cells[0]), *rows))

    def lookups(self, rng: Random, split: str, ease: float) -> list[Lookup]:
        """A question for every cell, and for at most three values that are unique in their column."""
        header, *rows = self.cells
        every, which = [], []
        for row in rows:
            for heading, value in zip(header[1:], row[1:], strict=True):
                column = heading.lower()
                question = ask(rng, "table_cell", ease, split, column=column, row=row[0])
                subject = {"row": row[0], "column": heading}
                every.append(Lookup(question=question, answer=value, subject=subject, read=(row[0], value)))
                if [other[header.index(heading)] for other in rows].count(value) == 1:
                    parts = {"first": header[0].lower(), "column": column, "value": value}
                    question = ask(rng, "table_which", ease, split, **parts)
                    subject = {"value": value, "column": heading}
                    which.append(Lookup(question=question, answer=row[0], subject=subject, read=(row[0], value)))
        return every + rng.sample(which, min(3, len(which), len(every) // 2))


def table(rng: Random, split: str, ease: float) -> Item:
    """Give a cell, the row that has a value, or the whole table."""
    drawn = make_table(rng, split, ease)
    if rng.random() >= 0.3:
        return drawn.item("table", rng.choice(drawn.lookups(rng, split, ease)))
    answer = drawn.markdown()
    read = [text for row in drawn.cells[1:] for text in row if text.isalpha()]
    truth = text_truth(answer, read=read, metric="anls") | {"scene": drawn.scene | {"asked": {"table": "markdown"}}}
    question = ask(rng, "table_markdown", ease, split)
    return image_item("table", [drawn.image], question, answer, truth)


def table_rows(rng: Random, split: str, ease: float) -> Item:
    """Write the whole table as Markdown: all cells are supervised."""
    drawn = make_table(rng, split, ease)
    question = ask(rng, "table_markdown", ease, split)
    return drawn.reading("table_rows", question, drawn.markdown())


def table_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Give up to six cells of one table."""
    drawn = make_table(rng, split, ease)
    cells = [each for each in drawn.lookups(rng, split, ease) if "row" in each.subject]
    return drawn.dialogue(rng, "table_dialogue", cells)


def make_table(rng: Random, split: str, ease: float) -> Table:
    """Draw a table of two to four columns and two to four rows below the header."""
    style = choose_style(rng, split, choose_form(rng, ease), coloured=0.3)
    aligned = style.form == "aligned"
    columns = 2 if aligned or rng.random() < ease else rng.choice((2, 3, 3, 4))
    rows = 3 if rng.random() < ease else rng.randint(2, 4)
    names = pick_goods(rng, split, rows, 5 if aligned or columns == 4 else 7)
    headings = [
        rng.choice(LABELS["first_column"]),
        *rng.sample([h for h in LABELS["other_column"] if len(h) <= 5 or not aligned], columns - 1),
    ]
    body = [[name, *(_pick_value(rng, split, heading) for heading in headings[1:])] for name in names]
    capital = not aligned and rng.random() >= ease and rng.random() < 0.5
    cells = [[heading.capitalize() if capital else heading for heading in headings], *body]
    rules = RULES[split][0] if rng.random() < ease else rng.choice(RULES[split])
    side = SIDES[split][0] if rng.random() < ease else rng.choice(SIDES[split])
    if aligned:
        image, made = draw_in_columns(rng, style, [list(zip((0, COLUMNS // 2), row, strict=True)) for row in cells])
    else:
        image, made = _draw_table(rng, style, cells, rules, side, ease)
    return Table(image=image, scene={"cells": cells, "ruled": rules, "side": side, **made}, cells=cells)


def _pick_value(rng: Random, split: str, heading: str) -> str:
    if heading == "price":
        return money(pick_cents(rng))
    if heading == "code":
        return pick_letters(rng, split, 3)
    if heading == "day":
        return rng.choice(LABELS["day"])
    if heading == "colour":
        return rng.choice(list(palette.COLOURS))
    if heading == "year":
        return str(rng.randint(1950, 2029))
    return pick_digits(rng, *{"age": (2, 2), "score": (1, 3), "room": (2, 3)}.get(heading, (1, 2)))


def _draw_table(
    rng: Random, style: TextStyle, cells: list[list[str]], rules: str, side: str, ease: float
) -> tuple[Image.Image, dict[str, Any]]:
    """The image of a table, and a description of how it was made. Columns are as wide as their longest cell."""

    def widths(size: int, pad: int) -> list[int]:
        columns = zip(*cells, strict=True)
        return [max(style.face.ink_size(size, text)[0] for text in column) + 2 * pad for column in columns]

    pad = 6 if rng.random() < ease else rng.randint(3, 9)
    size = 16 if rng.random() < ease else choose_size(rng, 13, 20)
    edges = [0, *accumulate(widths(size, pad))]
    while edges[-1] > MAX_SIDE - 6 and size > 8:
        size, pad = size - 1, max(3, pad - 1)
        edges = [0, *accumulate(widths(size, pad))]
    top, bottom = style.face.line_edges(size)
    step = FACTOR if rng.random() < ease else bottom - top + rng.randint(4, 12)
    step = min(step, (MAX_SIDE - 6) // len(cells))
    low = edges[-1] + 6, step * len(cells) + 6
    width = 6 * FACTOR if rng.random() < ease and low[0] <= 6 * FACTOR else whole_tokens(low[0])
    sheet = Sheet(rng, style, (min(MAX_SIDE, width), whole_tokens(low[1])))
    x, y = (2 + (0 if rng.random() < ease else rng.randint(0, sheet.image.size[i] - low[i] + 2)) for i in range(2))
    layout = TableLayout(
        rules=rules,
        side=side,
        size=size,
        pad=pad,
        xs=tuple(x + edge for edge in edges),
        ys=tuple(y + step * row for row in range(len(cells) + 1)),
    )
    layout.draw(sheet, cells)
    return sheet.finish(rng, size)


TASKS = (
    Task("table", table, "ocr", exams=("exam",)),
    Task("table_rows", table_rows, "ocr", lesson=True),
    Task("table_dialogue", table_dialogue, "ocr", lesson=True),
)
