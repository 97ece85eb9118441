"""The tables of every module of tasks: kinds of records, and wordings that training never shows."""

import re

import pytest

from drawn_world import KINDS, palette, wording
from drawn_world.charts import chart_tasks as charts
from drawn_world.documents import tasks as documents
from drawn_world.glyphs import articles, knowledge
from drawn_world.glyphs import glyph_tasks as glyphs
from drawn_world.reading import paragraphs
from drawn_world.screens import actions
from drawn_world.shapes import overlaps, pairs
from drawn_world.text import instructions
from drawn_world.videos import video_tasks
from qwen2vl.data import records

OF_KNOWN_WORDS = (
    pairs,
    video_tasks,
    instructions,
    documents,
    paragraphs,
    charts,
    glyphs,
    overlaps,
    knowledge,
    articles,
)
"""Modules whose held-out wordings may use the words of all questions; those of actions use only words of actions."""


def name_of(module) -> str:
    return module.__name__.removeprefix("drawn_world.")


def test_every_kind_of_record_of_the_paper_is_drawn() -> None:
    assert set(KINDS.values()) == set(records.KINDS)


@pytest.mark.parametrize("module", (*OF_KNOWN_WORDS, actions), ids=name_of)
def test_every_task_has_a_kind_of_record_of_the_paper(module) -> None:
    tasks = {*module.MAKERS, *module.LESSONS}
    assert set(module.KINDS) == tasks and set(module.KINDS.values()) <= set(records.KINDS)
    assert not tasks & set(palette.COLOURS)
    assert all(module.QUESTIONS)


@pytest.mark.parametrize("module", OF_KNOWN_WORDS, ids=name_of)
def test_held_out_wordings_are_new_sentences_of_trained_words(module) -> None:
    in_training = {each for group in module.QUESTIONS.values() for each in group[:-2]}
    elsewhere = {each for group in wording.QUESTIONS.values() for each in group}
    trained = {word for each in in_training | elsewhere for word in re.findall(r"\w+", each)}
    for group in module.QUESTIONS.values():
        assert len(group) == len(set(group)) >= 5
        for held_out in group[-2:]:
            assert held_out not in in_training | elsewhere
            assert set(re.findall(r"\w+", held_out)) <= trained
