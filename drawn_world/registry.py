"""The tasks of all rooms, and the one way to draw an item: a pure function of task, seed, split and ease."""

import re
from collections import Counter
from collections.abc import Iterable
from random import Random

from drawn_world import palette, wording
from drawn_world.charts import chart_tasks
from drawn_world.documents import forms, notices, pages, receipts, tables
from drawn_world.glyphs import articles, emoji, glyph_lessons, glyph_tasks, knowledge, picture_lessons
from drawn_world.item import Item
from drawn_world.reading import languages, line_stacks, paragraphs, placed_words, scripts, textures, word_tasks
from drawn_world.screens import actions, window_lessons
from drawn_world.shapes import (
    kinds,
    overlaps,
    pair_talk,
    pairs,
    places,
    scene_talk,
    shape_lessons,
    shape_scenes,
    shape_tasks,
)
from drawn_world.task import Task
from drawn_world.text import instructions, questions, refusals, small_talk
from drawn_world.videos import film_lessons, motion, video_lessons, video_tasks
from qwen2vl.common.errors import Qwen2VLError

KEYWORD_PIECES = ("✿FUNCTION", "✿ARGS", "✿RESULT", "✿RETURN", "✿:", '{"', '":', '"}', '","', ", ", "]}", "],")
"""Parts of calls of actions as the tokenizer splits them, see `processing.agent_text`."""
COMMON = 3
"""Fewest occurrences in wordings that make a word one token."""
SPLITS = ("train", "val", "test")
ALL_TASKS: dict[str, Task] = {
    task.name: task
    for tasks in (
        shape_tasks.TASKS,
        shape_lessons.TASKS,
        pairs.TASKS,
        overlaps.TASKS,
        places.TASKS,
        scene_talk.TASKS,
        pair_talk.TASKS,
        word_tasks.TASKS,
        paragraphs.TASKS,
        line_stacks.TASKS,
        languages.TASKS,
        placed_words.TASKS,
        scripts.TASKS,
        textures.TASKS,
        pages.TASKS,
        receipts.TASKS,
        forms.TASKS,
        tables.TASKS,
        notices.TASKS,
        window_lessons.TASKS,
        actions.TASKS,
        motion.TASKS,
        video_tasks.TASKS,
        video_lessons.TASKS,
        film_lessons.TASKS,
        questions.TASKS,
        instructions.TASKS,
        small_talk.TASKS,
        refusals.TASKS,
        glyph_tasks.TASKS,
        glyph_lessons.TASKS,
        picture_lessons.TASKS,
        knowledge.TASKS,
        articles.TASKS,
        chart_tasks.TASKS,
    )
    for task in tasks
}
"""Every task and lesson by its name."""
TASKS = tuple(name for name, task in ALL_TASKS.items() if not task.lesson)
LESSONS = tuple(name for name, task in ALL_TASKS.items() if task.lesson)
"""Names of lessons: drawn like tasks, but for training only."""
KINDS = {name: task.kind for name, task in ALL_TASKS.items()}
"""Task or lesson to the kind of its records, one of `qwen2vl.data.records.KINDS`."""
WITHOUT_FONTS = tuple(name for name, task in ALL_TASKS.items() if not task.needs_fonts)
"""Tasks and lessons that draw no letters."""


def draw(task: str, seed: int, split: str = "train", ease: float = 0.0) -> Item:
    """Draw one item; the same arguments give the same pixels in every process.

    ease: 0 = the full task, 1 = its easiest form: aligned letters, nearly white background, one size and one wording.
    Raises Qwen2VLError for an unknown task or split, for an ease outside 0 to 1, and when fonts or words are not installed.
    """
    if task not in ALL_TASKS:
        raise Qwen2VLError(f"task {task!r} is unknown: choose one of {', '.join(ALL_TASKS)}")
    if split not in SPLITS:
        raise Qwen2VLError(f"split {split!r} is unknown: choose one of {', '.join(SPLITS)}")
    if not 0 <= ease <= 1:
        raise Qwen2VLError(f"ease {ease} is out of range: choose a number from 0 (full task) to 1 (easiest)")
    return ALL_TASKS[task].make(Random(f"{split}/{task}/{seed}"), split, ease)


def draw_ease(seed: int, source: str) -> float:
    """Ease of an item whose source fixes none: 0 for half of the items, else any number up to 1."""
    return max(0.0, Random(f"ease/{source}/{seed}").uniform(-1, 1))


def corpus_words() -> list[str]:
    """The words of questions and answers, repeated by their number of occurrences; rare words of wordings are left out.

    Words to be read in images are not among them: a model must spell what it reads.
    """
    names = [*palette.COLOURS, *kinds.KINDS, *kinds.PLURALS.values(), *shape_scenes.RELATIONS, *motion.DIRECTIONS]
    names += [*emoji.NAMES, *map(emoji.plural, emoji.NAMES), questions.IDENTITY, *questions.FACTS]
    worded = words_of(wording.texts())
    counts = Counter(worded)
    return [*(word for word in worded if counts[word] >= COMMON), *words_of([*names, *wording.words()])]


def corpus_pieces() -> list[str]:
    """Texts that are one token wherever they are written: keywords of actions, then characters of other alphabets."""
    return [*KEYWORD_PIECES, *languages.language_characters()[0]]


def words_of(texts: Iterable[str]) -> list[str]:
    """All words in some texts, without the names of what is filled in."""
    return [word for text in texts for word in re.findall(r"[A-Za-z]+", re.sub(r"\{\w+\}", " ", text))]
