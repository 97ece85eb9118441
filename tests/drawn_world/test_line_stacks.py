"""Stacks of lines on paper and on pictures: answers follow from the lines, letters can be seen, splits are disjoint."""

import re
from collections.abc import Sequence
from functools import partial
from random import Random

import numpy as np
import pytest
from PIL import Image

from drawn_world import SPLITS, fonts, words
from drawn_world.reading import languages, line_stacks, pictures, text_blocks
from drawn_world.reading.line_questions import line_turns
from drawn_world.transfer import words_on_photos
from drawn_world.wording import LABELS, QUESTIONS

from .checks import (
    are_inside,
    asked,
    box_of,
    changed,
    check_repeatable,
    digest_of,
    drawn,
    encloses,
    every_split,
    image_of,
    ink_of,
    makers_of,
    needs,
    needs_text,
    turns_of,
    wordings_for,
)

MARKS = ".,!?:;()\"'"
ALL = makers_of(line_stacks)
draw = partial(drawn, ALL)
needs_photos = needs(pictures.photo_folder, lambda: pictures.photo_folder("matplotlib"))
READ = {"read_line", "read_paragraph", "read_language"}
ASKED = {name: QUESTIONS[name] for name in (
    "read_word", "read_line", "read_paragraph", "line_at", "last_line", "word_after", "word_before", "last_word", "first_word",
    "words_in_line", "line_count",
)}  # fmt: skip


def answer_to(question: str, lines: list[str]) -> str:
    """The answer as a reader of the lines finds it; not the rules of the drawing code, which are under test."""
    if any(question in QUESTIONS[name] for name in ("read_word", "read_line", "read_paragraph")):
        return "\n".join(lines)
    key, parts = asked(ASKED, question)
    if key == "line_count":
        return str(len(lines))
    if key == "last_line":
        return lines[-1]
    bare = [word.strip(MARKS) for word in " ".join(lines).split()]
    if key in ("word_after", "word_before"):
        (at,) = [index for index, word in enumerate(bare) if word.lower() == parts["word"].lower()]
        return bare[at + (1 if key == "word_after" else -1)]
    number = int(parts["number"]) if "number" in parts else 1 + LABELS["ordinals"].index(parts["ordinal"])
    line = lines[number - 1].split()
    return {"line_at": lines[number - 1], "words_in_line": str(len(line))}.get(key) or line[
        0 if key == "first_word" else -1
    ]


def has_wording(question: str, wordings: Sequence[str]) -> bool:
    """Whether a wording gives the question when something is filled in."""
    return any(re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(each)), question) for each in wordings)


def digest(seeds: range) -> str:
    return digest_of(draw(task, seed, SPLITS[seed % 3], seed % 4 / 3) for task in ALL for seed in seeds)


@needs_text
@needs_photos
def test_the_same_arguments_give_the_same_pixels_in_another_process() -> None:
    assert check_repeatable(digest, range(2)) != digest(range(2, 4))


@needs_text
@needs_photos
@pytest.mark.parametrize("task", ALL)
@every_split
def test_every_answer_follows_from_the_lines(task: str, split: str) -> None:
    kinds = set()
    for seed in range(60):
        item = draw(task, seed, split, seed / 59)
        lines = item.truth["scene"]["lines"]
        for question, answer in turns_of(item):
            expected = answer_to(question, lines)
            assert expected.strip(MARKS) == answer.strip(MARKS), (question, lines)
            kinds.add(asked(ASKED, question)[0])
            assert any(has_wording(question, wordings_for(each, split)) for each in ASKED.values()), (split, question)
        assert item.truth["scene"]["family"] in {face.family for face in fonts.FACES[split]}
        assert max(image_of(item).size) <= text_blocks.LARGEST_SIDE
    assert len(kinds) >= 6, kinds


def test_no_answer_of_a_dialogue_is_given_by_an_earlier_one() -> None:
    lines = ["one two three", "four five", "six", "seven eight nine ten"]
    for seed in range(200):
        turns = line_turns(Random(seed), "train", 0.0, lines, read="read_paragraph")
        assert 1 <= len(turns) <= 6 and len(turns) == len(set(turns))
        for index, (_, answer) in enumerate(turns):
            earlier = " ".join(f"{question} {given}" for question, given in turns[:index])
            assert answer.isdigit() or not re.search(rf"\b{re.escape(answer)}\b", earlier)


