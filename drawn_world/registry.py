"""The tasks of the drawn world and the one way to draw an item: a pure function of task, seed, split and ease."""

import re
from collections.abc import Callable
from random import Random
from typing import Protocol

from drawn_world.charts import chart_tasks as charts
from drawn_world.documents import pages
from drawn_world.documents import tasks as documents
from drawn_world.glyphs import articles, knowledge
from drawn_world.glyphs import glyph_tasks as glyphs
from drawn_world.item import Item, Maker
from drawn_world.reading import paragraphs, textures
from drawn_world.reading import word_tasks as reading
from drawn_world.screens import actions, window_lessons
from drawn_world.screens import windows as screens
from drawn_world.shapes import overlaps, pairs
from drawn_world.shapes import shape_lessons as lessons
from drawn_world.shapes import shape_tasks as scene_tasks
from drawn_world.text import instructions
from drawn_world.text import questions as text
from drawn_world.videos import motion as videos
from drawn_world.videos import video_tasks
from drawn_world.wording import corpus_words
from qwen2vl.common.errors import Qwen2VLError

SPLITS = ("train", "val", "test")


class Part(Protocol):
    """A module of the world that brings tasks and lessons of its own."""

    MAKERS: dict[str, Maker]
    LESSONS: dict[str, Maker]
    KINDS: dict[str, str]
    """Task or lesson to the kind of its records, one of `data.records.KINDS`."""
    QUESTIONS: dict[str, tuple[str, ...]]
    WORDS: tuple[str, ...]
    """Names that a tokenizer should know."""


WITH_WORDS: tuple[Part, ...] = (glyphs, paragraphs, documents, charts, actions, video_tasks, pairs, instructions)
PARTS: tuple[Part, ...] = (*WITH_WORDS, overlaps, knowledge, articles)
"""The last came when the vocabulary was settled and add no words to it."""


def _of_shapes(make: Callable[[Random, float], Item]) -> Maker:
    """Of shapes every split has all: only seeds keep them apart."""
    return lambda rng, split, ease: make(rng, ease)


_FIRST: dict[str, Maker] = {
    "colour_shape": _of_shapes(scene_tasks.colour_shape),
    "count": _of_shapes(scene_tasks.count),
    "relate": _of_shapes(scene_tasks.relate),
    "ground": _of_shapes(scene_tasks.ground),
    "point": _of_shapes(scene_tasks.point),
    "caption": _of_shapes(scene_tasks.caption),
    "compare": _of_shapes(scene_tasks.compare),
    "read_word": reading.read_word,
    "read_number": reading.read_number,
    "page": lambda rng, split, ease: pages.page(rng, split),
    "screen": lambda rng, split, ease: screens.screen(rng, split),
    "motion": _of_shapes(videos.motion),
    "order": _of_shapes(videos.order),
    "text": lambda rng, split, ease: text.text(rng, split),
}
FIRST_TASKS = tuple(_FIRST)
"""Those of the exam "nano"."""
_MAKERS = _FIRST | {name: make for part in PARTS for name, make in part.MAKERS.items()}
TASKS = tuple(_MAKERS)
_DENSE: dict[str, Maker] = {
    "read_lines": reading.read_lines,
    "spaced_lines": reading.spaced_lines,
    "word_on_texture": textures.word_on_texture,
    "shape_rows": _of_shapes(lessons.shape_rows),
    "look_up": _of_shapes(lessons.look_up),
    "tell_apart": _of_shapes(lessons.tell_apart),
    "place_cells": _of_shapes(lessons.place_cells),
    "place_one": _of_shapes(lessons.place_one),
    "track": _of_shapes(videos.track),
    "film_rows": _of_shapes(videos.film_rows),
    "name_dialogue": _of_shapes(lessons.name_dialogue),
    "place_dialogue": _of_shapes(lessons.place_dialogue),
    "page_lines": pages.page_lines,
    "screen_lines": window_lessons.screen_lines,
    "control_one": window_lessons.control_one,
    "page_dialogue": pages.page_dialogue,
    "screen_dialogue": window_lessons.screen_dialogue,
}
_DENSE |= {name: make for part in PARTS for name, make in part.LESSONS.items()}
DENSE = tuple(_DENSE)
"""Drawn like tasks, but for training only: many answers, or many letters, for one image's cost."""
WITHOUT_FONTS = (
    "colour_shape", "count", "relate", "ground", "point", "caption", "compare", "motion", "order",
    "shape_rows", "look_up", "tell_apart", "place_cells", "place_one", "track", "film_rows", "name_dialogue", "place_dialogue",
    "events", "speed", "changed", "film_count", "event_rows", "film_dialogue",
    "difference", "same_object", "which_picture", "count_nine", "pair_rows", "pair_dialogue", "equal_cells", "count_rows", "overlap",
)  # fmt: skip
"""Tasks and lessons that draw no letters."""

