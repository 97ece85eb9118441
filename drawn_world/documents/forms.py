"""Forms: keys and values beside or below each other. Questions for values and keys, dialogues, reading the whole form.

Not here: how a form is laid out and drawn, and what keeps the splits apart (form_layouts.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from drawn_world import palette
from drawn_world.documents.form_layouts import draw_form
from drawn_world.documents.lookups import DrawnDocument, Lookup, draw_in_columns, money, pick_cents
from drawn_world.documents.notations import document_style, sample_date, sample_date_form, sample_time
from drawn_world.item import Item
from drawn_world.task import Task
from drawn_world.typesetting import COLUMNS
from drawn_world.wording import LABELS, ask
from drawn_world.words import pick_digits, pick_word

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
"""Keys of all splits."""
MORE_KEYS = tuple(
    key
    for name in ("more_word_key", "more_digit_key", "more_date_key", "time_key", "money_key", "choice_key")
    for key in LABELS[name]
)
"""Keys of training forms alone."""


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
                read = (value,) if key in LABELS["word_key"] and " " not in value else ()
                lookups.append(Lookup(question=question, answer=value, subject={"key": key}, read=read))
        return lookups

    def more_lookups(self, rng: Random, split: str, ease: float) -> list[Lookup]:
        """Questions for keys, the number of fields, the title and the empty field."""
        keys, values = zip(*self.fields, strict=True)
        found: list[tuple[str, str, dict[str, str]]] = [
            ("form_fields", ", ".join(keys), {}),
            ("form_count", str(len(keys)), {}),
            ("document_kind", "form", {}),
        ]
        found += [
            ("form_which", key, {"value": value}) for key, value in self.fields if value and values.count(value) == 1
        ][:2]
        if self.scene["title"]:
            found.append(("form_title", self.scene["title"], {}))
        if "" in values:
            found.append(("form_empty", keys[values.index("")], {}))
        return [
            Lookup(question=ask(rng, name, ease, split, **parts), answer=answer, subject={"asked": name, **parts})
            for name, answer, parts in found
        ]


def form(rng: Random, split: str, ease: float) -> Item:
    """Give the value of one key; in training also what `more_lookups` asks."""
    drawn = make_form(rng, split, ease)
    if split == "train" and rng.random() < 0.2 * (1 - ease):
        return drawn.item("form", rng.choice(drawn.more_lookups(rng, split, ease)))
    return drawn.item("form", rng.choice(drawn.lookups(rng, split, ease)))


def form_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Four to six questions about one form, most of them for values."""
    drawn = make_form(rng, split, ease)
    values, more = drawn.lookups(rng, split, ease), drawn.more_lookups(rng, split, ease)
    return drawn.dialogue(rng, "form_dialogue", rng.sample(values, min(5, len(values))) + rng.sample(more, 2))


def form_one(rng: Random, split: str, ease: float) -> Item:
    """Give the value of one key, as in `form`; with probability `ease` the form has only two keys."""
    drawn = make_form(rng, split, ease, count=2 if rng.random() < ease else None)
    chosen = rng.choice(drawn.lookups(rng, split, ease))
    return drawn.dialogue(rng, "form_one", [chosen])


def form_lines(rng: Random, split: str, ease: float) -> Item:
    """Read the whole form, one line "Key: value" a field, however it is laid out."""
    drawn = make_form(rng, split, ease)
    text = "\n".join(f"{key}: {value}".rstrip() for key, value in drawn.fields)
    return drawn.reading("form_lines", ask(rng, "form_lines", ease, split), text)


def make_form(rng: Random, split: str, ease: float, count: int | None = None) -> FilledForm:
    """Draw a form of `count` fields, one of which may be empty: by default two to nine, in val and test three to five."""
    style = document_style(rng, split, ease)
    aligned, free = style.form == "aligned", split == "train" and style.form != "aligned"
    most = rng.choice((2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9)) if free else rng.randint(3, 4 if split == "val" else 5)
    count = count or (4 if aligned or rng.random() < ease else most)
    longest = 6 if aligned else 7
    known = [key for key in KEYS if len(key) < longest]  # so that a column stays free between key and value
    if free and rng.random() >= ease:
        known += MORE_KEYS
    fields = [(key, pick_value(rng, split, key, longest)) for key in rng.sample(known, count)]
    if free and rng.random() < 0.25 * (1 - ease):
        fields = [
            (key, f"{value} {pick_word(rng, split)}" if key in WORD_KEYS and rng.random() < 0.5 else value)
            for key, value in fields
        ]
    if rng.random() >= ease and rng.random() < 0.2:
        empty = rng.randrange(count)
        fields[empty] = (fields[empty][0], "")
    title = ""
    if aligned:
        image, made = draw_in_columns(rng, style, [((0, key), (COLUMNS // 2, value)) for key, value in fields])
    else:
        titles = LABELS["form_title"] + (LABELS["more_form_title"] if free else [])
        title = "" if rng.random() < ease or rng.random() < 0.6 else rng.choice(titles)
        sections = _sections(rng, fields, ease) if free else [("", fields)]
        image, made = draw_form(rng, style, title, sections, split, ease)
        made["sections"] = [[name, len(of)] for name, of in sections]
    scene = {"fields": [list(field) for field in fields], "title": title, **made}
    return FilledForm(image=image, scene=scene, fields=tuple(fields))


WORD_KEYS = frozenset((*LABELS["word_key"], *LABELS["more_word_key"]))


def _sections(
    rng: Random, fields: Sequence[tuple[str, str]], ease: float
) -> list[tuple[str, Sequence[tuple[str, str]]]]:
    """One section without a title, or two with titles."""
    if len(fields) < 4 or rng.random() >= 0.2 * (1 - ease):
        return [("", fields)]
    middle = rng.randint(2, len(fields) - 2)
    first, second = rng.sample(LABELS["form_section"], 2)
    return [(first, fields[:middle]), (second, fields[middle:])]


def pick_value(rng: Random, split: str, key: str, longest: int = 7) -> str:
    """Sample a value for a key; words have at most `longest` letters."""
    if key in DIGITS:
        return pick_digits(rng, *DIGITS[key])
    if key == "Date":
        return f"{rng.randint(1, 28)}.{rng.randint(1, 12)}"
    if key == "Price" or key in LABELS["money_key"]:
        return money(pick_cents(rng))
    if key == "Colour":
        return rng.choice(list(palette.COLOURS))
    if key in LABELS["more_digit_key"]:
        return pick_digits(rng, 1, 6)
    if key in LABELS["more_date_key"]:
        return sample_date_form(rng)(sample_date(rng))
    if key in LABELS["time_key"]:
        return sample_time(rng)
    if key in LABELS["choice_key"]:
        return rng.choice(("yes", "no"))
    while True:
        word = pick_word(rng, split)
        if len(word) <= longest:
            return word


TASKS = (
    Task("form", form, "ocr", in_exam=True),
    Task("form_dialogue", form_dialogue, "ocr", lesson=True),
    Task("form_one", form_one, "ocr", lesson=True),
    Task("form_lines", form_lines, "ocr", lesson=True),
)
