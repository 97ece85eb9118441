"""Tables: give a cell by its row and column, a row, a column, what is highest, or write the whole table.

| Item | Price |
|---|---|
| tea | 2.50 |

Not here: how a table is laid out and drawn, and what keeps the splits apart (table_layouts.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from drawn_world import palette
from drawn_world.documents.lookups import DrawnDocument, Lookup, draw_in_columns, money, pick_cents, pick_goods
from drawn_world.documents.notations import document_style, sample_date, sample_date_form, sample_time
from drawn_world.documents.table_layouts import draw_table
from drawn_world.item import Item, image_item, text_truth
from drawn_world.task import Task
from drawn_world.typesetting import COLUMNS
from drawn_world.wording import LABELS, ask
from drawn_world.words import pick_digits, pick_letters, pick_word

NUMERIC = ("price", "size", "age", "score", "weight", "goals", "points", "fee", "cost", "height", "count", "wins")
"""Headings of columns in which one value can be the highest."""
DIGITS = {
    "age": (2, 2), "score": (1, 3), "room": (2, 3), "weight": (1, 3), "height": (2, 3), "points": (1, 3), "count": (1, 3),
}  # fmt: skip
"""Headings of numbers, with the fewest and most digits; all others have one or two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(DrawnDocument):
    """A drawn table and its cells."""

    cells: list[list[str]]
    """Texts of the rows; the first row is the header, the first column names the rows."""
    caption: str

    def markdown(self) -> str:
        """The table in the form that GitHub uses."""
        header, *rows = (f"| {' | '.join(row)} |" for row in self.cells)
        return "\n".join((header, "|" + "---|" * len(self.cells[0]), *rows))

    def html(self) -> str:
        """The table as HTML, a line for every row, without a caption."""
        rows = [
            "".join(f"<{tag}>{text}</{tag}>" for text in row)
            for row, tag in zip(self.cells, ("th", *["td"] * (len(self.cells) - 1)), strict=True)
        ]
        return "\n".join(("<table>", *(f"<tr>{row}</tr>" for row in rows), "</table>"))

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

    def more_lookups(self, rng: Random, split: str, ease: float) -> list[Lookup]:
        """Questions for a row, a column, the header, the size, the caption, what is highest, and whether a row exists."""
        header, *rows = self.cells

        def lookup(question: str, answer: str, asked: str, **parts: str) -> Lookup:
            return Lookup(question=ask(rng, question, ease, split, **parts), answer=answer, subject={"asked": asked})

        row, column = rng.choice(rows), rng.randrange(1, len(header))
        values, named = [each[column] for each in rows], header[column].lower()
        found = [
            lookup("table_row", ", ".join(row), f"row {row[0]}", row=row[0]),
            lookup("table_column", ", ".join(values), f"column {header[column]}", column=named),
            lookup("table_headings", ", ".join(header), "header"),
            lookup("table_rows_count", str(len(rows)), "rows"),
            lookup("table_columns_count", str(len(header)), "columns"),
            lookup("document_kind", "table", "kind"),
        ]
        other = rng.choice(rows)[0] if rng.random() < 0.5 else pick_word(rng, split)
        listed = "yes" if other in (each[0] for each in rows) else "no"
        found.append(lookup("table_has", listed, f"has {other}", value=other))
        if self.caption:
            found.append(lookup("table_caption", self.caption, "caption"))
        for name, best in (("highest", max), ("lowest", min)):
            numeric = [at for at, heading in enumerate(header) if heading.lower() in NUMERIC]
            at = rng.choice(numeric or [0])
            numbers = [float(each[at]) for each in rows] if at else []
            if numbers and numbers.count(best(numbers)) == 1:
                answer, parts = rows[numbers.index(best(numbers))][0], (header[0].lower(), header[at].lower())
                found.append(lookup(f"table_{name}", answer, f"{name} {header[at]}", first=parts[0], column=parts[1]))
        return found


def table(rng: Random, split: str, ease: float) -> Item:
    """Give a cell, the row that has a value, or the whole table; in training also all that `more_lookups` asks."""
    drawn = make_table(rng, split, ease)
    if split == "train" and rng.random() < 0.3 * (1 - ease):
        return drawn.item("table", rng.choice(drawn.more_lookups(rng, split, ease)))
    if rng.random() >= 0.3:
        return drawn.item("table", rng.choice(drawn.lookups(rng, split, ease)))
    answer = drawn.markdown()
    read = [text for row in drawn.cells[1:] for text in row if text.isalpha()]
    truth = text_truth(answer, read=read, metric="anls") | {"scene": drawn.scene | {"asked": {"table": "markdown"}}}
    question = ask(rng, "table_markdown", ease, split)
    return image_item("table", [drawn.image], question, answer, truth)


