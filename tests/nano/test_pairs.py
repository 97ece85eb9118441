"""Two and three pictures, and counting to nine: answers are derived again from the description in the truth."""

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from qwen2vl.data import records
from qwen2vl.nano.world import SPLITS, Item, corpus_words, wording
from qwen2vl.nano.world.shapes import kinds as shapes
from qwen2vl.nano.world.shapes.pairs import KINDS, LESSONS, MAKERS, QUESTIONS, WORDS

ALL = MAKERS | LESSONS
EVERY = pytest.mark.parametrize("task", ALL)
ORDINALS = ["first", "second", "third"]


def items(task: str, count: int, split: str = "train") -> list[Item]:
    """Of every ease from 0 to 1."""
    return [ALL[task](Random(f"{split}/{task}/{seed}"), split, seed / (count - 1)) for seed in range(count)]


def pictures_of(item: Item) -> list[Image.Image]:
    return [part["image"] for part in item.messages[0]["content"] if part["type"] == "image"]


def turns_of(item: Item) -> list[tuple[str, str]]:
    texts = [m["content"] if isinstance(m["content"], str) else m["content"][-1]["text"] for m in item.messages]
    return list(zip(texts[::2], [*texts[1::2], item.answer], strict=True))


def asked(question: str) -> tuple[str, dict[str, str]]:
    """Which question this is a wording of, and what was filled in; the least where several fit."""
    fitting = []
    for key, wordings in QUESTIONS.items():
        for each in wordings:
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(each))
            if found := re.fullmatch(pattern, question):
                fitting.append((sum(map(len, found.groups())), key, found.groupdict()))
    assert fitting, f"no question is worded {question!r}"
    return min(fitting, key=lambda each: each[0])[1:]


def named(picture: dict) -> list[str]:
    return [f"{shape['colour']} {shape['kind']}" for shape in picture["shapes"]]


def the_change(first: dict, second: dict) -> tuple[str, str]:
    """Name of the shape that differs, and how."""
    gone, came = (sorted(Counter(named(a)) - Counter(named(b))) for a, b in ((first, second), (second, first)))
    if not came:
        return gone[0], "missing"
    if not gone:
        return came[0], "new"
    (colour, kind), (new_colour, new_kind) = gone[0].split(), came[0].split()
    assert (colour == new_colour) != (kind == new_kind)
    return gone[0], f"now {new_colour}" if kind == new_kind else f"now a {new_kind}"


def same_as_first(pictures: list[dict], what: str) -> str:
    reference, *others = (picture["shapes"][0][{"shape": "kind", "colour": "colour"}[what]] for picture in pictures)
    return {(True, True): "both", (False, False): "neither", (True, False): "second", (False, True): "third"}[
        others[0] == reference, others[1] == reference
    ]


def one_of(flags: list[bool]) -> str:
    """The ordinal of the only true one."""
    assert sum(flags) == 1
    return ORDINALS[flags.index(True)]


