"""Free scenes and the lessons about places: boxes are checked against pixels, answers are derived from the description."""

import re
from functools import partial
from random import Random

import numpy as np
import pytest

from drawn_world.shapes import kinds, looks, places
from drawn_world.shapes.free_scenes import free_scene
from drawn_world.shapes.looks import Paper, ShapeLook
from drawn_world.shapes.shape_scenes import Placed, Scene, draw_scene
from drawn_world.wording import FILES
from qwen2vl.processing.grounding import parse_places

from .checks import (
    are_apart,
    are_inside,
    asked,
    box_of,
    check_repeatable,
    check_taught,
    check_wordings,
    digest_of,
    every_split,
    image_of,
    makers_of,
    media_of,
    of_every_ease,
    taught_words,
    turns_of,
)

pytest.importorskip("aggdraw", reason="pip install aggdraw")

ALL = makers_of(places)
EVERY = pytest.mark.parametrize("task", ALL)
QUESTIONS = FILES["places"]["questions"]
items = partial(of_every_ease, ALL)


def boxes_of(scene: dict) -> dict[str, tuple[int, int, int, int]]:
    """The box of every name, in pixels."""
    placed = [
        Placed(**(each | {"look": ShapeLook(**each["look"]) if "look" in each else None})) for each in scene["shapes"]
    ]
    assert len({shape.name for shape in placed}) == len(placed)
    return {shape.name: shape.box_px for shape in placed}


