"""The registry holds every task of every room."""

import pkgutil
import re
from collections import Counter
from importlib import import_module

import numpy as np
import pytest

import drawn_world
from drawn_world import KINDS, LESSONS, TASKS, corpus_words, draw, palette, wording
from drawn_world.exam_tasks import EXAM_TASKS
from drawn_world.glyphs import emoji
from drawn_world.registry import ALL_TASKS, draw_ease, words_of
from drawn_world.task import Task
from drawn_world.write_records import draw_from
from qwen2vl.data import records

from .checks import digest_of


def test_every_task_of_every_module_is_registered_once() -> None:
    modules = [import_module(each.name) for each in pkgutil.walk_packages(drawn_world.__path__, "drawn_world.")]
    listed = [task for module in modules for task in getattr(module, "TASKS", ()) if isinstance(task, Task)]
    assert len(listed) == len({task.name for task in listed}) == len(ALL_TASKS)
    assert all(ALL_TASKS[task.name] is task for task in listed)


def test_tasks_and_lessons_are_distinct_and_no_exam_asks_a_lesson() -> None:
    assert {*TASKS} | {*LESSONS} == {*ALL_TASKS} and not {*TASKS} & {*LESSONS}
    assert not any(ALL_TASKS[name].in_exam for name in LESSONS)
    assert not {*ALL_TASKS} & {*palette.COLOURS}  # else `eval` could not tell a task's scores from a colour's


def test_the_exam_asks_all_its_tasks() -> None:
    assert {name for name in EXAM_TASKS if not name.startswith("transfer_")} == {
        name for name, task in ALL_TASKS.items() if task.in_exam
    }


def test_half_of_the_items_without_a_fixed_ease_are_full_tasks() -> None:
    eases = [draw_ease(seed, "read_word") for seed in range(2000)]
    assert 0.45 < eases.count(0) / len(eases) < 0.55
    assert np.quantile([ease for ease in eases if ease], [0.25, 0.5, 0.75]) == pytest.approx(
        [0.25, 0.5, 0.75], abs=0.05
    )
    assert digest_of([draw_from("count", 7, "val")]) == digest_of([draw("count", 7, "val", draw_ease(7, "count"))])
    assert [draw_ease(seed, "count") for seed in range(9)] != [draw_ease(seed, "point") for seed in range(9)]


def test_words_that_are_tokens_are_common_ones_and_never_those_to_be_read() -> None:
    counts = Counter(words_of(wording.texts()))
    given = {*words_of(wording.words()), *(word for name in (*emoji.NAMES, *palette.COLOURS) for word in name.split())}
    known = set(corpus_words())
    assert {word for word, count in counts.items() if count >= 3} | given <= known
    assert "harbor" not in known and "circle" in known


def test_every_kind_of_record_is_drawn_and_no_other() -> None:
    assert set(KINDS.values()) == set(records.KINDS)


@pytest.mark.parametrize("part", ["questions", "labels"])
def test_no_name_is_in_two_files_of_wordings(part) -> None:
    names = [name for file in wording.FILES.values() for name in file.get(part, {})]
    assert len(names) == len(set(names)) > 10


WITH_HELD_OUT_WORDINGS = [name for name in wording.FILES if name not in ("common", "actions")]
"""Files of wordings whose held-out ones may use the words of all questions; test_actions checks those of actions."""


@pytest.mark.parametrize("name", WITH_HELD_OUT_WORDINGS)
def test_held_out_wordings_are_new_sentences_of_trained_words(name) -> None:
    groups = wording.FILES[name]["questions"].values()
    in_training = {each for group in groups for each in group[:-2]}
    elsewhere = {each for group in wording.FILES["common"]["questions"].values() for each in group}
    trained = {word for each in in_training | elsewhere for word in re.findall(r"\w+", each)}
    assert groups
    for group in groups:
        assert len(group) == len(set(group)) >= 5
        for held_out in group[-2:]:
            assert held_out not in in_training | elsewhere
            assert set(re.findall(r"\w+", held_out)) <= trained
