"""The description of one task of the drawn world. Every module of makers lists its own in TASKS; `registry` collects them."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from random import Random

from drawn_world.item import Item

Maker = Callable[[Random, str, float], Item]
"""Draws one item from a stream of random numbers, a split ("train", "val" or "test") and an ease from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of item: how it is drawn and where it is used."""

    name: str
    make: Maker
    kind: str
    """Kind of its records, one of `qwen2vl.data.records.KINDS`."""
    _: KW_ONLY
    lesson: bool = False
    """Whether it is drawn for training only: many answers, or many letters, for the cost of one image."""
    needs_fonts: bool = True
    """Whether fonts or the word list must be installed to draw it."""
    in_exam: bool = False
    """Whether the exam asks it."""


def without_split(make: Callable[[Random, float], Item]) -> Maker:
    """A maker of items that are alike in all splits, such as shapes: only seeds keep the splits apart."""
    return lambda rng, split, ease: make(rng, ease)


def without_ease(make: Callable[[Random, str], Item]) -> Maker:
    """A maker of items that have no easier form."""
    return lambda rng, split, ease: make(rng, split)