EXAM_TASKS = (
    "colour_shape", "glyph_name", "count_nine", "relate", "glyph_ground", "ground", "screen", "next_action",
    "read_word", "read_line", "read_script", "receipt", "form", "table",
    "chart_value", "chart_compare", "chart_trend",
    "motion", "order", "events", "late",
    "difference", "compare", "instruct",
    "transfer_page", "transfer_screen", "transfer_chart", "transfer_line", "transfer_photo",
)  # fmt: skip
"""Of the exam `exam`, in its order."""

KINDS: dict[str, str] = {
    "colour_shape": "vqa",
    "count": "vqa",
    "relate": "vqa",
    "ground": "grounding",
    "point": "grounding",
    "caption": "caption",
    "compare": "multi_image",
    "read_word": "ocr",
    "read_number": "ocr",
    "page": "ocr",
    "screen": "grounding",
    "motion": "video",
    "order": "video",
    "text": "text",
    "read_lines": "ocr",
    "spaced_lines": "ocr",
    "word_on_texture": "ocr",
    "shape_rows": "caption",
    "look_up": "vqa",
    "tell_apart": "vqa",
    "place_cells": "grounding",
    "place_one": "grounding",
    "track": "video",
    "film_rows": "video",
    "name_dialogue": "vqa",
    "place_dialogue": "grounding",
    "page_lines": "ocr",
    "screen_lines": "ocr",
    "control_one": "grounding",
    "page_dialogue": "ocr",
    "screen_dialogue": "grounding",
} | {name: kind for part in PARTS for name, kind in part.KINDS.items()}
"""Task or lesson to the kind of its records, one of `data.records.KINDS`."""


def draw(task: str, seed: int, split: str = "train", ease: float = 0.0) -> Item:
    """Draws one item; the same arguments give the same pixels in every process.

    ease in 0..1 makes seeing easier: 1 = aligned letters, nearly white ground, one size and one wording; 0 = the full task.
    Raises Qwen2VLError for an unknown task or split, and when fonts or words are not installed.
    """
    makers = _MAKERS | _DENSE
    if task not in makers:
        raise Qwen2VLError(f"task {task!r} is unknown: choose one of {', '.join(makers)}")
    if split not in SPLITS:
        raise Qwen2VLError(f"split {split!r} is unknown: choose one of {', '.join(SPLITS)}")
    if not 0 <= ease <= 1:
        raise Qwen2VLError(f"ease {ease} is out of range: choose a number from 0 (full task) to 1 (easiest)")
    return makers[task](Random(f"{split}/{task}/{seed}"), split, ease)


def added_words() -> list[str]:
    """What `wording.corpus_words` lacks: words of the parts' questions and names, sorted.

    They are kept apart because a tokenizer's ids follow the order of its words, and weights know ids. Plurals need no
    tokens of their own: "s" follows the singular. Capitalised words stand at the beginning, where letters do.
    """
    texts = [word for part in WITH_WORDS for word in part.WORDS]
    texts += [wording for part in WITH_WORDS for wordings in part.QUESTIONS.values() for wording in wordings]
    plain = (re.sub(r"\{\w+\}", " ", text) for text in texts)
    words = {word for text in plain for word in re.findall(r"\b[a-z]+\b", text)}
    return sorted({word for word in words if not (word.endswith("s") and word[:-1] in words)} - set(corpus_words()))
