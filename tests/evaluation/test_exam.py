"""No packaged exam has changed since it was frozen, and its aims are about its tasks."""

import pytest

from drawn_world.exam_tasks import EXAM_TASKS, LANGUAGE_TASKS
from qwen2vl.common.files import sha256_of
from qwen2vl.evaluation.exam import EXAMS
from qwen2vl.evaluation.items import MOST_BYTES, count_items, read_items

FROZEN = {"exam": "dbb21c93fe372380", "languages": "32caa44cf6637d9d"}
"""Exam -> first digits of the archive's SHA-256; scores of another archive do not compare with the published ones."""
KINDS = {"text", "number", "box", "point", "action"}


def test_the_exam_and_its_languages_fit_the_package():
    assert sum(EXAMS[name].path.stat().st_size for name in ("exam", "languages")) <= 24_000_000
    assert tuple(count_items(EXAMS["languages"].path)) == LANGUAGE_TASKS


def with_floors(aims):
    """Tasks with a floor for all or for a part of them."""
    return {name.partition("/")[0] for name in aims.floors}


def test_aims_are_about_tasks_of_the_exam():
    aims = EXAMS["exam"].aims
    assert {*with_floors(aims), *aims.twins, *aims.twins.values()} <= set(EXAM_TASKS)
    assert aims.num_tasks == len(EXAM_TASKS)
    assert all(floor < aim for exam in EXAMS.values() for floor, aim in exam.aims.floors.values())


@pytest.mark.parametrize("name", FROZEN)
def test_packaged_exams_are_frozen(name):
    exam = EXAMS[name]
    assert sha256_of(exam.path).startswith(FROZEN[name])
    counts = count_items(exam.path)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert with_floors(exam.aims) <= set(counts)
    assert exam.path.stat().st_size <= MOST_BYTES


@pytest.mark.parametrize("name", FROZEN)
def test_every_packaged_item_has_media_and_truth(name):
    for number, item in enumerate(read_items(EXAMS[name].path)):
        content = item.messages[-1]["content"]
        assert content[-1]["type"] == "text"
        assert item.truth["kind"] in KINDS
        first = item.messages[0]["content"]
        assert number > 0 or any(part["type"] == "image" for part in first), "the first task has images"