def thousandths(box: tuple[int, ...], size: list[int]) -> tuple[int, ...]:
    return tuple(min(999, value * 1000 // side) for value, side in zip(box, size * 2, strict=True))


def test_boxes_enclose_exactly_the_pixels_of_their_shape() -> None:
    kinds_seen, renderers = set(), set()
    for seed in range(80):
        scene = free_scene(Random(seed), seed % 4 / 4)
        whole = np.asarray(draw_scene(scene)).astype(int)
        for index, shape in enumerate(scene.shapes):
            others = scene.shapes[:index] + scene.shapes[index + 1 :]
            without = Scene(size=scene.size, ground=scene.ground, shapes=others, paper=scene.paper)
            x1, y1, x2, y2 = box_of((np.asarray(draw_scene(without)).astype(int) != whole).any(axis=2))
            near = [abs(a - b) for a, b in zip(shape.box_px, (x1, y1, x2, y2), strict=True)]
            assert max(near) <= 1, (seed, shape, near)  # a faint edge may round to the background
            kinds_seen.add(shape.kind)
            renderers |= {shape.look.renderer} if shape.look else set()
    assert kinds_seen == set(kinds.KINDS) and renderers == set(looks.RENDERERS)


def test_scenes_keep_to_their_limits_and_shapes_lie_apart() -> None:
    sizes, sides = [], []
    for seed in range(200):
        scene = free_scene(Random(seed), 0.0)
        boxes = [shape.box_px for shape in scene.shapes]
        assert are_inside(boxes, scene.size) and are_apart(boxes) and 2 <= len(boxes) <= 8
        sizes += scene.size
        sides += [max(x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes]
    assert min(sizes) >= 84 and 400 < max(sizes) <= 448
    assert 9 <= min(sides) < 20 and 150 < max(sides) <= 201


def test_the_easiest_scene_has_two_plain_shapes_in_their_tokens() -> None:
    for seed in range(60):
        scene = free_scene(Random(seed), 1.0)
        assert scene.size == (112, 112) and len(scene.shapes) == 2 and scene.paper is None
        assert all(shape.look is None for shape in scene.shapes)
        assert all(
            x1 // 28 == (x2 - 1) // 28 and y1 // 28 == (y2 - 1) // 28
            for x1, y1, x2, y2 in boxes_of(scene.described()).values()
        )


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_renderers_agree_on_the_form_of_a_kind(kind: str) -> None:
    middle = sum(looks.PROPORTIONS.get(kind, (0, 0))) / 2
    areas = [
        np.asarray(looks.mask(kind, 80, ShapeLook(renderer=each, proportion=middle))).sum() / 255
        for each in looks.RENDERERS
    ]
    assert max(areas) / min(areas) < 1.06


def test_papers_are_gradients_and_noise_around_their_colours() -> None:
    image = np.asarray(Paper(top=(10, 20, 30), bottom=(110, 60, 230), noise=5, seed=1).draw((40, 90))).astype(int)
    assert abs(image[0] - (10, 20, 30)).max() <= 5 and abs(image[-1] - (110, 60, 230)).max() <= 5
    assert image.std(axis=1).max() > 1


@EVERY
@every_split
def test_answers_follow_from_the_description(task: str, split: str) -> None:
    for item in items(task, 40, split):
        scene = item.truth["scene"]
        boxes, size = boxes_of(scene), scene["size"]
        assert len(boxes) >= 2 and tuple(size) == image_of(item).size
        for question, answer in turns_of(item):
            check_turn(*asked(QUESTIONS, question), answer, boxes, size)


def check_turn(key: str, parts: dict[str, str], answer: str, boxes: dict, size: list[int]) -> None:
    found = parse_places(answer, [tuple(size)])
    if key == "where" or key == "pick_box":
        (box,) = found.boxes
        assert box.label == parts["label"] and box.xyxy_1000 == thousandths(boxes[box.label.removeprefix("the ")], size)
        assert key == "where" or "({},{}),({},{})".format(*box.xyxy_1000) in parts["boxes"]
    elif key == "point_to":
        (point,) = found.points
        x1, y1, x2, y2 = boxes[parts["label"].removeprefix("the ")]
        assert abs(point.xy_px[0] - (x1 + x2) / 2) <= 1 and abs(point.xy_px[1] - (y1 + y2) / 2) <= 1
    elif key in ("list_boxes", "list_points"):
        places_found = found.boxes if key == "list_boxes" else found.points
        assert sorted(place.label for place in places_found) == sorted(boxes)
        for box in found.boxes:
            assert box.xyxy_1000 == thousandths(boxes[box.label], size)
        for point in found.points:
            x1, y1, x2, y2 = boxes[point.label]
            assert x1 < point.xy_px[0] < x2 and y1 < point.xy_px[1] < y2
    elif key == "name_box":
        assert parts["box"] == "({},{}),({},{})".format(*thousandths(boxes[answer], size))
    else:
        x, y = (int(v) * side / 1000 for v, side in zip(re.findall(r"\d+", parts["point"]), size, strict=True))
        away = {
            name: np.hypot(max(x1 - x, 0, x - x2), max(y1 - y, 0, y - y2)) for name, (x1, y1, x2, y2) in boxes.items()
        }
        assert min(away, key=away.__getitem__) == answer and (key == "shape_near") == (away[answer] > 0)


def test_rows_are_read_from_the_left_and_from_the_top() -> None:
    def at(x: int, y: int, side: int) -> Placed:
        return Placed(kind="square", colour="red", rgb=(255, 0, 0), side=side, turn=0, x=x, y=y)

    tall, beside, below, right_below = at(0, 10, 60), at(80, 0, 30), at(0, 90, 20), at(50, 85, 20)
    assert places.reading_order([right_below, below, beside, tall]) == [beside, tall, below, right_below]


@EVERY
@every_split
def test_questions_are_worded_for_their_split(task: str, split: str) -> None:
    check_wordings(items(task, 20, split), QUESTIONS, split)


@EVERY
def test_words_are_known_to_the_tokenizer(task: str) -> None:
    check_taught(items(task, 30), taught_words() | {"object", "ref", "start", "end", "box"})


@EVERY
def test_a_dialogue_asks_no_thing_twice(task: str) -> None:
    for item in items(task, 30):
        assert len(media_of(item)) == 1 and len(turns_of(item)) <= 6
        labels = [asked(QUESTIONS, question)[1].get("label") for question, _ in turns_of(item)]
        labels = [label for label in labels if label]
        assert len(set(labels)) == len(labels)


def digest() -> str:
    return digest_of(ALL[task](Random(seed), "val", 0.3) for task in ALL for seed in range(3))


def test_the_same_pixels_again_and_in_another_process() -> None:
    check_repeatable(digest)
