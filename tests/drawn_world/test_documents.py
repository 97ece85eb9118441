"""Receipts, forms and tables: every answer follows from the description, and all ink is where the description says."""

import json
import re
from functools import partial

import pytest

from drawn_world import SPLITS, TASKS, fonts, palette, words
from drawn_world.documents import forms, lookups, receipts, tables
from drawn_world.wording import LABELS
from qwen2vl.processing.messages import parse_messages

from .checks import (
    are_apart,
    are_inside,
    check_repeatable,
    digest_of,
    drawn,
    every_split,
    image_of,
    ink_of,
    makers_of,
    needs_text,
    turns_of,
)

ALL = makers_of(receipts, forms, tables)
draw = partial(drawn, ALL)


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
        assert width % 28 == 0 and height % 28 == 0 and max(width, height) <= 224
        assert item.task == task and item.messages[-1]["role"] == "user"
        json.dumps(item.truth)
        parse_messages(item.messages)
        assert all(question and answer and "{" not in question for question, answer in turns_of(item))
        assert item.truth["scene"]["family"] in {face.family for face in fonts.FACES[split]}
        if task in TASKS:
            assert item.answer in item.truth["accept"] and item.truth["metric"] == "anls"


@needs_text
@pytest.mark.parametrize("task", ALL)
def test_the_easiest_form_has_one_size(task: str):
    items = [draw(task, seed, ease=1.0) for seed in range(20)]
    assert len({image_of(item).size for item in items}) == 1
    assert {item.truth["scene"]["form"] for item in items} == {"aligned"}


def number_in(text: str) -> str:
    return re.search(r"\d+\.\d\d", text)[0]


def receipt_answer(scene: dict, asked: dict) -> str:
    prices = [(name.rstrip(":"), number_in(price)) for name, price in scene["goods"]]
    if asked["field"] == "price":
        return dict(prices)[asked["name"]]
    if asked["field"] == "total":
        return f"{sum(round(100 * float(price)) for _, price in prices) / 100:.2f}"
    if asked["field"] == "which":
        (name,) = (name for name, price in prices if price == asked["price"])
        return name
    return scene[asked["field"]]


def form_answer(scene: dict, asked: dict) -> str:
    return dict(scene["fields"])[asked["key"]]


def table_answer(scene: dict, asked: dict) -> str:
    header, *rows = scene["cells"]
    if "table" in asked:
        rule = "|" + "|".join(["---"] * len(header)) + "|"
        return "\n".join(["| " + " | ".join(header) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)])
    column = header.index(asked["column"])
    if "value" in asked:
        (name,) = (row[0] for row in rows if row[column] == asked["value"])
        return name
    (value,) = (row[column] for row in rows if row[0] == asked["row"])
    return value


ANSWERS = {"receipt": receipt_answer, "form": form_answer, "table": table_answer}


@needs_text
@every_split
@pytest.mark.parametrize("document", ANSWERS)
def test_answers_follow_from_the_description(document: str, split: str):
    for seed in range(50):
        item = draw(document, seed, split, seed % 5 / 4)
        asked = item.truth["scene"]["asked"]
        assert item.answer == ANSWERS[document](item.truth["scene"], asked)
        named = [value for key, value in asked.items() if key in ("name", "key", "row", "value", "price")]
        assert all(value.lower() in turns_of(item)[0][0].lower() for value in named)
        item = draw(f"{document}_dialogue", seed, split, seed % 5 / 4)
        answers = [ANSWERS[document](item.truth["scene"], asked) for asked in item.truth["scene"]["asked"]]
        assert [answer for _, answer in turns_of(item)] == answers and 1 <= len(answers) <= 6


@needs_text
def test_the_easiest_forms_for_one_key_have_two_keys():
    for seed in range(40):
        item = draw("form_one", seed, SPLITS[seed % 3], seed % 2)
        ((_, answer),), scene = turns_of(item), item.truth["scene"]
        (asked,) = scene["asked"]
        assert answer == form_answer(scene, asked)
        assert len(scene["fields"]) in ((2,) if seed % 2 else range(3, 6))


