"""An archive gives back the items that were written into it."""

import json
import zipfile
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageChops

from drawn_world import draw
from drawn_world.item import Item, image_item, text_truth, video_item
from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.common.files import sha256_of
from qwen2vl.evaluation import items as module
from qwen2vl.evaluation.items import ExamItem, count_items, read_items, write_items


def word(rng) -> Item:
    image = Image.new("RGB", (56, 28), tuple(rng.randrange(256) for _ in range(3)))
    return image_item("word", [image], f"Which {rng.randrange(99)}?", "x", text_truth("x"))


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


def items_of(makers, count):
    """Items of every maker, as `qwen2vl data draw-exam` numbers them."""
    for task, make in makers.items():
        for number in range(count):
            item = make(Random(f"test/{task}/{number}"))
            yield ExamItem(id=f"{task}-{number}", task=task, messages=item.messages, truth=item.truth)


def images(item) -> list[Image.Image]:
    parts = item.messages[0]["content"]
    stills = [part["image"] for part in parts if part["type"] == "image"]
    return stills + [frame for part in parts if part["type"] == "video" for frame in part["video"]]


def same(a, b) -> bool:
    return a.size == b.size and ImageChops.difference(a, b).getbbox() is None


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("exam") / "deep" / "exam.zip"
    write_items(path, items_of(MAKERS, 3), exact=("noisy",))
    return path


def test_what_is_read_is_what_was_written(path):
    written = list(items_of(MAKERS, 3))
    for found, item in zip(read_items(path), written, strict=True):
        assert (found.id, found.task, found.truth) == (item.id, item.task, item.truth)
        assert found.messages[0]["content"][-1] == item.messages[0]["content"][-1]
        assert len(images(found)) == len(images(item))
        assert all(map(same, images(found), images(item)))


def test_items_of_the_drawn_world_survive(tmp_path):
    """Tasks without letters draw the same without fonts."""
    tasks = ("compare", "motion")
    makers = {task: lambda rng, task=task: draw(task, rng.randrange(1000), "test") for task in tasks}
    write_items(tmp_path / "exam.zip", items_of(makers, 1), exact=tasks)
    for found, item in zip(read_items(tmp_path / "exam.zip"), items_of(makers, 1), strict=True):
        assert all(map(same, images(found), images(item)))


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
    makers = {"noisy": noisy, "word": word}
    sizes = [
        write_items(tmp_path / f"{len(exact)}.zip", items_of(makers, 1), exact=exact) for exact in ((), ("noisy",))
    ]
    assert sizes[0]["noisy"] < 0.8 * sizes[1]["noisy"]
    assert sizes[0]["word"] == sizes[1]["word"]
    read = next(read_items(tmp_path / "0.zip", ("noisy",)))
    made = noisy(Random("test/noisy/0"))
    assert not same(images(read)[0], images(made)[0])
    assert images(read)[0].size == images(made)[0].size


def test_the_same_items_give_the_same_archive(tmp_path):
    for name in ("a", "b"):
        write_items(tmp_path / f"{name}.zip", items_of(MAKERS, 2))
    assert sha256_of(tmp_path / "a.zip") == sha256_of(tmp_path / "b.zip")


def test_only_what_is_asked_for_is_read(path):
    assert {item.task for item in read_items(path, ("video", "pure"))} == {"video", "pure"}
    assert [item.id for item in read_items(path, ids={"pure-1", "word-2"})] == ["word-2", "pure-1"]
    assert [item.id for item in read_items(path, ("pure",), without={"pure-1"})] == ["pure-0", "pure-2"]
    assert count_items(path) == {"word": 3, "video": 3, "noisy": 3, "pure": 3}


def test_an_archive_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1_000)
    with pytest.raises(Qwen2VLError, match=r"over 0.*the largest tasks are noisy"):
        write_items(tmp_path / "exam.zip", items_of(MAKERS, 2))
    assert list(tmp_path.iterdir()) == []


def test_a_written_archive_is_whole_or_absent(tmp_path):
    def fail(rng):
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        write_items(tmp_path / "exam.zip", items_of({"word": word, "fail": fail}, 1))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_or_damaged_archive_is_refused(tmp_path):
    with pytest.raises(Qwen2VLError, match="no exam"):
        count_items(tmp_path / "exam.zip")
    (tmp_path / "exam.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(Qwen2VLError, match="damaged"):
        next(read_items(tmp_path / "exam.zip"))
    with zipfile.ZipFile(tmp_path / "exam.zip", "w"):
        pass
    with pytest.raises(Qwen2VLError, match="damaged"):
        count_items(tmp_path / "exam.zip")
