"""Forms: keys and values on lines, in boxes, in cells. Lookups, and dialogues about one form."""

from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image

from drawn_world import palette
from drawn_world.documents.form_drawing import SHAPES, draw_freely, draw_in_columns
from drawn_world.documents.lookups import Lookup, look_up, money, pick_cents, talk_over
from drawn_world.item import Item
from drawn_world.task import Task
from drawn_world.typesetting import choose_form, choose_style, fixed
from drawn_world.wording import phrase, read_wordings, texts_of
from drawn_world.words import pick_digits, pick_word

QUESTIONS = read_wordings("documents")
WORD_KEYS = ("Name", "City", "Street", "Team", "Item", "Guest", "Title")
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
KEYS = (*WORD_KEYS, *DIGITS, "Date", "Price", "Colour")
TITLES = ("Ticket", "Order", "Booking", "Visit", "Member", "Form")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A drawn form."""

    image: Image.Image
    fields: tuple[tuple[str, str], ...]
    """Key and value from the top; an empty value is an empty field."""
    scene: dict[str, Any]


def form(rng: Random, split: str, ease: float) -> Item:
    """The value of one key."""
    drawn = make_form(rng, split, ease)
    return look_up("form", drawn.image, rng.choice(lookups(rng, split, ease, drawn)), drawn.scene)


def form_dialogue(rng: Random, split: str, ease: float) -> Item:
    """The values of all keys."""
    drawn = make_form(rng, split, ease)
    return talk_over(rng, "form_dialogue", drawn.image, lookups(rng, split, ease, drawn), drawn.scene)


def form_one(rng: Random, split: str, ease: float) -> Item:
    """The value of one key, as in `form`; with probability `ease` of but two."""
    drawn = make_form(rng, split, ease, count=2 if fixed(rng, ease) else None)
    chosen = rng.choice(lookups(rng, split, ease, drawn))
    return talk_over(rng, "form_one", drawn.image, [chosen], drawn.scene)


def lookups(rng: Random, split: str, ease: float, drawn: Form) -> list[Lookup]:
    """A question for every field that is filled in."""
    return [_about(rng, split, ease, key, value) for key, value in drawn.fields if value]


def _about(rng: Random, split: str, ease: float, key: str, value: str) -> Lookup:
    named = key if not fixed(rng, ease) and rng.random() < 0.4 else key.lower()
    question = phrase(rng, QUESTIONS["form"], ease, split, key=named)
    read = (value,) if key in WORD_KEYS else ()
    return Lookup(question=question, answer=value, asked={"key": key}, read=read)


def make_form(rng: Random, split: str, ease: float, count: int | None = None) -> Form:
    """A form of so many fields, three to five unless told; now and then one of them is empty."""
    style = choose_style(rng, split, choose_form(rng, ease), coloured=0.15)
    shape = SHAPES[split][0] if fixed(rng, ease) else rng.choice(SHAPES[split])
    usual = 4 if fixed(rng, ease) else rng.randint(3, 4 if shape == "under" else 5)
    count = count or usual
    longest = 6 if style.form == "aligned" else 7
    known = [key for key in KEYS if len(key) < longest]  # a column stays free between key and value
    fields = [(key, _value(rng, split, key, longest)) for key in rng.sample(known, count)]
    if not fixed(rng, ease) and rng.random() < 0.2:
        empty = rng.randrange(count)
        fields[empty] = (fields[empty][0], "")
    title = ""
    if style.form == "aligned":
        image, made = draw_in_columns(rng, style, fields)
    else:
        title = "" if fixed(rng, ease) or rng.random() < 0.6 else rng.choice(TITLES)
        image, made = draw_freely(rng, style, shape, title, fields, ease)
    scene = {"fields": [list(field) for field in fields], "title": title, "shape": shape, **made}
    return Form(image=image, fields=tuple(fields), scene=scene)


def _value(rng: Random, split: str, key: str, longest: int) -> str:
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


WORDS = (*KEYS, *(key.lower() for key in KEYS), *TITLES, *texts_of(QUESTIONS))
TASKS = (
    Task("form", form, "ocr", exams=("exam",), words=WORDS),
    Task("form_dialogue", form_dialogue, "ocr", lesson=True, words=WORDS),
    Task("form_one", form_one, "ocr", lesson=True, words=WORDS),
)
