"""How receipts, forms and tables write money, dates and times, and the paper and letters of a document: all by procedure.

Notations that only the val or the test split has are never sampled for training: money "EUR 4.50" and "4.50 USD", dates
"4-12" and "Dec 4". Not here: where texts are put on the paper.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from drawn_world import palette
from drawn_world.fonts import faces
from drawn_world.palette import Rgb
from drawn_world.typesetting import PLAIN_FAMILIES, TextStyle, choose_form, choose_style
from drawn_world.wording import LABELS

WIDE, HIGH = 336, 420
"""Largest width and height of a training document, in pixels; val and test keep `typesetting.MAX_SIDE`."""
Date = tuple[int, int, int]
"""Day, month and year."""
CURRENCIES = ("$", "EUR", "\u20ac", "\u00a3", "USD", "GBP", "kr", "Fr", "CHF", "Rs")


@lru_cache(maxsize=8192)
def ink_size(style: TextStyle, size: int, text: str) -> tuple[int, int]:
    """Width of the ink and height of a line, measured once: layouts ask again and again while they look for a size."""
    return style.face.ink_size(size, text)


@dataclass(frozen=True, slots=True)
class Money:
    """A way to write prices."""

    form: str = "{}"
    """What stands before and after the number."""
    comma: bool = False
    """Whether cents follow a comma."""

    def number(self, cents: int) -> str:
        """The number alone, for example "4.50"."""
        return f"{cents // 100}{',' if self.comma else '.'}{cents % 100:02d}"

    def write(self, cents: int) -> str:
        """The number with its currency."""
        return self.form.format(self.number(cents))


def sample_money(rng: Random) -> Money:
    """A way to write prices in training: 4 in 10 without a currency, 1 in 6 with a decimal comma."""
    comma = rng.random() < 0.16
    if rng.random() < 0.4:
        return Money("{}", comma)
    while True:
        name, space = rng.choice(CURRENCIES), rng.choice(("", " "))
        before = rng.random() < (0.9 if name == "$" else 0.4)
        form = f"{name}{space or (' ' if name.isalpha() else '')}{{}}" if before else f"{{}}{space}{name}"
        if form not in ("EUR {}", "{} USD", "{}USD", "EUR{}"):
            return Money(form, comma)


def sample_date(rng: Random) -> Date:
    """A day from 1990 to 2039; no month has more than 28 days."""
    return rng.randint(1, 28), rng.randint(1, 12), rng.randint(1990, 2039)


def sample_date_form(rng: Random) -> Callable[[Date], str]:
    """A way to write dates in training: digits or names, with or without year, zeros and weekday-free."""
    if rng.random() < 0.3:
        name, joint, year = rng.choice(("month", "long_month")), rng.choice((" ", " ", "-", ". ")), rng.random() < 0.6
        padded, tail = rng.random() < 0.3, "-" if joint == "-" else " "
        return lambda date: (
            f"{date[0]:0{2 if padded else 1}d}{joint}{LABELS[name][date[1] - 1]}{f'{tail}{date[2]}' if year else ''}"
        )
    joint, zeros = rng.choice("../-"), rng.random() < 0.5
    years = rng.choice(("", "", "short", "long", "first"))
    years = "long" if joint == "-" and not years else years

    def write(date: Date) -> str:
        day, month = (f"{part:0{2 if zeros else 1}d}" for part in date[:2])
        year = f"{date[2] % 100:02d}" if years == "short" else str(date[2])
        parts = (year, month, day) if years == "first" else (day, month, year) if years else (day, month)
        return joint.join(parts)

    return write


def sample_time(rng: Random) -> str:
    """A time of day, for example "14:05"."""
    return f"{rng.randint(7, 22)}:{rng.randint(0, 59):02d}"


def document_style(rng: Random, split: str, ease: float, coloured: float = 0.15) -> TextStyle:
    """A style for a document; full training styles are half on tinted light paper with dark tinted ink, as paper often is."""
    style = choose_style(rng, split, choose_form(rng, ease), coloured=coloured)
    if style.form != "full" or split != "train" or rng.random() < 0.5:
        return style
    light, dark = rng.randint(200, 250), rng.randint(0, 80)
    paper = palette.jitter(rng, (light, light, light), rng.choice((0, 6, 20)))
    return replace(style, paper=paper, ink=palette.jitter(rng, (dark, dark, dark), rng.choice((0, 10, 40))))


def another_face(rng: Random, style: TextStyle, split: str, share: float) -> TextStyle:
    """The style, or with this probability the same with another face: mostly of the same family, such as bold."""
    if style.form == "aligned" or rng.random() >= share:
        return style
    family = [face for face in faces(split) if face.family == style.face.family]
    every = [face for face in faces(split) if style.form == "full" or face.family in PLAIN_FAMILIES] or family
    return replace(style, face=rng.choice(family if rng.random() < 0.6 else every))


def faint(style: TextStyle, share: float = 0.13) -> Rgb:
    """The paper with a share of ink, for shades; with larger shares for faded letters."""
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(style.paper, style.ink, strict=True))
    return red, green, blue


def cased(rng: Random, text: str, ease: float) -> str:
    """The text as it is, capitalised or in capitals; as it is with probability `ease`."""
    change = rng.random()
    if change < ease:
        return text
    return rng.choice((text, text.capitalize(), text.capitalize(), text.upper()))
