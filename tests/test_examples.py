"""The demo: files that the drawn world makes, and questions that the shipped nano answers correctly."""

import json
from types import SimpleNamespace

import pytest
from PIL import Image, ImageChops

from drawn_world import Item, draw
from examples import demo, make, pick, sheet
from qwen2vl import Chat
from qwen2vl.common.errors import Qwen2VLError

QUESTIONS = json.loads((make.FOLDER / "questions.json").read_text())


def drawn(example: make.Example) -> Item:
    try:
        return draw(example.task, example.seed, "test")
    except Qwen2VLError:
        pytest.skip("fonts and words are not installed: scripts/install-fonts.sh")


def test_the_demo_answers_correctly(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "OUTPUT", tmp_path)
    demo.main()
    printed = capsys.readouterr().out
    assert "expected:" not in printed  # printed after a wrong answer
    assert all(question["question"] in " ".join(printed.split()) for question in QUESTIONS)
    assert {path.name for path in tmp_path.iterdir()} == {each["draw_to"] for each in QUESTIONS if each["draw_to"]}


def test_boxes_of_the_demo_are_right():
    """For the questions whose answer is a box or a point, which the demo draws."""
    chat = Chat("nano")
    pointed = [example for example in make.EXAMPLES if example.draw_to]
    assert pointed
    for example in pointed:
        item = drawn(example)
        (result,) = pick.answered(chat, example.task, [example.seed])
        assert result.right, (example, result.text, item.answer)


def test_stored_questions_are_those_of_the_seeds():
    for example, stored in zip(make.EXAMPLES, QUESTIONS, strict=True):
        item = drawn(example)
        assert stored["question"] == item.messages[0]["content"][-1]["text"]
        assert (stored["right"], tuple(stored["files"])) == (item.answer, example.files)
        images = [part["image"] for part in item.messages[0]["content"] if part["type"] == "image"]
        for name, image in zip(example.files, images, strict=False):  # a video has no images
            with Image.open(make.FOLDER / name) as file:
                assert ImageChops.difference(file.convert("RGB"), image.convert("RGB")).getbbox() is None
        assert all((make.FOLDER / name).is_file() for name in example.files)


def test_pick_lists_right_answers(monkeypatch, capsys):
    monkeypatch.setattr(pick, "EXAMPLES", [make.Example(task="motion", seed=0, files=())])
    monkeypatch.setattr(pick, "SEEDS", range(200, 204))
    pick.main()
    first, *others = capsys.readouterr().out.splitlines()
    assert first == f"motion: {len(others)} of 4"
    assert others


def test_the_sheet_of_answers(tmp_path, monkeypatch, capsys):
    """One tile for every question, laid out as in the README."""
    monkeypatch.setattr(sheet, "OUT", tmp_path / "answers.png")
    sheet.main()
    assert capsys.readouterr().out.startswith(f"{len(QUESTIONS)} answers drawn")
    stored = make.FOLDER.parent / "docs" / "images" / "answers.png"
    with Image.open(stored) as shown, Image.open(tmp_path / "answers.png") as again:
        assert again.size == shown.size


def test_a_tile_draws_on_the_image_that_is_meant():
    """A box of the second image is drawn there, in the size in which it is shown."""
    plain = make.FOLDER / "pair-1.png"
    text = "Picture 2: <|box_start|>(0,0),(999,999)<|box_end|>"
    chat = SimpleNamespace(ask=lambda question, images: SimpleNamespace(text=text))
    tile = sheet.tile(chat, {"question": "Where?", "files": [str(plain), str(plain)]})
    shown = tile.crop((0, 0, sheet.TILE, sheet.TILE))
    box = ImageChops.difference(shown.crop((0, 0, 139, 280)), shown.crop((141, 0, 280, 280))).getbbox()
    assert box is not None
    assert box[2] - box[0] > 120
