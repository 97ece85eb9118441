"""An archive gives back what was made, and no packaged exam has changed since it was frozen."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageChops

from drawn_world import TASKS, draw
from drawn_world.exam_tasks import DRAWERS, EXAM_TASKS, makers
from drawn_world.item import Item, image_item, text_truth, video_item
from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.common.files import sha256_of
from qwen2vl.evaluation import exam as module
from qwen2vl.evaluation.exam import AIMS, EXAMS, count_items, read_exam, write_exam

FROZEN = {"exam": "dbb21c93fe372380", "nano": "180072d0a3906c45"}
"""Exam -> first digits of the archive's SHA-256; another archive is another exam, and no scores of it compare."""
KINDS = {"text", "number", "box", "point", "action"}


def word(rng) -> Item:
    image = Image.new("RGB", (56, 28), tuple(rng.randrange(256) for _ in range(3)))
    return image_item("word", [image], f"Which {rng.randrange(99)}?", "x", text_truth("x", scene={"size": 1}))


def video(rng) -> Item:
    grounds = [Image.new("RGB", (30, 20), (rng.randrange(256), shade, 0)) for shade in (10, 20, 30)]
    frames = [grounds[place] for place in (0, 0, 1, 2, 2, 0)]
    return video_item("video", [frame.copy() for frame in frames], "Which?", "y", text_truth("y"))


def noisy(rng) -> Item:
    noise = np.random.default_rng(rng.getrandbits(32)).normal(128, 12, (40, 40, 3))
    image = Image.fromarray(noise.astype(np.uint8))
    return image_item("noisy", [image, image], "Which?", "z", text_truth("z"))


def pure(rng) -> Item:
    return image_item("pure", [], "Say ✿.", "✿", text_truth("✿"))


MAKERS = {"word": word, "video": video, "noisy": noisy, "pure": pure}


def images(item) -> list[Image.Image]:
    parts = item.messages[0]["content"]
    stills = [part["image"] for part in parts if part["type"] == "image"]
    return stills + [frame for part in parts if part["type"] == "video" for frame in part["video"]]


def same(a, b) -> bool:
    return a.size == b.size and ImageChops.difference(a, b).getbbox() is None


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("exam") / "deep" / "exam.zip"
    write_exam(path, MAKERS, 3, exact=("noisy",))
    return path


def test_what_is_read_is_what_was_made(path):
    items = list(read_exam(path))
    assert [item.id for item in items] == [f"{task}-{number}" for task in MAKERS for number in range(3)]
    for item in items:
        made = MAKERS[item.task](module.Random(f"test/{item.task}/{item.id.split('-')[1]}"))
        assert item.truth == {key: value for key, value in made.truth.items() if key != "scene"}
        assert item.messages[0]["content"][-1] == made.messages[0]["content"][-1]
        assert len(images(item)) == len(images(made))
        assert all(map(same, images(item), images(made)))


def test_items_of_the_drawn_world_survive(tmp_path):
    """Tasks without letters draw the same without fonts."""
    tasks = ("compare", "motion")
    makers = {task: lambda rng, task=task: draw(task, rng.randrange(1000), "test") for task in tasks}
    write_exam(tmp_path / "exam.zip", makers, 1, exact=tasks)
    for item in read_exam(tmp_path / "exam.zip"):
        made = makers[item.task](module.Random(f"test/{item.task}/{item.id.split('-')[1]}"))
        assert all(map(same, images(item), images(made)))


def test_equal_images_and_frames_are_stored_once(path):
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.startswith("media/")]
        lines = [json.loads(line) for line in archive.read("items.jsonl").splitlines()]
        strips = [line["messages"][0]["content"][0]["video"] for line in lines if line["task"] == "video"]
        sizes = [Image.open(archive.open(strip["strip"])).size for strip in strips]
    assert len(names) == 3 + 3 + 3, "one for each word, video and pair of noisy images"
    assert [strip["frames"] for strip in strips] == [[0, 0, 1, 2, 2, 0]] * 3
    assert sizes == [(30, 60)] * 3


