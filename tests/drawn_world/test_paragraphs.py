"""Lines, words at places, other alphabets: answers follow from the description, boxes hold the ink, splits are disjoint."""

import json
import re
from functools import lru_cache, partial
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from drawn_world import SPLITS, Item, fonts, typesetting, words
from drawn_world.documents import forms, receipts, tables
from drawn_world.reading import line_stacks, paragraphs, placed_words, scripts
from drawn_world.wording import LABELS
from qwen2vl.processing.grounding import parse_places, to_pixels
from qwen2vl.processing.messages import parse_messages

from .checks import (
    are_apart,
    box_of,
    check_repeatable,
    digest_of,
    drawn,
    encloses,
    every_split,
    image_of,
    ink_of,
    makers_of,
    needs_text,
    parts_of,
)

ALL = makers_of(paragraphs, placed_words, scripts)
IN_COLUMNS = ALL | makers_of(line_stacks, receipts, forms, tables)
draw = partial(drawn, IN_COLUMNS)


def digest(seeds: range) -> str:
    return digest_of(draw(task, seed, SPLITS[seed % 3], seed % 4 / 3) for task in ALL for seed in seeds)


@needs_text
def test_the_same_arguments_give_the_same_pixels_in_another_process():
    assert check_repeatable(digest, range(4)) != digest(range(4, 8))


@needs_text
@pytest.mark.parametrize("task", ALL)
@every_split
def test_items_of_every_ease_have_small_images_and_answers(task: str, split: str):
    for seed in range(15):
        item = draw(task, seed, split, seed / 14)
        width, height = image_of(item).size
        widest = 448 if split == "train" and task in makers_of(placed_words) else 224
        assert 28 <= width <= widest and 28 <= height <= widest and image_of(item).mode == "RGB"
        assert item.task == task and item.answer and item.messages[-1]["role"] == "user"
        json.dumps(item.truth)
        parse_messages(item.messages)
        for parts, answer in parts_of(item):
            assert answer and parts[-1]["type"] == "text" and parts[-1]["text"]
            assert "{" not in str([part.get("text") for part in parts])
        assert item.truth["scene"]["family"] in {face.family for face in fonts.FACES[split]}


@needs_text
def test_the_easiest_form_has_one_size_and_one_wording():
    for task in ALL:
        items = [draw(task, seed, ease=1.0) for seed in range(20)]
        assert len({image_of(item).size for item in items}) == 1
        assert {item.truth["scene"]["form"] for item in items} == {"aligned"}
    assert len({parts_of(draw("read_line", seed, ease=1.0))[0][0][0]["text"] for seed in range(20)}) == 1


@needs_text
def test_lower_ease_gives_harder_forms():
    forms = {
        ease: {draw("read_paragraph", s, ease=ease).truth["scene"]["form"] for s in range(40)} for ease in (0.75, 0.25)
    }
    assert forms == {0.75: {"aligned", "plain"}, 0.25: {"plain", "full"}}


@needs_text
def test_lines_are_answered_as_they_are_written():
    for task in ("read_line", "read_paragraph", "read_script"):
        for seed in range(30):
            item = draw(task, seed, SPLITS[seed % 3], seed % 5 / 4)
            scene = item.truth["scene"]
            assert item.answer == "\n".join(scene["lines"]) and item.answer in item.truth["accept"]
            assert abs(scene.get("angle", 0)) <= 4
            assert task != "read_line" or (len(item.answer.split()) in (2, 3, 4) and 8 <= scene["size"] <= 28)
            assert task != "read_paragraph" or 3 <= len(scene["lines"]) <= 5


def undamaged(task: str, count: int, ease: float = 0.0) -> list[Item]:
    """The first items without damage and with even paper."""
    items = (draw(task, seed, SPLITS[seed % 3], ease) for seed in range(40 * count))
    clean = (item for item in items if not item.truth["scene"]["damage"] and not item.truth["scene"]["uneven"])
    return [item for item, _ in zip(clean, range(count), strict=False)]