def derived(question: str, scene: dict) -> str:
    """The answer by the description alone."""
    key, parts = asked(question)
    pictures = scene["pictures"]
    counts, names = [len(picture["shapes"]) for picture in pictures], [named(picture) for picture in pictures]
    if key in ("difference", "different_shape"):
        name, how = the_change(*pictures)
        return f"the {name} is {how}" if key == "difference" else name
    if key == "same_object":
        return same_as_first(pictures, parts["what"])
    if key in ("same_colour", "same_shape"):
        same = same_as_first([pictures[0], *pictures], key.removeprefix("same_")) == "both"
        return "yes" if same else "no"
    if key in ("which_more", "which_most"):
        return one_of([count == max(counts) for count in counts])
    if key == "which_has":
        return one_of([parts["thing"] in each for each in names])
    if key in ("colour_in", "count_in"):
        picture = pictures[ORDINALS.index(parts["which"])]
        colours = [shape["colour"] for shape in picture["shapes"] if shape["kind"] == parts.get("kind")]
        return str(len(picture["shapes"])) if key == "count_in" else "".join(colours)
    if key == "in_both":
        return "yes" if all(any(n.endswith(f" {parts['kind']}") for n in each) for each in names) else "no"
    if key == "name_both":
        return ", ".join(name for each in names for name in each)
    if key == "pair_rows":
        lines = [sorted(p["shapes"], key=lambda s: (s["y"] // row_height(p), s["x"])) for p in pictures]
        told = [", ".join(f"{s['colour']} {s['kind']}" for s in line) for line in lines]
        return "\n".join(f"{which}: {line}" for which, line in zip(ORDINALS, told, strict=False))
    kinds = {shapes.PLURALS[shape["kind"]] for shape in pictures[0]["shapes"]}
    assert parts["things"] == "shapes" or kinds == {parts["things"]}
    return " ".join(map(str, range(1, counts[0] + 1))) if key == "count_aloud" else str(counts[0])


def row_height(picture: dict) -> int:
    """Of a grid of four shapes in one or two rows, six or eight in two."""
    (width, height), count = picture["size"], len(picture["shapes"])
    return height if width >= 2 * height and count == 4 else height // 2


@EVERY
@pytest.mark.parametrize("split", SPLITS)
def test_answers_follow_from_the_description(task: str, split: str) -> None:
    for item in items(task, 60, split):
        assert item.task == task and item.answer in item.truth["accept"]
        scene = json.loads(json.dumps(item.truth["scene"]))
        for question, answer in turns_of(item):
            assert derived(question, scene) == answer, (question, answer, scene)


@EVERY
def test_pictures_are_what_the_description_says(task: str) -> None:
    for item in items(task, 40):
        for picture, told in zip(pictures_of(item), item.truth["scene"]["pictures"], strict=True):
            drawn = Image.new("RGB", tuple(told["size"]), tuple(told["ground"]))
            for shape in told["shapes"]:
                mask = shapes.mask(shape["kind"], shape["side"], shape["turn"])
                drawn.paste(tuple(shape["rgb"]), (shape["x"], shape["y"]), mask)
            assert picture.size == drawn.size
            noise = np.abs(np.asarray(picture).astype(int) - np.asarray(drawn).astype(int))
            assert noise.max() <= 9


@EVERY
def test_boxes_enclose_their_pixels_and_lie_apart(task: str) -> None:
    for item in items(task, 40):
        for told in item.truth["scene"]["pictures"]:
            count = np.zeros(told["size"][::-1], dtype=int)
            for shape in told["shapes"]:
                width, height = shapes.mask(shape["kind"], shape["side"], shape["turn"]).size
                x, y = shape["x"], shape["y"]
                assert x >= 0 and y >= 0 and x + width <= told["size"][0] and y + height <= told["size"][1]
                count[y : y + height, x : x + width] += 1
            assert count.max() <= 1


@EVERY
def test_sizes_keep_to_the_limits(task: str) -> None:
    for item in items(task, 60):
        sizes = [picture.size for picture in pictures_of(item)]
        assert 1 <= len(sizes) <= 3 and all(max(size) <= 224 and size[0] * size[1] >= 4 * 784 for size in sizes)
        assert sum(-(-width // 28) * -(-height // 28) for width, height in sizes) <= 64
    easiest = {tuple(p.size for p in pictures_of(ALL[task](Random(seed), "train", 1.0))) for seed in range(20)}
    assert len(easiest) == 1


def test_the_easiest_equality_has_two_kinds_two_colours_one_place() -> None:
    told = [items("equal_cells", 2)[1], *(LESSONS["equal_cells"](Random(seed), "train", 1.0) for seed in range(60))]
    placed = [shape for item in told for picture in item.truth["scene"]["pictures"] for shape in picture["shapes"]]
    assert {(shape["colour"], shape["kind"]) for shape in placed} == {
        (colour, kind) for colour in ("red", "blue") for kind in ("circle", "cross")
    }
    assert all(shape["x"] < 28 and shape["y"] < 28 for shape in placed)


def test_the_easiest_count_ends_where_the_row_ends() -> None:
    for seed in range(60):
        (picture,) = LESSONS["count_rows"](Random(seed), "train", 1.0).truth["scene"]["pictures"]
        cells = [shape["y"] // 28 * 3 + shape["x"] // 28 for shape in picture["shapes"]]
        assert cells == list(range(len(cells))) and len({s["kind"] for s in picture["shapes"]}) == 1


def test_answers_are_balanced() -> None:
    for task, answers in (("same_object", ("second", "third", "both", "neither")), ("count_nine", "123456789")):
        given = [MAKERS[task](Random(seed), "train", 0.0).answer for seed in range(450)]
        assert set(given) == set(answers)
        assert all(0.6 < given.count(each) * len(answers) / 450 < 1.5 for each in answers), task
    turns = [turn for seed in range(300) for turn in turns_of(LESSONS["equal_cells"](Random(seed), "train", 0.0))]
    given = [answer for _, answer in turns if answer in ("yes", "no")]
    assert 0.4 < given.count("yes") / len(given) < 0.6


def digest() -> str:
    made = hashlib.sha256()
    for task in ALL:
        for seed in range(3):
            item = ALL[task](Random(seed), "val", 0.3)
            made.update(json.dumps([turns_of(item), item.truth]).encode())
            for picture in pictures_of(item):
                made.update(picture.tobytes())
    return made.hexdigest()


def test_the_same_pixels_again_and_in_another_process() -> None:
    assert digest() == digest()
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_pairs as t; print(t.digest())"
    folder = Path(__file__).parent
    command = [sys.executable, "-c", code, str(folder)]
    other = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder.parents[1])
    assert other.stdout.strip() == digest()


def test_held_out_wordings_are_new_sentences_of_known_words() -> None:
    in_training = {each for group in QUESTIONS.values() for each in group[:-2]}
    elsewhere = {each for group in wording.QUESTIONS.values() for each in group}
    known = {word for each in in_training | elsewhere for word in re.findall(r"\w+", each.lower())}
    for group in QUESTIONS.values():
        assert len(group) == len(set(group)) >= 5
        for held_out in group[-2:]:
            assert held_out not in in_training | elsewhere
            assert set(re.findall(r"\w+", held_out.lower())) <= known


@EVERY
@pytest.mark.parametrize("split", SPLITS)
def test_questions_are_worded_for_their_split(task: str, split: str) -> None:
    place = {"train": slice(None, -2), "val": slice(-2, -1), "test": slice(-1, None)}[split]
    for item in items(task, 20, split):
        for question, _ in turns_of(item):
            key, parts = asked(question)
            assert question in [each.format(**parts) for each in QUESTIONS[key][place]]


@EVERY
def test_words_are_known_to_the_tokenizer(task: str) -> None:
    known = {*corpus_words(), *WORDS}
    known |= {word for group in QUESTIONS.values() for each in group for word in re.findall(r"[A-Za-z]+", each)}
    for item in items(task, 60):
        for question, answer in turns_of(item):
            assert question.isascii() and set(re.findall(r"[A-Za-z]+", f"{question} {answer}")) <= known


def test_every_kind_is_one_of_the_paper() -> None:
    assert set(KINDS) == set(ALL) and set(KINDS.values()) <= set(records.KINDS)
