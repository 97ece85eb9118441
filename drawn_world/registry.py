"""The tasks of all rooms, and the one way to draw an item: a pure function of task, seed, split and ease."""

import re
from collections.abc import Iterable
from random import Random

from drawn_world import palette
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
from drawn_world.wording import texts_of_vocabulary
from qwen2vl.common.errors import Qwen2VLError

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
FIRST_TASKS = tuple(name for name, task in ALL_TASKS.items() if "nano" in task.exams)
"""Tasks of the exam "nano"."""
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


def corpus_words() -> list[str]:
    """All words, sorted, that questions and answers of the first tasks can contain, except words to be read."""
    texts = [*palette.COLOURS, *kinds.KINDS, *kinds.PLURALS.values(), *shape_scenes.RELATIONS, *motion.DIRECTIONS]
    texts += [questions.IDENTITY, *questions.FACTS, *questions.FACTS.values(), *texts_of_vocabulary("first")]
    return sorted(_words_of(texts, r"[A-Za-z]+"))


def added_words() -> list[str]:
    """The words, sorted, that later tasks add to `corpus_words`.

    They are a list of their own because the ids of a tokenizer follow the order of its words, and trained weights depend
    on the ids. Plurals in "s" are left out, because a token "s" follows the singular; so are words with a capital letter,
    which begin a sentence and are written in single letters.
    """
    words = _words_of([*emoji.NAMES, *map(emoji.plural, emoji.NAMES), *texts_of_vocabulary("added")], r"\b[a-z]+\b")
    return sorted({word for word in words if not (word.endswith("s") and word[:-1] in words)} - set(corpus_words()))


def _words_of(texts: Iterable[str], pattern: str) -> set[str]:
    """Words of a pattern in some texts, without the names of what is filled in."""
    return {word for text in texts for word in re.findall(pattern, re.sub(r"\{\w+\}", " ", text))}
