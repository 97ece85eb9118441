"""Forms: keys and values on lines, in boxes or in cells. Questions for one value, and dialogues about one form."""

from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image

from drawn_world import palette
from drawn_world.documents.lookups import DrawnDocument, Lookup, draw_in_columns, money, pick_cents
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
from drawn_world.words import pick_digits, pick_word
from qwen2vl.spec.config import FACTOR

DIGITS = {
    "Room": (1, 3),
    "Seat": (1, 2),
    "Age": (2, 2),
    "Size": (1, 2),
    "Phone": (4, 6),
    "Order": (3, 5),
    "Code": (3, 5),
}
"""Keys of numbers, with the fewest and most digits."""
KEYS = (*LABELS["word_key"], *DIGITS, "Date", "Price", "Colour")
SHAPES = {"train": ("colon", "dotted", "boxed", "cells"), "val": ("under",), "test": ("lined",)}
"""Place of a value: after a colon, on dots, in a box beside its key, in a cell beside it, in a box under it, on a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLayout:
    """How the fields of one form are drawn; lengths are in pixels."""

    shape: str
    """One of SHAPES."""
    size: int
    """Letter size."""
    margin: int
    step: int
    """Distance from one field to the next."""
    value_x: int
    """Left edge of the column of values."""
    ragged: bool
    """Whether values follow their keys directly, where the shape allows it."""

    def write_field(self, sheet: Sheet, key: str, value: str, y: int) -> None:
        """Write one field with its top at y; an empty value leaves its place empty."""
        size, margin, value_x, right = self.size, self.margin, self.value_x, sheet.image.width - self.margin
        high = sheet.style.face.ink_size(size, key)[1]
        match self.shape:
            case "colon":
                end = sheet.write(size, f"{key}:", (margin, y))[2]
                sheet.write(size, value, (end + 7 if self.ragged else value_x, y))
            case "dotted":
                _, _, end, bottom = sheet.write(size, key, (margin, y))
                sheet.rule((end + 3, bottom + 1, right, bottom + 2), gap=2)
                sheet.write(size, value, (end + 7 if self.ragged else value_x, y))
            case "lined":
                bottom = sheet.write(size, key, (margin, y))[3]
                sheet.rule((value_x, bottom + 1, right, bottom + 2))
                sheet.write(size, value, (value_x + 3, y))
            case "boxed":
                _, top, _, bottom = sheet.write(size, key, (margin, y + 2))
                sheet.frame((value_x, top - 3, right, bottom + 3))
                sheet.write(size, value, (value_x + 4, y + 2))
            case "cells":  # the cells of neighbouring fields share their lines
                sheet.frame((margin - 3, y, value_x + 1, y + self.step + 1))
                sheet.frame((value_x, y, right + 2, y + self.step + 1))
                down = (self.step - high) // 2
                sheet.write(size, key, (margin, y + down))
                sheet.write(size, value, (value_x + 4, y + down))
            case "under":
                bottom = sheet.write(size, key, (margin, y))[3]
                sheet.frame((margin, bottom + 1, right, bottom + high + 5))
                sheet.write(size, value, (margin + 4, bottom + 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledForm(DrawnDocument):
    """A drawn form and its fields."""

    fields: tuple[tuple[str, str], ...]
    """Key and value from the top; an empty value is an empty field."""

    def lookups(self, rng: Random, split: str, ease: float) -> list[Lookup]:
        """A question for every field that is not empty."""
        lookups = []
        for key, value in self.fields:
            if value:
                named = key if rng.random() >= ease and rng.random() < 0.4 else key.lower()
                question = ask(rng, "form", ease, split, key=named)
                read = (value,) if key in LABELS["word_key"] else ()
                lookups.append(Lookup(question=question, answer=value, subject={"key": key}, read=read))
        return lookups


def form(rng: Random, split: str, ease: float) -> Item:
    """Give the value of one key."""
    drawn = make_form(rng, split, ease)
    return drawn.item("form", rng.choice(drawn.lookups(rng, split, ease)))


def form_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Give the values of all keys."""
    drawn = make_form(rng, split, ease)
    return drawn.dialogue(rng, "form_dialogue", drawn.lookups(rng, split, ease))