def test_noise_is_stored_as_jpeg_where_that_is_allowed(tmp_path):
    sizes = [
        write_exam(tmp_path / f"{len(exact)}.zip", {"noisy": noisy, "word": word}, 1, exact=exact)
        for exact in ((), ("noisy",))
    ]
    assert sizes[0]["noisy"] < 0.8 * sizes[1]["noisy"]
    assert sizes[0]["word"] == sizes[1]["word"]
    read = next(read_exam(tmp_path / "0.zip", ("noisy",)))
    made = noisy(module.Random("test/noisy/0"))
    assert not same(images(read)[0], images(made)[0])
    assert images(read)[0].size == images(made)[0].size


def test_the_same_makers_give_the_same_archive(tmp_path):
    for name in ("a", "b"):
        write_exam(tmp_path / f"{name}.zip", MAKERS, 2)
    assert sha256_of(tmp_path / "a.zip") == sha256_of(tmp_path / "b.zip")


def test_only_what_is_asked_for_is_read(path):
    assert {item.task for item in read_exam(path, ("video", "pure"))} == {"video", "pure"}
    assert [item.id for item in read_exam(path, ids={"pure-1", "word-2"})] == ["word-2", "pure-1"]
    assert count_items(path) == {"word": 3, "video": 3, "noisy": 3, "pure": 3}


def test_progress_counts_all_items(tmp_path):
    told = []
    write_exam(tmp_path / "exam.zip", {"pure": pure, "word": word}, 2, on_progress=lambda *done: told.append(done))
    assert told == [(2, 4), (4, 4)]


def test_items_may_be_drawn_together(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DRAWN_TOGETHER", 2)
    groups = []

    def draw_words(sources):
        groups.append(len(sources))
        return [word(rng) for rng in sources]

    write_exam(tmp_path / "exam.zip", {"pure": pure}, 3, drawers={"word": draw_words})
    assert groups == [2, 1]
    assert count_items(tmp_path / "exam.zip") == {"pure": 3, "word": 3}
    for item in read_exam(tmp_path / "exam.zip", ("word",)):
        assert same(images(item)[0], images(word(module.Random(f"test/word/{item.id[5:]}")))[0])


def test_an_exam_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1_000)
    with pytest.raises(Qwen2VLError, match=r"over 0.*the largest are noisy"):
        write_exam(tmp_path / "exam.zip", MAKERS, 2)
    assert list(tmp_path.iterdir()) == []


def test_a_written_exam_is_whole_or_absent(tmp_path):
    def fail(rng):
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        write_exam(tmp_path / "exam.zip", {"word": word, "fail": fail}, 1)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_exam_is_refused(tmp_path):
    with pytest.raises(Qwen2VLError, match="no exam"):
        count_items(tmp_path / "exam.zip")
    (tmp_path / "exam.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(Qwen2VLError, match="damaged"):
        next(read_exam(tmp_path / "exam.zip"))
    with zipfile.ZipFile(tmp_path / "exam.zip", "w"):
        pass
    with pytest.raises(Qwen2VLError, match="damaged"):
        count_items(tmp_path / "exam.zip")


def test_every_task_of_the_exam_can_be_drawn():
    """Whether they are, where fonts and browsers are, is the worlds' own matter."""
    assert {*makers(), *DRAWERS} == set(EXAM_TASKS)
    own = [task for task in EXAM_TASKS if not task.startswith("transfer_")]
    assert set(own) <= set(TASKS)


def floored(aims):
    """Tasks with a floor, be it of one part."""
    return {name.partition("/")[0] for name in aims.floors}


def test_aims_are_of_tasks_of_the_exam():
    assert {*floored(AIMS), *AIMS.twins, *AIMS.twins.values()} <= set(EXAM_TASKS)
    assert all(floor < aim for exam in EXAMS.values() for floor, aim in exam.aims.floors.values())


@pytest.mark.parametrize("name", FROZEN)
def test_packaged_exams_are_frozen(name):
    exam = EXAMS[name]
    assert sha256_of(exam.path).startswith(FROZEN[name])
    counts = count_items(exam.path)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert floored(exam.aims) <= set(counts)
    assert exam.path.stat().st_size <= module.MOST_BYTES


@pytest.mark.parametrize("name", FROZEN)
def test_every_packaged_item_has_media_and_truth(name):
    for number, item in enumerate(read_exam(EXAMS[name].path)):
        parts = item.messages[-1]["content"]
        assert parts[-1]["type"] == "text"
        assert item.truth["kind"] in KINDS
        assert number > 0 or images(item), "the first task has images"
