"""The drawn world on which nano is trained and measured: images, pages, screens and videos with exact truth."""

from drawn_world.fonts import INSTALL_LINE
from drawn_world.item import Item
from drawn_world.registry import (
    FIRST_TASKS,
    KINDS,
    LESSONS,
    SPLITS,
    TASKS,
    WITHOUT_FONTS,
    added_words,
    corpus_words,
    draw,
)

__all__ = [
    "FIRST_TASKS",
    "INSTALL_LINE",
    "KINDS",
    "LESSONS",
    "SPLITS",
    "TASKS",
    "WITHOUT_FONTS",
    "Item",
    "added_words",
    "corpus_words",
    "draw",
]
