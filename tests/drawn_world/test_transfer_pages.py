"""Transfer images: answers follow from the description, the texts are where it says, and nothing is of training."""

import json
import re
import shutil
from functools import lru_cache, partial
from random import Random

import numpy as np
import pytest
from PIL import Image

from drawn_world import Item, browser, exam_tasks, fonts, words
from drawn_world.documents import forms
from drawn_world.reading import pictures
from drawn_world.transfer import browser_pages as pages
from drawn_world.transfer import words_on_photos as photos
from drawn_world.wording import LABELS, QUESTIONS
from qwen2vl.common.errors import Qwen2VLError

from .checks import changed, encloses, hidden, image_of, is_at, needs, question_of, word_list

COUNT = 40


def find_poppler() -> None:
    if not shutil.which("pdftoppm"):
        raise Qwen2VLError(f"pdftoppm is not installed: {browser.INSTALL_LINE}")


exam_faces = partial(fonts.faces, "test")
needs_browser = needs(browser.find_browser, exam_faces, word_list, find_poppler)
needs_photos = needs(pictures.photo_folder, exam_faces, word_list)
TASKS = [
    *(pytest.param(task, marks=needs_browser) for task in exam_tasks.DRAWERS),
    pytest.param("transfer_photo", marks=needs_photos),
]


def _sources(task: str, count: int = COUNT) -> list[Random]:
    return [Random(f"test/{task}/{number}") for number in range(count)]


def _draw(task: str, count: int) -> list[Item]:
    if task == "transfer_photo":
        return [photos.transfer_photo(source) for source in _sources(task, count)]
    return exam_tasks.DRAWERS[task](_sources(task, count))


@lru_cache(maxsize=8)
def _items(task: str) -> list[Item]:
    return _draw(task, COUNT)


@pytest.mark.parametrize("task", TASKS)
def test_items_are_well_formed_and_belong_to_the_test_split(task: str) -> None:
    trained = {word for split in ("train", "val") for word in words.words(split)}
    labels = {*forms.KEYS, *LABELS["field"], "Total"}
    families = {face.family for face in fonts.FACES["test"]}
    for item in _items(task):
        scene = item.truth["scene"]
        assert item.task == task and question_of(item).isascii() and item.answer.isascii()
        assert json.loads(json.dumps(item.truth)) == item.truth
        assert scene["family"] in families
        assert image_of(item).mode == "RGB" and max(image_of(item).size) <= 224 and min(image_of(item).size) >= 28
        for word in re.findall(r"[A-Za-z]+", " ".join(_written(scene))):
            assert word in labels or word not in trained


def _written(scene: dict) -> list[str]:
    """All texts of an image, by its description."""
    lines = [part for line in scene.get("lines", ()) for part in ([line] if isinstance(line, str) else line)]
    states = [each["state"] for each in scene.get("controls", ()) if each["kind"] == "field"]
    return [*lines, *states, scene.get("heading", ""), scene.get("word", "")]


@pytest.mark.parametrize("task", TASKS[-2:])
def test_an_item_depends_only_on_its_own_random_numbers(task: str) -> None:
    for one, again in zip(_draw(task, 3), _items(task), strict=False):
        assert (one.answer, one.truth) == (again.answer, again.truth)
        assert image_of(one).tobytes() == image_of(again).tobytes()


@needs_browser
def test_values_follow_from_their_keys() -> None:
    kinds = set()
    for item in _items("transfer_page"):
        scene, key = item.truth["scene"], item.truth["scene"]["asked"]["key"]
        lines = dict(scene["lines"])
        assert len(lines) == len(scene["lines"]) and item.truth["accept"] == [item.answer]
        assert item.answer == (lines | {"heading": scene["heading"]})[key]
        if scene["receipt"]:
            assert list(lines)[-1] == "Total"
            prices = [round(100 * float(price)) for price in lines.values()]
            assert prices[-1] == sum(prices[:-1])
        word = {"heading": "shop", "Total": "total"}.get(key, key) if scene["receipt"] else key.lower()
        assert word in question_of(item).lower()
        kinds.add((scene["receipt"], word if word in ("shop", "total") else "line"))
    assert len(kinds) == 4