@needs_text
@pytest.mark.parametrize("task", ["read_line", "read_paragraph"])
def test_the_box_of_turned_lines_encloses_their_ink(task: str):
    items = undamaged(task, 20)
    assert any(item.truth["scene"]["angle"] for item in items)
    for item in items:
        inner, box = box_of(ink_of(item)), item.truth["scene"]["box_px"]
        assert encloses(box, inner)
        assert inner[0] - box[0] <= 1 and box[2] - inner[2] <= 1  # the ink is as wide as the box


@needs_text
@pytest.mark.parametrize("ease", [0.0, 0.5, 1.0])
def test_boxes_of_words_hold_their_ink_and_nothing_else(ease: float):
    for item in undamaged("find_word", 20, ease):
        ink, scene = ink_of(item), item.truth["scene"]
        for word in scene["words"]:
            x1, y1, x2, y2 = word["box_px"]
            columns = np.flatnonzero(ink[y1:y2, x1:x2].any(axis=0))
            slack = 8 if scene["form"] == "aligned" else 1
            assert columns.min() <= slack and columns.max() >= x2 - x1 - 1 - slack
            ink[y1:y2, x1:x2] = False
        assert not ink.any()


@needs_text
@every_split
def test_places_and_words_follow_from_the_description(split: str):
    for seed in range(80):
        ease = seed % 5 / 4
        item = draw("find_word", seed, split, ease)
        scene = item.truth["scene"]
        boxes = {word["text"]: word["box_px"] for word in scene["words"]}
        assert len(boxes) == len(scene["words"]) <= (8 if split == "train" else 6)
        assert are_apart(boxes.values())
        assert item.truth["box_px"] == boxes[scene["asked"]["word"]]
        assert scene["asked"]["word"] in parts_of(item)[0][0][0]["text"]
        (found,) = parse_places(item.answer, [image_of(item).size]).boxes
        assert np.abs(np.subtract(found.xyxy_px, item.truth["box_px"])).max() <= 1
        item = draw("read_in_box", seed, split, ease)
        assert item.answer == word_at(item, parts_of(item)[0][0])


def word_at(item: Item, parts: list[dict]) -> str:
    """The only word whose middle is in the box that the user gave."""
    (box,) = (part["box"] for part in parts if part["type"] == "box")
    x1, y1, x2, y2 = to_pixels(box, image_of(item).size)
    inside = []
    for word in item.truth["scene"]["words"]:
        left, top, right, bottom = word["box_px"]
        if x1 <= (left + right) / 2 <= x2 and y1 <= (top + bottom) / 2 <= y2:
            inside.append(word["text"])
    (text,) = inside
    return text


@needs_text
def test_dialogues_ask_for_up_to_six_words_once():
    for seed in range(60):
        item = draw("words_in_boxes", seed, SPLITS[seed % 3], seed % 5 / 4)
        boxes = {word["text"]: word["box_px"] for word in item.truth["scene"]["words"]}
        named = []
        for parts, answer in parts_of(item):
            if len(parts) == 1:
                (found,) = parse_places(answer, [image_of(item).size]).boxes
                assert np.abs(np.subtract(found.xyxy_px, boxes[found.label])).max() <= 1
                named.append(found.label)
            else:
                named.append(answer)
                assert answer == word_at(item, parts)
        assert len(set(named)) == len(named) == min(6, len(boxes)) and set(named) <= set(boxes)


@lru_cache(maxsize=64)
def letters_of(face: fonts.Face, letters: str) -> np.ndarray:
    """Coverage 0..1 of every letter in its column, [letters, 28, 14]."""
    style = typesetting.TextStyle(form="aligned", face=face, ink=(0, 0, 0), paper=(255, 255, 255))
    return np.stack([np.asarray(style.line_mask(28, letter)) for letter in letters]) / 255


