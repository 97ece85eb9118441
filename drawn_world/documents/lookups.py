"""What documents share: goods and their prices, and questions that one entry answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from PIL import Image

from drawn_world.item import MAX_TURNS, Item, dialogue_item, image_item, text_truth
from drawn_world.typesetting import with_scene
from drawn_world.words import pick_word, split_of

GOODS = (
    "tea milk bread rice salt sugar soap apple pear plum grape lemon orange banana carrot potato onion tomato bean corn "
    "egg cheese butter ham fish beef soup pasta pizza cake candy juice water coffee cocoa honey jam oil flour spice "
    "paper pen book lamp cup plate bowl spoon fork knife pan pot brush comb towel shirt shoe sock hat scarf glove belt "
    "rope nail glue tape bulb plug toy ball doll card map stamp ticket flower seed mint nut cream yogurt melon cherry"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A question about one entry."""

    question: str
    answer: str
    accept: tuple[str, ...] = ()
    """Further right answers."""
    asked: dict[str, str]
    """What the question is about, in the terms of the image's description."""
    read: tuple[str, ...] = ()
    """Words of the list in question and answer."""


def look_up(task: str, image: Image.Image, lookup: Lookup, scene: dict[str, Any]) -> Item:
    """The item of one question."""
    truth = text_truth(lookup.answer, *lookup.accept, read=list(lookup.read), metric="anls")
    truth |= {"scene": scene | {"asked": lookup.asked}}
    return image_item(task, [image], lookup.question, lookup.answer, truth)


def talk_over(rng: Random, task: str, image: Image.Image, lookups: Sequence[Lookup], scene: dict[str, Any]) -> Item:
    """A dialogue of up to six questions in any order."""
    chosen = rng.sample(list(lookups), min(MAX_TURNS, len(lookups)))
    item = dialogue_item(task, image, [(each.question, each.answer) for each in chosen])
    return with_scene(item, scene | {"asked": [each.asked for each in chosen]})


@lru_cache(maxsize=8)
def goods(split: str) -> tuple[str, ...]:
    """The goods of a split; as everywhere a word's hash decides."""
    return tuple(word for word in GOODS.split() if split_of(word) == split)


def pick_goods(rng: Random, split: str, count: int, longest: int = 7) -> list[str]:
    """Different names, half of them goods and half any words: a lookup has to read, not to know."""
    names: list[str] = []
    while len(names) < count:
        name = rng.choice(goods(split)) if rng.random() < 0.5 else pick_word(rng, split)
        if len(name) <= longest and name not in names:
            names.append(name)
    return names


def pick_cents(rng: Random) -> int:
    """A price under ten, half of them without odd cents."""
    return rng.choice((rng.randint(2, 99) * 10, rng.randint(20, 999)))


def money(cents: int) -> str:
    """450 as "4.50"."""
    return f"{cents // 100}.{cents % 100:02d}"
