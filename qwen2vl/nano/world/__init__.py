"""The drawn world on which nano is trained and measured: pictures, pages, screens and films with exact truth."""

from qwen2vl.nano.world.fonts import INSTALL_LINE
from qwen2vl.nano.world.item import Item
from qwen2vl.nano.world.tasks import DENSE, SPLITS, TASKS, WITHOUT_FONTS, draw
from qwen2vl.nano.world.wording import corpus_words

__all__ = ["DENSE", "INSTALL_LINE", "SPLITS", "TASKS", "WITHOUT_FONTS", "Item", "corpus_words", "draw"]