def form_one(rng: Random, split: str, ease: float) -> Item:
    """Give the value of one key, as in `form`; with probability `ease` the form has only two keys."""
    drawn = make_form(rng, split, ease, count=2 if rng.random() < ease else None)
    chosen = rng.choice(drawn.lookups(rng, split, ease))
    return drawn.dialogue(rng, "form_one", [chosen])


def make_form(rng: Random, split: str, ease: float, count: int | None = None) -> FilledForm:
    """Draw a form of `count` fields, by default three to five, one of which may be empty."""
    style = choose_style(rng, split, choose_form(rng, ease), coloured=0.15)
    shape = SHAPES[split][0] if rng.random() < ease else rng.choice(SHAPES[split])
    usual = 4 if rng.random() < ease else rng.randint(3, 4 if shape == "under" else 5)
    count = count or usual
    longest = 6 if style.form == "aligned" else 7
    known = [key for key in KEYS if len(key) < longest]  # so that a column stays free between key and value
    fields = [(key, pick_value(rng, split, key, longest)) for key in rng.sample(known, count)]
    if rng.random() >= ease and rng.random() < 0.2:
        empty = rng.randrange(count)
        fields[empty] = (fields[empty][0], "")
    title = ""
    if style.form == "aligned":
        image, made = draw_in_columns(rng, style, [((0, key), (COLUMNS // 2, value)) for key, value in fields])
    else:
        title = "" if rng.random() < ease or rng.random() < 0.6 else rng.choice(LABELS["form_title"])
        image, made = _draw_form(rng, style, shape, title, fields, ease)
    scene = {"fields": [list(field) for field in fields], "title": title, "shape": shape, **made}
    return FilledForm(image=image, scene=scene, fields=tuple(fields))


def pick_value(rng: Random, split: str, key: str, longest: int = 7) -> str:
    """Sample a value for a key; words have at most `longest` letters."""
    if key in DIGITS:
        return pick_digits(rng, *DIGITS[key])
    if key == "Date":
        return f"{rng.randint(1, 28)}.{rng.randint(1, 12)}"
    if key == "Price":
        return money(pick_cents(rng))
    if key == "Colour":
        return rng.choice(list(palette.COLOURS))
    while True:
        word = pick_word(rng, split)
        if len(word) <= longest:
            return word


def _draw_form(
    rng: Random, style: TextStyle, shape: str, title: str, fields: list[tuple[str, str]], ease: float
) -> tuple[Image.Image, dict[str, Any]]:
    """The image of a form, and a description of how it was made. All fields have one letter size, which the longest sets."""
    margin = 6 if rng.random() < ease else rng.randint(4, 10)
    step = FACTOR if rng.random() < ease else rng.randint(22, 32)
    step = min(2 * step - 8 if shape == "under" else step, (MAX_SIDE - 2 * margin - 28) // len(fields))
    width = (6 if rng.random() < ease else rng.randint(5, 7)) * FACTOR
    high = min(step // 2 - 4 if shape == "under" else step - 6, 20 if rng.random() < ease else rng.randint(15, 22))
    longest = [max(texts, key=lambda text: style.face.ink_size(32, text)[0]) for texts in zip(*fields, strict=True)]
    width, size = fit_texts(style, [":      ".join(longest)], width, margin, high)
    gap = 8 if rng.random() < ease else rng.randint(6, 14)
    layout = FormLayout(
        shape=shape,
        size=size,
        margin=margin,
        step=step,
        value_x=margin + max(style.face.ink_size(size, f"{key}:")[0] for key, _ in fields) + gap,
        ragged=rng.random() >= ease and rng.random() < 0.5,
    )
    top = margin + (24 if title else 0)
    sheet = Sheet(rng, style, (width, whole_tokens(min(MAX_SIDE, top + step * len(fields) + margin - 4))))
    sheet.write(min(20, size + 3), title, (margin, margin))
    for row, (key, value) in enumerate(fields):
        layout.write_field(sheet, key, value, top + row * step)
    return sheet.finish(rng, size)


TASKS = (
    Task("form", form, "ocr", exams=("exam",)),
    Task("form_dialogue", form_dialogue, "ocr", lesson=True),
    Task("form_one", form_one, "ocr", lesson=True),
)