@needs_browser
def test_the_box_of_a_value_encloses_its_pixels() -> None:
    """A page without the value differs from the page inside the box of the value, and nowhere else."""
    written = [pages.TransferPage.sample(source) for source in _sources("transfer_page")]
    without = []
    for page, item in zip(written, _items("transfer_page"), strict=True):
        key = item.truth["scene"]["asked"]["key"]
        number = "heading" if key == "heading" else str([each for each, _ in page.lines].index(key))
        without.append(hidden(page.tile, number))
    shots = browser.shoot([*without, written[0].tile], pages.PAGE_CSS)
    assert shots.pop().image.tobytes() == image_of(_items("transfer_page")[0]).tobytes()
    for item, shot in zip(_items("transfer_page"), shots, strict=True):
        inner, box = changed(image_of(item), shot.image), item.truth["scene"]["box_px"]
        assert encloses(box, inner), item


@needs_browser
def test_controls_and_points_are_in_their_boxes() -> None:
    written = [pages.TransferScreen.sample(source) for source in _sources("transfer_screen")]
    items = _items("transfer_screen")
    without, boxes = [], []
    for screen, item in zip(written, items, strict=True):
        controls = item.truth["scene"]["controls"]
        assert len(controls) == len(screen.widgets)  # nothing is cut off
        (target,) = [number for number, each in enumerate(controls) if each["box_px"] == item.truth["box_px"]]
        assert controls[target]["label"] in item.truth["label"] and item.truth["label"] in question_of(item)
        without.append(hidden(screen.tile, str(target)))
        boxes.append(item.truth["box_px"])
    shots = browser.shoot([*without, written[0].tile], pages.SCREEN_CSS)
    assert shots.pop().image.tobytes() == image_of(items[0]).tobytes()
    for item, box, shot in zip(items, boxes, shots, strict=True):
        assert is_at(re.findall(r"\d+", item.answer), box, item.truth["size"])
        inner = changed(image_of(item), shot.image)
        assert encloses(box, inner)
        assert (inner[2] - inner[0]) * (inner[3] - inner[1]) > 0.5 * (box[2] - box[0]) * (box[3] - box[1])


@needs_browser
def test_all_lines_are_on_the_image_and_none_is_cut() -> None:
    """The edge of the image is paper, and there is one row of ink per line."""
    for item in _items("transfer_line"):
        lines = item.truth["scene"]["lines"]
        assert item.answer == "\n".join(lines) and " ".join(lines) in item.truth["accept"]
        grey = np.asarray(image_of(item).convert("L")).astype(int)
        paper = int(np.median(grey))
        inked = abs(grey - paper) > 40
        assert not inked[[0, -1]].any() and not inked[:, [0, -1]].any()
        rows = inked.sum(axis=1) > 0
        starts = int(rows[0]) + int((rows[1:] & ~rows[:-1]).sum())
        assert len(lines) <= starts <= 2 * len(lines)  # the dots of i and j can be a separate row of ink
        assert question_of(item) in (QUESTIONS["read_line"][-1], QUESTIONS["read_paragraph"][-1])


@needs_photos
def test_words_on_photographs_are_inside_their_box() -> None:
    """The image differs from its part of the photograph only at the letters and a narrow edge around them."""
    for item in _items("transfer_photo"):
        scene, image = item.truth["scene"], image_of(item)
        assert item.answer == scene["word"] and item.truth["read"] == [item.answer]
        bare = photos._photo(scene["photo"]).resize(image.size, Image.Resampling.LANCZOS, box=tuple(scene["cut"]))
        inner, box = changed(image, bare), scene["box_px"]
        edge = {"none": 1, "outline": 3, "shadow": 10, "plate": 5}[scene["edge"]]
        assert encloses((box[0] - edge, box[1] - edge, box[2] + edge, box[3] + edge), inner)
        assert inner[2] - inner[0] >= 0.8 * (box[2] - box[0])


def test_missing_photographs_name_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "find_spec", lambda name: None)
    with pytest.raises(Qwen2VLError, match="pip install"):
        pictures.photo_folder()
