"""`qwen2vl data draw-exam`: every task of the exam has a drawer, and items come from their own streams of random numbers."""

from random import Random

from PIL import Image

from drawn_world import TASKS
from drawn_world.exam_tasks import DRAWERS, EXAM_TASKS, makers
from drawn_world.item import image_item, text_truth
from qwen2vl.cli.data import draw_exam
from qwen2vl.cli.data.draw_exam import draw_items, one_by_one
from qwen2vl.evaluation.items import read_items


def coloured(rng):
    image = Image.new("RGB", (56, 28), tuple(rng.randrange(256) for _ in range(3)))
    return image_item("coloured", [image], "Which?", "x", text_truth("x", scene={"size": 1}))


def pixel(item):
    return item.messages[0]["content"][0]["image"].getpixel((0, 0))


def test_every_task_of_the_exam_can_be_drawn():
    """The tests of the drawn world draw them if fonts and browser are installed."""
    assert {*makers(), *DRAWERS} == set(EXAM_TASKS)
    own = [task for task in EXAM_TASKS if not task.startswith("transfer_")]
    assert set(own) <= set(TASKS)


def test_items_have_numbers_and_streams_of_their_task():
    items = list(draw_items({"a": one_by_one(coloured), "b": one_by_one(coloured)}, 2))
    assert [(item.id, item.task) for item in items] == [("a-0", "a"), ("a-1", "a"), ("b-0", "b"), ("b-1", "b")]
    assert [pixel(item) for item in items] == [
        pixel(coloured(Random(f"test/{task}/{number}"))) for task in "ab" for number in range(2)
    ]
    assert items[0].truth == {"kind": "text", "accept": ["x"]}, "without the scene"


def test_many_items_are_drawn_together_and_counted():
    groups, progress = [], []

    def draw_group(streams):
        groups.append(len(streams))
        return [coloured(rng) for rng in streams]

    drawn = draw_items(
        {"a": draw_group, "b": one_by_one(coloured)},
        3,
        most_together=2,
        on_progress=lambda *done: progress.append(done),
    )
    assert len(list(drawn)) == 6
    assert groups == [2, 1]
    assert progress == [(2, 6), (3, 6), (5, 6), (6, 6)]


def test_the_archive_is_written_and_its_size_printed(run, tmp_path, monkeypatch):
    monkeypatch.setattr(draw_exam, "makers", lambda: {"coloured": coloured})
    monkeypatch.setattr(draw_exam, "DRAWERS", {})
    done = run("data", "draw-exam", tmp_path / "exam.zip", "--items", "3")
    assert done.code == 0
    assert done.out.startswith("coloured: 0.00 MB\n")
    assert "exam.zip: 0.0 MB, sha256 " in done.out
    assert [item.id for item in read_items(tmp_path / "exam.zip")] == ["coloured-0", "coloured-1", "coloured-2"]


def test_the_exam_of_languages_has_drawers_of_its_own(run, tmp_path, monkeypatch):
    monkeypatch.setattr(draw_exam, "EXAM_MAKERS", {"read_any": coloured})
    assert run("data", "draw-exam", tmp_path / "languages.zip", "--exam", "languages", "--items", "2").code == 0
    assert [item.id for item in read_items(tmp_path / "languages.zip")] == ["read_any-0", "read_any-1"]