def read_columns(item: Item, letters: str) -> str:
    """The text of an aligned image, found by comparing every column of every row with the letters of the family's faces."""
    grey = np.asarray(image_of(item).convert("L")).astype(float)
    cells = grey.reshape(grey.shape[0] // 28, 28, grey.shape[1] // 14, 14).transpose(0, 2, 1, 3)
    coverage = (cells.max() - cells) / (cells.max() - cells.min())
    best, text = np.inf, ""
    for face in (face for split in SPLITS for face in fonts.FACES[split]):
        if face.family == item.truth["scene"]["family"]:
            distance = np.abs(coverage[:, :, None] - letters_of(face, letters)).mean(axis=(3, 4))
            if distance.min(axis=2).sum() < best:
                best = distance.min(axis=2).sum()
                text = "\n".join("".join(letters[i] for i in row).rstrip() for row in distance.argmin(axis=2))
    return text


@needs_text
@pytest.mark.parametrize(
    "task", ["read_line", "read_paragraph", "line_stack", "script_lines", "receipt_lines", "table_rows"]
)
def test_aligned_images_say_what_the_answers_say(task: str):
    plain = " abcdefghijklmnopqrstuvwxyz0123456789.TMFSWed"
    for seed in range(8):
        item = draw(task, seed, ease=1.0)
        letters = plain if "script" not in item.truth["scene"] else scripts.LETTERS[item.truth["scene"]["script"]] + "ς"
        said = read_columns(item, "".join(dict.fromkeys(letters)))
        answer = re.sub(r"\n\|[-|]+\n", "\n", item.answer)  # the image has no second row of Markdown
        assert re.findall(r"[\w.]+", said) == re.findall(r"[\w.]+", answer)


@needs_text
@every_split
def test_faces_of_other_alphabets_have_all_their_letters(split: str):
    letters = set(
        "".join(scripts.LETTERS.values()) + "".join(word for script in scripts.LETTERS for word in LABELS[script])
    )
    assert scripts.script_faces(split)
    for face in scripts.script_faces(split):
        font = face.at(24)
        missing = bytes(font.getmask("\uffff"))
        assert all(bytes(font.getmask(letter)) != missing for letter in letters), face.file


@needs_text
def test_words_of_other_alphabets_belong_to_their_split_and_show_their_alphabet():
    for split in SPLITS:
        for script in scripts.LETTERS:
            sampled = [scripts.pick_script_word(Random(seed), split, script) for seed in range(60)]
            assert scripts.script_words(split, script)
            for word in (*scripts.script_words(split, script), *sampled):
                assert words.split_of(word) == split and not set(word) <= set(scripts.LIKE_LATIN[script])


@needs_text
@every_split
def test_words_to_read_belong_to_their_split(split: str):
    for task in ("read_line", "read_paragraph", "read_in_box", "find_word"):
        for seed in range(30):
            for word in draw(task, seed, split).truth["read"]:
                word = word.strip(",.!?")
                assert not word.isalpha() or words.split_of(word.lower()) == split
                assert split == "train" or word == word.lower()


def test_no_layout_of_paragraphs_is_in_two_splits():
    layouts = list(paragraphs.LAYOUTS.values())
    assert sum(map(len, layouts)) == len(set(sum(layouts, ())))


@needs_text
def test_damage_keeps_the_size_and_words_legible():
    """The image of a damaged word is more like the clean word than like another word."""
    face = fonts.faces("train")[0]
    for seed in range(60):
        clean = {}
        for word in ("tea", "map"):
            clean[word] = Image.new("RGB", (84, 28), (240, 240, 240))
            ImageDraw.Draw(clean[word]).text((10, 4), word, font=face.at(16), fill=(20, 20, 20))
        damaged, kinds = typesetting.damaged(Random(seed), clean["tea"], 16)
        assert damaged.size == (84, 28) and len(kinds) <= 2
        gaps = {word: np.abs(np.asarray(damaged).astype(int) - np.asarray(clean[word])).mean() for word in clean}
        assert gaps["tea"] < gaps["map"]
