"""Documents that answer questions: what the modules of receipts, forms and tables offer together."""

from drawn_world.documents import forms, receipts, tables
from drawn_world.item import Maker

_PARTS = (receipts, forms, tables)
MAKERS: dict[str, Maker] = {name: make for part in _PARTS for name, make in part.MAKERS.items()}
LESSONS: dict[str, Maker] = {name: make for part in _PARTS for name, make in part.LESSONS.items()}
KINDS: dict[str, str] = {name: kind for part in _PARTS for name, kind in part.KINDS.items()}
QUESTIONS: dict[str, tuple[str, ...]] = {name: texts for part in _PARTS for name, texts in part.QUESTIONS.items()}
WORDS: tuple[str, ...] = tuple(dict.fromkeys(word for part in _PARTS for word in part.WORDS))