def table_rows(rng: Random, split: str, ease: float) -> Item:
    """Write the whole table as Markdown, or three times in ten as HTML: all cells are supervised."""
    drawn = make_table(rng, split, ease)
    if rng.random() < 0.3 * (1 - ease):
        return drawn.reading("table_rows", ask(rng, "table_html", ease, split), drawn.html())
    return drawn.reading("table_rows", ask(rng, "table_markdown", ease, split), drawn.markdown())


def table_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Four to six questions about one table, two thirds of them for cells."""
    drawn = make_table(rng, split, ease)
    cells, more = drawn.lookups(rng, split, ease), drawn.more_lookups(rng, split, ease)
    return drawn.dialogue(rng, "table_dialogue", rng.sample(cells, min(6, len(cells))) + rng.sample(more, 3))


def make_table(rng: Random, split: str, ease: float) -> Table:
    """Draw a table of two to six columns and two to eight rows below the header, in val and test of at most four."""
    style = document_style(rng, split, ease, coloured=0.3)
    aligned, free = style.form == "aligned", split == "train" and style.form != "aligned"
    columns = 2 if aligned or rng.random() < ease else rng.choice((2, 3, 3, 4, 4, 5, 6) if free else (2, 3, 3, 4))
    most = rng.choice((2, 2, 3, 3, 4, 4, 5, 6, 7, 8)) if free else rng.randint(2, 4)
    rows = 3 if aligned or rng.random() < ease else most
    names = pick_goods(rng, split, rows, 5 if aligned or columns >= 4 else 7)
    firsts, others = LABELS["first_column"], LABELS["other_column"]
    if free and rng.random() >= ease:
        firsts, others = firsts + LABELS["more_first_column"], others + LABELS["more_other_column"]
    headings = [rng.choice(firsts), *rng.sample([h for h in others if len(h) <= 5 or not aligned], columns - 1)]
    change = rng.choice((str, str, str.capitalize)) if free and rng.random() >= ease else str
    body = [[change(name), *(["" for _ in headings[1:]])] for name in names]
    for column, heading in enumerate(headings[1:], 1):
        for row, value in zip(body, _pick_values(rng, split, heading, rows), strict=True):
            row[column] = value
    capital = not aligned and rng.random() >= ease and rng.random() < 0.5
    change = str.upper if capital and free and rng.random() < 0.25 else str.capitalize if capital else str
    cells = [[change(heading) for heading in headings], *body]
    caption = ""
    if free and rng.random() < 0.25 * (1 - ease):
        caption = rng.choice(LABELS["table_caption"])
        caption += rng.choice(("", f" {rng.randint(1, 9)}", f": {pick_word(rng, split)}"))
    if aligned:
        image, made = draw_in_columns(rng, style, [list(zip((0, COLUMNS // 2), row, strict=True)) for row in cells])
    else:
        image, made = draw_table(rng, style, cells, caption, split, ease)
    return Table(image=image, scene={"cells": cells, "caption": caption, **made}, cells=cells, caption=caption)


def _pick_values(rng: Random, split: str, heading: str, count: int) -> Sequence[str]:
    """Values of one column; dates have one notation."""
    if heading == "date":
        write = sample_date_form(rng)
        return [write(sample_date(rng)) for _ in range(count)]
    if heading == "rank":
        return [str(number) for number in rng.sample(range(1, count + 1), count)]
    return [_pick_value(rng, split, heading) for _ in range(count)]


def _pick_value(rng: Random, split: str, heading: str) -> str:
    if heading in ("price", "fee", "cost"):
        return money(pick_cents(rng))
    if heading == "code":
        return pick_letters(rng, split, 3)
    if heading == "day":
        return rng.choice(LABELS["day"])
    if heading == "colour":
        return rng.choice(list(palette.COLOURS))
    if heading == "year":
        return str(rng.randint(1950, 2029))
    if heading == "time":
        return sample_time(rng)
    if heading == "share":
        return f"{rng.randint(1, 99)}%"
    if heading in ("friend", "food"):
        return pick_word(rng, split)
    if heading == "open":
        return rng.choice(("yes", "no"))
    return pick_digits(rng, *DIGITS.get(heading, (1, 2)))


TASKS = (
    Task("table", table, "ocr", in_exam=True),
    Task("table_rows", table_rows, "ocr", lesson=True),
    Task("table_dialogue", table_dialogue, "ocr", lesson=True),
)
