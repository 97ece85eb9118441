"""The registry holds every task of every room, and the words that it gives to tokenizers never change."""

import hashlib
import pkgutil
import re
from importlib import import_module

import pytest

import drawn_world
from drawn_world import FIRST_TASKS, KINDS, LESSONS, TASKS, added_words, corpus_words, palette, wording
from drawn_world.exam_tasks import EXAM_TASKS
from drawn_world.registry import ALL_TASKS
from drawn_world.task import Task
from qwen2vl.data import records


def test_every_task_of_every_module_is_registered_once() -> None:
    modules = [import_module(each.name) for each in pkgutil.walk_packages(drawn_world.__path__, "drawn_world.")]
    listed = [task for module in modules for task in getattr(module, "TASKS", ()) if isinstance(task, Task)]
    assert len(listed) == len({task.name for task in listed}) == len(ALL_TASKS)
    assert all(ALL_TASKS[task.name] is task for task in listed)


def test_tasks_and_lessons_are_distinct_and_no_exam_asks_a_lesson() -> None:
    assert {*TASKS} | {*LESSONS} == {*ALL_TASKS} and not {*TASKS} & {*LESSONS}
    assert {exam for task in ALL_TASKS.values() for exam in task.exams} == {"nano", "exam"}
    assert not any(ALL_TASKS[name].exams for name in LESSONS)
    assert not {*ALL_TASKS} & {*palette.COLOURS}  # else `eval` could not tell a task's scores from a colour's


def test_the_exams_ask_their_tasks_in_a_fixed_order() -> None:
    assert FIRST_TASKS == (
        "colour_shape", "count", "relate", "ground", "point", "caption", "compare", "read_word", "read_number", "page",
        "screen", "motion", "order", "text",
    )  # fmt: skip
    assert {name for name in EXAM_TASKS if not name.startswith("transfer_")} == {
        name for name, task in ALL_TASKS.items() if "exam" in task.exams
    }


def test_every_kind_of_record_is_drawn_and_no_other() -> None:
    assert set(KINDS.values()) == set(records.KINDS)


@pytest.mark.parametrize(
    ("words", "count", "digest"),
    [(corpus_words, 281, "511cb74d1a405de1"), (added_words, 241, "02a515fd67ee32cd")],
)
def test_the_words_of_shipped_tokenizers_stay_in_their_order(words, count, digest) -> None:
    """Ids of tokens follow the order of words, and shipped weights follow the ids."""
    assert len(words()) == count
    assert hashlib.sha256("\n".join(words()).encode()).hexdigest()[:16] == digest


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