@needs_text
def test_whole_receipts_and_tables_are_answered_as_written():
    for seed in range(60):
        item = draw("receipt_lines", seed, SPLITS[seed % 3], seed % 5 / 4)
        scene = item.truth["scene"]
        written = sorted(scene["written"], key=lambda each: (each["box_px"][1], each["box_px"][0]))
        rows: dict[int, list[str]] = {}
        for each in written:
            rows.setdefault(each["box_px"][1], []).append(each["text"])
        assert item.answer == "\n".join(" ".join(row) for row in rows.values())
        assert len(scene["lines"]) == len(scene["goods"]) + 3 and len(scene["goods"]) in range(2, 6)
        item = draw("table_rows", seed, SPLITS[seed % 3], seed % 5 / 4)
        cells = [line.strip("| ").split(" | ") for line in item.answer.split("\n")]
        assert cells[:1] + cells[2:] == item.truth["scene"]["cells"]
        assert 2 <= len(cells[0]) <= 4 and 2 <= len(cells) - 2 <= 4


@needs_text
@pytest.mark.parametrize("task", ["receipt", "form", "table"])
@every_split
def test_texts_are_inside_the_image_and_do_not_overlap(task: str, split: str):
    for seed in range(40):
        item = draw(task, seed, split, seed % 5 / 4)
        boxes = [each["box_px"] for each in item.truth["scene"]["written"]]
        assert are_inside(boxes, image_of(item).size) and are_apart(boxes)


@needs_text
@pytest.mark.parametrize("task", ["receipt", "form", "table"])
def test_all_ink_is_where_the_description_says(task: str):
    seen = set()
    for seed in range(90):
        item = draw(task, seed, SPLITS[seed % 3], (0.0, 0.3, 0.8)[seed % 7 % 3])
        scene = item.truth["scene"]
        if scene["damage"] or scene["uneven"] or scene.get("ruled") in ("stripes", "band"):
            continue
        ink = ink_of(item)
        for each in scene["written"]:
            x1, y1, x2, y2 = each["box_px"]
            assert ink[y1:y2, x1:x2].any()
        for x1, y1, x2, y2 in (*(each["box_px"] for each in scene["written"]), *scene["rules"]):
            ink[y1:y2, x1:x2] = False
        assert not ink.any()
        seen.add(scene.get("column", scene.get("shape", scene.get("ruled"))))
    assert len(seen) >= 3


@needs_text
@every_split
def test_words_to_read_belong_to_their_split(split: str):
    headings = {word for name in ("first_column", "other_column") for word in LABELS[name]}
    labels = {*forms.KEYS, *headings, *map(str.capitalize, headings), *LABELS["day"], *palette.COLOURS}
    for task in ("receipt", "form", "table"):
        for seed in range(40):
            for word in draw(task, seed, split).truth.get("read", ()):
                assert not word.isalpha() or word in labels or words.split_of(word.lower()) == split
                assert split == "train" or word == word.lower() or word in labels
    assert all(words.split_of(word) == split for word in lookups.goods(split)) and len(lookups.goods(split)) > 5


def test_no_layout_is_in_two_splits():
    for field in receipts.LAYOUTS["train"]:
        sets = [set(receipts.LAYOUTS[split][field]) for split in SPLITS]
        assert sum(map(len, sets)) == len(set.union(*sets)), field
    for table in (forms.SHAPES, tables.RULES):
        assert sum(map(len, table.values())) == len(set(sum(table.values(), ())))


@needs_text
def test_receipts_have_layouts_of_their_split():
    for split in SPLITS:
        layouts = receipts.LAYOUTS[split]
        for seed in range(20):
            scene = draw("receipt", seed, split).truth["scene"]
            assert scene["column"] in layouts["column"] and scene["rule"] in layouts["rule"]
            assert tuple(scene["order"]) in layouts["order"]
            patterns = [re.escape(form).replace(r"\{\}", r"\d+\.\d\d") for form in layouts["money"]]
            assert all(any(re.fullmatch(pattern, price) for pattern in patterns) for _, price in scene["goods"])
