from PIL import ImageChops

from qwen2vl.nano.exam import FLOORS, PACKAGED_EXAM, read_exam, write_exam
from qwen2vl.nano.world import TASKS, draw


def test_the_packaged_exam_holds_every_task_and_every_item_has_media_and_truth():
    counts = dict.fromkeys(TASKS, 0)
    for item in read_exam(PACKAGED_EXAM):
        counts[item.task] += 1
        kinds = [part["type"] for part in item.messages[-1]["content"]]
        assert kinds[-1] == "text"
        assert (item.task == "text") == (kinds == ["text"])
        assert item.truth["kind"] in ("text", "box", "point")
    assert set(counts.values()) == {counts["count"]}
    assert counts["count"] >= 100
    assert set(FLOORS) <= set(TASKS)


def test_stored_pictures_equal_drawn_ones():
    """Tasks without letters draw the same without fonts, so the archive can be compared anywhere."""
    for task in ("ground", "motion", "compare"):
        item = next(iter(read_exam(PACKAGED_EXAM, (task,))))
        drawn = draw(task, 0, "test")
        assert item.truth == drawn.truth
        for stored, new in zip(item.messages[0]["content"], drawn.messages[0]["content"], strict=True):
            if stored["type"] == "image":
                assert ImageChops.difference(stored["image"], new["image"]).getbbox() is None
            elif stored["type"] == "video":
                for one, other in zip(stored["video"], new["video"], strict=True):
                    assert ImageChops.difference(one, other).getbbox() is None


def test_only_the_tasks_asked_for_are_read():
    assert {item.task for item in read_exam(PACKAGED_EXAM, ("count", "order"))} == {"count", "order"}


def test_a_written_exam_is_whole_or_absent(tmp_path, monkeypatch):
    def fail(task, seed, split):
        if task == "count":
            raise RuntimeError("in the middle")
        return draw(task, seed, split)

    monkeypatch.setattr("qwen2vl.nano.exam.draw", fail)
    path = tmp_path / "exam.zip"
    try:
        write_exam(path, items_per_task=1)
    except RuntimeError:
        assert not path.exists()
    else:
        raise AssertionError("the drawing should have failed")