@needs_text
@pytest.mark.parametrize("ease", [0.0, 0.5, 1.0])
def test_the_box_of_the_lines_holds_their_ink(ease: float) -> None:
    checked = 0
    for seed in range(100):
        item = draw("line_stack", seed, "train", ease)
        scene = item.truth["scene"]
        assert are_inside([scene["box_px"]], image_of(item).size)
        if not scene["uneven"] and not scene["damage"]:
            assert encloses(scene["box_px"], box_of(ink_of(item)))
            checked += 1
    assert checked > 20


@needs_text
@needs_photos
def test_letters_on_pictures_are_inside_their_box_and_stand_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bare: list[Image.Image] = []
    make = pictures.draw_picture

    def kept(*args: object) -> tuple[Image.Image, str]:
        image, name = make(*args)
        bare.append(image.copy())
        return image, name

    monkeypatch.setattr(line_stacks, "draw_picture", kept)
    seen, behind = set(), set()
    for seed in range(80):
        item = draw("picture_stack", seed, "train", seed % 3 / 2)
        scene = item.truth["scene"]
        behind.add(scene["behind"])
        if not scene["damage"]:
            inner, edge = (
                changed(image_of(item), bare[-1]),
                {"none": 0, "outline": 2, "shadow": 8, "plate": 4}[scene["edge"]],
            )
            x1, y1, x2, y2 = scene["box_px"]
            assert encloses((x1 - edge, y1 - edge, x2 + edge, y2 + edge), inner)
            gap = np.abs(np.asarray(image_of(item).convert("L")).astype(int) - np.asarray(bare[-1].convert("L")))
            assert gap[y1:y2, x1:x2].max() >= pictures.LEAST_GAP / 2
            seen.add(scene["edge"])
    assert seen == {"none", "outline", "shadow", "plate"} and len(behind) > 8


def test_no_layout_or_photograph_is_in_two_splits() -> None:
    train, val = (set(text_blocks.LAYOUTS[split]) for split in ("train", "val"))
    assert not train & val and "hanging" not in train | val
    photos = [{name for _, name in pictures.PHOTOS[split]} for split in SPLITS]
    assert sum(map(len, photos)) == len(set.union(*photos))
    assert not set.union(*photos) & set(words_on_photos.PHOTOS)


@needs_text
def test_words_as_they_are_written_belong_to_their_split() -> None:
    for split in SPLITS:
        written = [words.pick_written(Random(seed), split, 0.6) for seed in range(400)]
        for word in (re.sub(r"'s$", "", each) for each in written):
            letters = word.strip(".,!?:;()\"'-&@_")
            assert not letters.isalpha() or words.split_of(letters.lower()) == split
        assert any(len(word) > 8 for word in written if word.isalpha()) == (split == "train")
        assert split != "test" or all(word == word.lower() for word in written if word.isalpha())


@needs_text
def test_lines_have_all_sizes_and_up_to_eight_words() -> None:
    scenes = [draw("line_stack", seed).truth["scene"] for seed in range(150)]
    sizes = [scene["size"] for scene in scenes]
    assert min(sizes) <= 11 and max(sizes) >= 44
    assert {len(line.split()) for scene in scenes for line in scene["lines"]} >= {*range(1, 8)}
    assert {scene["layout"] for scene in scenes} == {*text_blocks.LAYOUTS["train"]}


def test_wordings_of_line_questions_are_many_and_held_out() -> None:
    for name in (*ASKED, *READ, "read_in_box", "find_word", "read_script"):
        assert 20 <= len(QUESTIONS[name]) <= 40, name
        parts = [set(wordings_for(QUESTIONS[name], split)) for split in SPLITS]
        assert sum(map(len, parts)) == len(set.union(*parts))


def test_every_language_can_be_asked_for_by_line() -> None:
    lines = [languages.WORDS["Chinese"][0], languages.WORDS["Chinese"][1]]
    turns = line_turns(Random(1), "train", 0.0, lines, read="read_language", language="Chinese")
    assert all(answer in (*lines, "\n".join(lines), "2") for _, answer in turns)
