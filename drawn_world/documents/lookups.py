"""What receipts, forms and tables share: documents that answer questions, aligned columns, goods and prices."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from PIL import Image

from drawn_world.item import MAX_TURNS, Item, dialogue_item, image_item, text_truth
from drawn_world.typesetting import COLUMN, COLUMNS, Sheet, TextStyle, with_scene
from drawn_world.words import pick_word, split_of
from qwen2vl.spec.config import FACTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A question that one entry of a document answers."""

    question: str
    answer: str
    accept: tuple[str, ...] = ()
    """Further right answers."""
    subject: dict[str, str]
    """What the question is about, in the terms of the document's description; stored as "asked"."""
    read: tuple[str, ...] = ()
    """Words of the word list in question and answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnDocument:
    """A drawn document and its description."""

    image: Image.Image
    scene: dict[str, Any]
    """Description for JSON."""

    def item(self, task: str, lookup: Lookup) -> Item:
        """An item with one question."""
        truth = text_truth(lookup.answer, *lookup.accept, read=list(lookup.read), metric="anls")
        truth |= {"scene": self.scene | {"asked": lookup.subject}}
        return image_item(task, [self.image], lookup.question, lookup.answer, truth)

    def dialogue(self, rng: Random, task: str, lookups: Sequence[Lookup], least: int = 4) -> Item:
        """An item with up to six of these questions in random order, of which none gives away the answer to a later one.

        least: fewest questions if there are enough; the number is drawn from least to six.
        """
        chosen = independent(rng.sample(list(lookups), len(lookups)))[: rng.randint(min(least, MAX_TURNS), MAX_TURNS)]
        item = dialogue_item(task, self.image, [(each.question, each.answer) for each in chosen])
        return with_scene(item, self.scene | {"asked": [each.subject for each in chosen]})

    def reading(self, task: str, question: str, text: str) -> Item:
        """An item that asks for the text of the whole document."""
        return with_scene(dialogue_item(task, self.image, [(question, text)]), self.scene)


def independent(lookups: Sequence[Lookup]) -> list[Lookup]:
    """The questions without those whose answer an earlier question or answer holds, all of it or more than half."""
    kept, said = list[Lookup](), list[str]()
    for each in lookups:
        answer = each.answer.lower()
        if answer in ("yes", "no") or not any(_holds(text, answer) or _gives_most(text, answer) for text in said):
            kept.append(each)
            said += [each.question.lower(), answer]
    return kept


def _holds(text: str, part: str) -> bool:
    """Whether a text has a part as whole words."""
    return part in text and re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) is not None


def _gives_most(text: str, answer: str) -> bool:
    """Whether a text is more than half of an answer, as the total is of the line that gives it."""
    return 2 * len(text) > len(answer) and text in answer


def neighbours(lines: Sequence[str], worded: Callable[..., str], rng: Random, longest: int = 40) -> list[Lookup]:
    """Questions for the first and last line, and for the lines above and below one that occurs once.

    worded: question name to a wording, with the line as part `text`.
    """
    found = [
        Lookup(question=worded("document_first_line"), answer=lines[0], subject={"line": "0"}),
        Lookup(question=worded("document_last_line"), answer=lines[-1], subject={"line": str(len(lines) - 1)}),
    ]
    at = rng.randrange(len(lines))
    if lines.count(lines[at]) == 1 and len(lines[at]) <= longest:
        for name, other in (("document_line_above", at - 1), ("document_line_below", at + 1)):
            if 0 <= other < len(lines):
                question = worded(name, text=lines[at])
                found.append(Lookup(question=question, answer=lines[other], subject={"line": str(other)}))
    return found


def draw_in_columns(
    rng: Random, style: TextStyle, rows: Sequence[Sequence[tuple[int, str]]]
) -> tuple[Image.Image, dict[str, Any]]:
    """Rows of aligned texts, each with its first column, 28 pixels a row; and a description of how it was made."""
    sheet = Sheet(rng, style, (COLUMNS * COLUMN, FACTOR * len(rows)))
    for row, texts in enumerate(rows):
        for column, text in texts:
            sheet.write(FACTOR, text, (column * COLUMN, row * FACTOR))
    return sheet.finish(rng, FACTOR)


@lru_cache(maxsize=8)
def goods(split: str) -> tuple[str, ...]:
    """The goods of a split, which is decided by a word's hash as for all words."""
    every = (
        "tea milk bread rice salt sugar soap apple pear plum grape lemon orange banana carrot potato onion tomato bean corn "
        "egg cheese butter ham fish beef soup pasta pizza cake candy juice water coffee cocoa honey jam oil flour spice "
        "paper pen book lamp cup plate bowl spoon fork knife pan pot brush comb towel shirt shoe sock hat scarf glove belt "
        "rope nail glue tape bulb plug toy ball doll card map stamp ticket flower seed mint nut cream yogurt melon cherry"
    )
    return tuple(word for word in every.split() if split_of(word) == split)


def pick_goods(rng: Random, split: str, count: int, longest: int = 7) -> list[str]:
    """Sample different names: half of them goods, half any words, so that a model has to read them and cannot guess."""
    names: list[str] = []
    while len(names) < count:
        name = rng.choice(goods(split)) if rng.random() < 0.5 else pick_word(rng, split)
        if len(name) <= longest and name not in names:
            names.append(name)
    return names


def pick_cents(rng: Random) -> int:
    """Sample a price below ten, in cents; half of the prices are multiples of ten cents."""
    return rng.choice((rng.randint(2, 99) * 10, rng.randint(20, 999)))


def money(cents: int) -> str:
    """Write a price in cents, for example 450 as "4.50"."""
    return f"{cents // 100}.{cents % 100:02d}"
