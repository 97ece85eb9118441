"""The drawn world on which nano is trained and measured: images, pages, screens and videos with exact truth."""

from qwen2vl.nano.world.fonts import INSTALL_LINE
from qwen2vl.nano.world.item import Item
from qwen2vl.nano.world.tasks import DENSE, FIRST_TASKS, KINDS, SPLITS, TASKS, WITHOUT_FONTS, added_words, draw
from qwen2vl.nano.world.wording import corpus_words

__all__ = [
    "DENSE", "FIRST_TASKS", "INSTALL_LINE", "KINDS", "SPLITS", "TASKS", "WITHOUT_FONTS", "Item", "added_words",
    "corpus_words", "draw",
]  # fmt: skip
