"""Two and three images, and counting to nine: tests derive the answers from the description in the truth."""

from collections import Counter
from functools import partial
from random import Random

import numpy as np
import pytest
from PIL import Image

from drawn_world.shapes import kinds as shapes
from drawn_world.shapes import pairs
from drawn_world.wording import FILES

from .checks import (
    are_apart,
    are_inside,
    asked,
    check_answers,
    check_repeatable,
    check_taught,
    check_wordings,
    digest_of,
    every_split,
    makers_of,
    media_of,
    of_every_ease,
    taught_words,
)

ALL = makers_of(pairs)
EVERY = pytest.mark.parametrize("task", ALL)
QUESTIONS = FILES["pairs"]["questions"]
ORDINALS = ["first", "second", "third"]
items = partial(of_every_ease, ALL)


def named(image: dict) -> list[str]:
    return [f"{shape['colour']} {shape['kind']}" for shape in image["shapes"]]


def the_change(first: dict, second: dict) -> tuple[str, str]:
    """Name of the shape that differs, and the difference."""
    gone, came = (sorted(Counter(named(a)) - Counter(named(b))) for a, b in ((first, second), (second, first)))
    if not came:
        return gone[0], "missing"
    if not gone:
        return came[0], "new"
    (colour, kind), (new_colour, new_kind) = gone[0].split(), came[0].split()
    assert (colour == new_colour) != (kind == new_kind)
    return gone[0], f"now {new_colour}" if kind == new_kind else f"now a {new_kind}"


def same_as_first(images: list[dict], what: str) -> str:
    reference, *others = (image["shapes"][0][{"shape": "kind", "colour": "colour"}[what]] for image in images)
    return {(True, True): "both", (False, False): "neither", (True, False): "second", (False, True): "third"}[
        others[0] == reference, others[1] == reference
    ]


def one_of(flags: list[bool]) -> str:
    """The ordinal of the only true flag."""
    assert sum(flags) == 1
    return ORDINALS[flags.index(True)]


def derived(question: str, scene: dict) -> str:
    """The answer, from the description alone."""
    key, parts = asked(QUESTIONS, question)
    images = scene["images"]
    counts, names = [len(image["shapes"]) for image in images], [named(image) for image in images]
    if key in ("difference", "different_shape"):
        name, how = the_change(*images)
        return f"the {name} is {how}" if key == "difference" else name
    if key == "same_object":
        return same_as_first(images, parts["what"])
    if key in ("which_more", "which_most"):
        return one_of([count == max(counts) for count in counts])
    if key == "which_has_thing":
        return one_of([parts["thing"] in each for each in names])
    kinds = {shapes.PLURALS[shape["kind"]] for shape in images[0]["shapes"]}
    assert parts["things"] == "shapes" or kinds == {parts["things"]}
    return " ".join(map(str, range(1, counts[0] + 1))) if key == "count_aloud" else str(counts[0])


@EVERY
@every_split
def test_answers_follow_from_the_description(task: str, split: str) -> None:
    check_answers(items(task, 60, split), task, derived)


@EVERY
def test_images_are_what_the_description_says(task: str) -> None:
    for item in items(task, 40):
        for image, described in zip(media_of(item), item.truth["scene"]["images"], strict=True):
            drawn = Image.new("RGB", tuple(described["size"]), tuple(described["ground"]))
            for shape in described["shapes"]:
                mask = shapes.mask(shape["kind"], shape["side"], shape["turn"])
                drawn.paste(tuple(shape["rgb"]), (shape["x"], shape["y"]), mask)
            assert image.size == drawn.size
            noise = np.abs(np.asarray(image).astype(int) - np.asarray(drawn).astype(int))
            assert noise.max() <= 9


@EVERY
def test_boxes_enclose_their_pixels_and_lie_apart(task: str) -> None:
    for item in items(task, 40):
        for described in item.truth["scene"]["images"]:
            boxes = []
            for shape in described["shapes"]:
                width, height = shapes.mask(shape["kind"], shape["side"], shape["turn"]).size
                boxes.append((shape["x"], shape["y"], shape["x"] + width, shape["y"] + height))
            assert are_inside(boxes, described["size"]) and are_apart(boxes)


@EVERY
def test_sizes_keep_to_the_limits(task: str) -> None:
    for item in items(task, 60):
        sizes = [image.size for image in media_of(item)]
        assert 1 <= len(sizes) <= 3 and all(max(size) <= 224 and size[0] * size[1] >= 4 * 784 for size in sizes)
        assert sum(-(-width // 28) * -(-height // 28) for width, height in sizes) <= 64
    easiest = {tuple(p.size for p in media_of(ALL[task](Random(seed), "train", 1.0))) for seed in range(20)}
    assert len(easiest) == 1


def test_the_easiest_count_ends_where_the_row_ends() -> None:
    for seed in range(60):
        (image,) = ALL["count_rows"](Random(seed), "train", 1.0).truth["scene"]["images"]
        cells = [shape["y"] // 28 * 3 + shape["x"] // 28 for shape in image["shapes"]]
        assert cells == list(range(len(cells))) and len({s["kind"] for s in image["shapes"]}) == 1


def test_answers_are_balanced() -> None:
    for task, answers in (("same_object", ("second", "third", "both", "neither")), ("count_nine", "123456789")):
        given = [ALL[task](Random(seed), "train", 0.0).answer for seed in range(450)]
        assert set(given) == set(answers)
        assert all(0.6 < given.count(each) * len(answers) / 450 < 1.5 for each in answers), task


def digest() -> str:
    return digest_of(ALL[task](Random(seed), "val", 0.3) for task in ALL for seed in range(3))


def test_the_same_pixels_again_and_in_another_process() -> None:
    check_repeatable(digest)


@EVERY
@every_split
def test_questions_are_worded_for_their_split(task: str, split: str) -> None:
    check_wordings(items(task, 20, split), QUESTIONS, split)


@EVERY
def test_words_are_known_to_the_tokenizer(task: str) -> None:
    check_taught(items(task, 60), taught_words())
