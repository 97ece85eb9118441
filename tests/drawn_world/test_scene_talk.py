"""Dialogues about free scenes: answers are derived from the description alone, independently of the drawing code."""

import re
from collections import Counter
from functools import partial
from itertools import combinations
from random import Random

import numpy as np
import pytest

from drawn_world import draw, palette
from drawn_world.shapes import kinds, looks, pair_talk, scene_questions, scene_talk
from drawn_world.shapes.looks import ShapeLook
from drawn_world.wording import FILES, LABELS
from qwen2vl.processing.grounding import parse_places

from .checks import (
    asked,
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

ALL = makers_of(scene_talk, pair_talk)
EVERY = pytest.mark.parametrize("task", ALL)
ONE_IMAGE = pytest.mark.parametrize("task", makers_of(scene_talk))
ORDINALS = ("first", "second")
PLACES = FILES["places"]["questions"]
QUESTIONS = FILES["scenes"]["questions"] | {key: PLACES[key] for key in ("where", "where_all", "point_to")}
PAIRS = FILES["pair_talk"]["questions"]
items = partial(of_every_ease, ALL)


class Seen:
    """One described shape with its box."""

    def __init__(self, shape: dict) -> None:
        self.colour, self.kind, self.look = shape["colour"], shape["kind"], shape.get("look")
        mask = (
            looks.mask(self.kind, shape["side"], ShapeLook(**self.look))
            if self.look
            else kinds.mask(self.kind, shape["side"], shape["turn"])
        )
        self.name, (width, height) = f"{self.colour} {self.kind}", mask.size
        self.box = shape["x"], shape["y"], shape["x"] + width, shape["y"] + height
        hollow = self.kind == "ring" or bool(self.look and self.look["line"])
        self.area = width * height * 0.6 if hollow else float(np.asarray(mask).sum() / 255)
        self.middle = (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    def is_called(self, label: str) -> bool:
        """Whether a label such as "the red circle", "red one", "circles" or "blue things" fits."""
        words = label.removeprefix("the ").split()
        singular = {plural: kind for kind, plural in kinds.PLURALS.items()}
        return all(
            singular.get(word, word) in (self.colour, self.kind, "shape", "one", "shapes", "objects", "things")
            for word in words
        )

    def beside(self, other: "Seen") -> set[str]:
        a, b = self.box, other.box
        clear = {"left of": a[2] <= b[0], "right of": a[0] >= b[2], "above": a[3] <= b[1], "below": a[1] >= b[3]}
        return {relation for relation, holds in clear.items() if holds}


def called(seen: list[Seen], label: str) -> Seen:
    (one,) = [shape for shape in seen if shape.is_called(label)]
    return one


def yes(condition: bool) -> str:
    return "yes" if condition else "no"


def answer_of(key: str, parts: dict[str, str], seen: list[Seen], size: list[int]) -> str:
    if key in ("its_colour", "its_kind", "colour_of", "kind_of"):
        (shape,) = [
            s for s in seen if s.kind == parts.get("kind", s.kind) and s.colour == parts.get("colour", s.colour)
        ]
        return shape.colour if "colour" in key.split("_of")[0] else shape.kind
    if key == "count_things":
        return str(sum(shape.is_called(parts["things"]) for shape in seen))
    if key == "is_there":
        return yes(any(shape.is_called(re.sub("^an? ", "", parts["thing"])) for shape in seen))
    if key in ("describe", "which_colours"):
        ordered = sorted(seen, key=lambda shape: shape.middle[0])
        names = [f"{'an' if s.name[0] == 'o' else 'a'} {s.name}" for s in ordered]
        return ", ".join(names if key == "describe" else dict.fromkeys(s.colour for s in ordered))
    if key == "seen_from":
        (relation,) = called(seen, parts["a"]).beside(called(seen, parts["b"]))
        return relation.removesuffix(" of")
    if key in ("is_beside", "left_or_right", "above_or_below"):
        if "relation" not in parts:
            relations = {
                relation.removesuffix(" of") for relation in called(seen, parts["a"]).beside(called(seen, parts["b"]))
            }
            (relation,) = relations & set(key.split("_or_"))
            return relation
        joined = f"{parts['a']} {parts['relation']}"  # "red one left of" may be cut anywhere
        a, relation = re.fullmatch(r"(.+) (left of|right of|above|below)", joined).groups()
        return yes(relation in called(seen, a).beside(called(seen, parts["b"])))
    if key == "what_beside":
        other = called(seen, parts["b"])
        (one,) = [shape for shape in seen if parts["relation"] in shape.beside(other)]
        return one.name
    if key in ("furthest", "colour_at"):
        axis, pick = {"left": (0, min), "right": (0, max), "top": (1, min), "bottom": (1, max)}[parts["side"]]
        shape = pick(seen, key=lambda each: each.middle[axis])
        return shape.name if key == "furthest" else shape.colour
    if key == "part_of":
        across, down = (int(3 * m / s) for m, s in zip(called(seen, parts["label"]).middle, size, strict=True))
        words = [("top", "", "bottom")[down], ("left", "", "right")[across]]
        return " ".join(word for word in words if word) or "middle"
    word = parts.get("larger") or parts["largest"]
    pick = min if word.startswith("small") else max
    among = seen if key == "largest" else [called(seen, parts[each]) for each in "ab"]
    best = pick(among, key=lambda shape: shape.area)
    return yes(best is among[0]) if key == "is_larger" else best.name


@ONE_IMAGE
@every_split
def test_answers_follow_from_the_description(task: str, split: str) -> None:
    for item in items(task, 80, split):
        scene = item.truth["scene"]
        seen = [Seen(shape) for shape in scene["shapes"]]
        for question, answer in turns_of(item):
            key, parts = asked(QUESTIONS, question)
            if answer == LABELS["cannot_tell"][0]:
                assert key in ("colour_of", "where", "point_to")
                assert not any(shape.is_called(parts.get("kind") or parts["label"]) for shape in seen)
            elif key == "where_all":
                wanted = sorted(shape.name for shape in seen if shape.is_called(parts["things"]))
                assert sorted(box.label for box in parse_places(answer, [image_of(item).size]).boxes) == wanted
            elif key in ("where", "point_to"):
                x1, y1, x2, y2 = called(seen, parts["label"]).box
                places = parse_places(answer, [image_of(item).size])
                found = [p.xy_px for p in places.points]
                found += [(box.xyxy_px[i], box.xyxy_px[i + 1]) for box in places.boxes for i in (0, 2)]
                x, y = np.mean(found, axis=0)
                assert abs(x - (x1 + x2) / 2) <= 1 and abs(y - (y1 + y2) / 2) <= 1
            else:
                assert answer_of(key, parts, seen, scene["size"]) == answer, (question, answer, scene)


def answer_about_two(key: str, parts: dict[str, str], images: list[list[Seen]]) -> str:
    """The answer to a question about two images."""
    names = [Counter(shape.name for shape in seen) for seen in images]
    places = [sorted((shape.name, shape.box) for shape in seen) for seen in images]
    if key == "two_same":
        return yes(places[0] == places[1])
    if key in ("what_changed", "which_changed"):
        gone, came = (list((names[a] - names[b]).elements()) for a, b in ((0, 1), (1, 0)))
        assert len(gone) <= 1 >= len(came)
        if key == "which_changed":
            return (gone or came)[0]
        if not gone or not came:
            return f"the {(gone or came)[0]} is {'missing' if gone else 'new'}"
        (colour, kind), (new_colour, new_kind) = gone[0].split(), came[0].split()
        assert (colour == new_colour) != (kind == new_kind)
        return f"the {gone[0]} is now {new_colour if kind == new_kind else f'a {new_kind}'}"
    if key in ("number_in_one", "colour_in_one"):
        seen = images[ORDINALS.index(parts["which"])]
        return str(len(seen)) if key == "number_in_one" else called(seen, parts["kind"]).colour
    kind = re.sub("^an? ", "", parts.get("kind") or parts.get("thing") or "")
    have = [any(shape.kind == kind for shape in seen) for seen in images]
    if key == "kind_in_both":
        return yes(all(have))
    if key == "which_holds":
        assert sum(have) == 1
        return ORDINALS[have.index(True)]
    sizes = [len(seen) if key == "which_fuller" else called(seen, kind).area for seen in images]
    assert sizes[0] != sizes[1]
    return ORDINALS[(sizes[1] > sizes[0]) != (parts.get("larger") == "smaller")]


@every_split
def test_answers_about_two_images_follow_from_both_descriptions(split: str) -> None:
    keys = set()
    for item in items("pair_talk", 240, split):
        images = item.truth["scene"]["images"]
        assert [list(image.size) for image in media_of(item)] == [image["size"] for image in images]
        assert sum(-(-image.width // 28) * -(-image.height // 28) for image in media_of(item)) <= 256
        seen = [[Seen(shape) for shape in image["shapes"]] for image in images]
        for question, answer in turns_of(item):
            key, parts = asked(PAIRS, question)
            assert answer_about_two(key, parts, seen) == answer, (question, answer, images)
            keys.add(key)
    assert keys == set(PAIRS)


def test_equal_pairs_are_the_same_pixels_but_for_noise() -> None:
    equal = 0
    for seed in range(150):
        item = draw("pair_talk", seed, ease=0.3)
        key, _ = asked(PAIRS, turns_of(item)[0][0])
        one, two = (np.asarray(image).astype(int) for image in media_of(item))
        if key == "two_same":
            differing = one.shape != two.shape or (abs(one - two).max(axis=2) > 24).sum() > 20
            assert differing == (turns_of(item)[0][1] == "no")
            equal += not differing
    assert equal > 20


def test_counts_reach_twelve_and_yes_is_half_of_the_answers() -> None:
    counted = Counter(answer for seed in range(250) for _, answer in turns_of(draw("count_talk", seed)))
    assert set(counted) == {str(number) for number in range(13)}
    assert max(counted.values()) < 0.33 * counted.total()
    given = Counter(answer for seed in range(300) for _, answer in turns_of(draw("scene_talk", seed)))
    assert 0.4 < given["yes"] / (given["yes"] + given["no"]) < 0.6


def test_every_group_is_asked_and_most_dialogues_have_four_to_six_turns() -> None:
    drawn = [draw("scene_talk", seed) for seed in range(250)]
    keys = {asked(QUESTIONS, question)[0] for item in drawn for question, _ in turns_of(item)}
    assert keys == set(QUESTIONS)
    lengths = Counter(len(turns_of(item)) for item in drawn)
    assert set(lengths) <= {1, 2, 3, 4, 5, 6} and sum(lengths[n] for n in (4, 5, 6)) > 0.7 * len(drawn)


def test_no_answer_is_in_the_text_of_an_earlier_turn() -> None:
    """A colour or kind that is asked for was not named together with its shape before."""
    for seed in range(150):
        turns = turns_of(draw("scene_talk", seed, ease=seed % 3 / 3))
        for (before, told), (question, answer) in combinations(turns, 2):
            key, parts = asked(QUESTIONS, question)
            if key == "colour_of":
                assert f"{answer} {parts['kind']}" not in f"{before} {told}".replace(kinds.PLURALS[parts["kind"]], "")
            if key == "kind_of":
                assert not re.search(rf"{parts['colour']} {answer}\b", f"{before} {told}")


@pytest.mark.parametrize("name", palette.COLOURS)
def test_shades_lie_nearest_to_their_own_colour(name: str) -> None:
    """A shade of one name is no shade of another one: its hue, or its brightness where it has none, is that of its name."""
    for shade in palette.SHADES[name]:
        others = {
            other: min(palette.distance(shade, each) for each in palette.SHADES[other]) for other in palette.SHADES
        }
        others.pop(name)
        assert min(others.values()) > 40, (shade, min(others, key=others.__getitem__))


def test_parts_are_ninths_of_the_image() -> None:
    for seed in range(100):
        scene = scene_talk.free_scene(Random(seed), 0.5)
        for shape in scene.shapes:
            words = scene_questions.part_words(shape, scene)
            x, y = (3 * middle / side for middle, side in zip(shape.centre, scene.size, strict=True))
            assert not words or (("left" in words) == (x < 1) and ("right" in words) == (x > 2))
            assert not words or (("top" in words) == (y < 1) and ("bottom" in words) == (y > 2))


def test_one_wording_has_one_form_of_answer() -> None:
    """No two questions of these files share a wording, with any names filled in."""
    groups = PLACES | FILES["scenes"]["questions"] | PAIRS
    plain = Counter(re.sub(r"\{\w+\}", "{}", each) for group in groups.values() for each in group)
    assert [each for each, count in plain.items() if count > 1] == []


@EVERY
@every_split
def test_questions_are_worded_for_their_split(task: str, split: str) -> None:
    check_wordings(items(task, 20, split), PAIRS if task == "pair_talk" else QUESTIONS, split)


@pytest.mark.parametrize("file", ["places", "scenes", "pair_talk"])
def test_training_says_no_wording_that_another_file_holds_out(file: str) -> None:
    held_out = {
        each for name in ("pairs", "overlaps") for group in FILES[name]["questions"].values() for each in group[-2:]
    }
    said = {each for group in FILES[file]["questions"].values() for each in group}
    assert not said & held_out


@EVERY
def test_words_are_known_to_the_tokenizer(task: str) -> None:
    markup = {"object", "ref", "start", "end", "box"}
    check_taught(items(task, 60), taught_words() | markup)


def digest() -> str:
    return digest_of(ALL[task](Random(seed), "val", 0.3) for task in ALL for seed in range(3))


def test_the_same_pixels_again_and_in_another_process() -> None:
    check_repeatable(digest)
