"""The drawn world on which nano is trained and measured: images, pages, screens and videos with exact truth."""

from drawn_world.fonts import INSTALL_LINE
from drawn_world.item import Item
from drawn_world.registry import (
    KINDS,
    LESSONS,
    SPLITS,
    TASKS,
    WITHOUT_FONTS,
    corpus_pieces,
    corpus_words,
    draw,
    draw_ease,
)

__all__ = [
    "INSTALL_LINE",
    "KINDS",
    "LESSONS",
    "SPLITS",
    "TASKS",
    "WITHOUT_FONTS",
    "Item",
    "corpus_pieces",
    "corpus_words",
    "draw",
    "draw_ease",
]
