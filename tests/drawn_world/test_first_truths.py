"""Answers of the first tasks, derived from what was drawn: tests record the shapes, letters and controls as they are drawn."""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from drawn_world import draw, fonts, palette
from drawn_world.screens import windows
from drawn_world.shapes import kinds, shape_lessons
from drawn_world.shapes import shape_tasks as of_shapes
from drawn_world.shapes.shape_scenes import RELATIONS, Placed, Scene
from drawn_world.text.questions import FACTS, IDENTITY
from drawn_world.wording import FILES, LABELS
from qwen2vl.processing.grounding import parse_places

from .checks import asked, image_of, is_at, media_of, needs_text, turns_of

QUESTIONS = FILES["common"]["questions"]
Catch = Callable[..., list[tuple[Any, ...]]]
SEEDS = 150


@pytest.fixture
def catch(monkeypatch: pytest.MonkeyPatch) -> Catch:
    """Records the arguments of every call of a function, in all modules that import it by this name."""

    def keep(name: str, *modules: Any) -> list[tuple[Any, ...]]:
        calls: list[tuple[Any, ...]] = []
        original = getattr(modules[0], name)
        for module in modules:
            assert getattr(module, name) is original
            monkeypatch.setattr(module, name, lambda *args, **more: (calls.append(args), original(*args, **more))[1])
        return calls

    return keep


def only(found: Sequence[Any]) -> Any:
    (one,) = found
    return one


def beside(a: Placed, b: Placed) -> set[str]:
    """The relations of a to b along axes on which they do not overlap."""
    (left, top, right, bottom), (x1, y1, x2, y2) = a.box_px, b.box_px
    clear = {"left of": right <= x1, "right of": left >= x2, "above": bottom <= y1, "below": top >= y2}
    return {relation for relation, holds in clear.items() if holds}


def answer_of(scene: Scene, question: str) -> str | tuple[str, Placed]:
    """The answer; or "ground" or "point", and the shape."""
    key, parts = asked(QUESTIONS, question)
    named = {name: [shape for shape in scene.shapes if shape.name == name] for name in {s.name for s in scene.shapes}}
    if key in ("ground", "point"):
        return key, only(named[parts["label"].removeprefix("the ")])
    if key == "colour":
        return only([shape.colour for shape in scene.shapes if shape.kind == parts["kind"]])
    if key == "shape":
        return only([shape.kind for shape in scene.shapes if shape.colour == parts["colour"]])
    if key == "name":
        return with_article(only(scene.shapes))
    if key == "relate":
        one, relation = re.fullmatch(rf"(.+) ({'|'.join(RELATIONS)})", f"{parts['a']} {parts['relation']}").groups()
        return "yes" if relation in beside(only(named[one]), only(named[parts["b"]])) else "no"
    if key == "relate_what":
        other = only(named[parts["b"]])
        return only([shape.name for shape in scene.shapes if parts["relation"] in beside(shape, other)])
    if key == "count":
        things = parts["things"]
        of_all = things in ("shapes", "objects")
        return str(
            sum(of_all or things in (kinds.PLURALS[shape.kind], f"{shape.colour} shapes") for shape in scene.shapes)
        )
    assert key == "caption"
    boxes = sorted(scene.shapes, key=lambda shape: shape.box_px[0] + shape.box_px[2])
    return ", ".join(map(with_article, boxes))


def with_article(shape: Placed) -> str:
    return f"{'an' if shape.colour[0] in 'aeiou' else 'a'} {shape.name}"


@pytest.mark.parametrize(
    "task",
    ["colour_shape", "relate", "count", "caption", "ground", "point", "place_cells", "tell_apart"],
)
def test_shapes_are_what_and_where_the_answers_say(task: str, catch: Catch) -> None:
    scenes = catch("render", of_shapes, shape_lessons)
    for seed in range(SEEDS):
        item = draw(task, seed, "train", seed % 3 / 2)
        scene = scenes[-1][1]
        for question, answer in turns_of(item):
            expected = answer_of(scene, question)
            if isinstance(expected, str):
                assert answer == expected, question
                continue
            (kind, shape), places = expected, parse_places(answer, [scene.size])
            if kind == "point":
                assert is_at(only(places.points).xy_1000, shape.box_px, scene.size)
            else:
                wanted = [side * 1000 / full for side, full in zip(shape.box_px, scene.size * 2, strict=True)]
                assert only(places.boxes).xyxy_1000 == pytest.approx(wanted, abs=1)


def test_comparisons_of_two_images_are_answered_rightly(catch: Catch) -> None:
    rendered, plain = catch("render", of_shapes), catch("draw_scene", of_shapes)
    found = set()
    for seed in range(SEEDS * 2):
        rendered.clear(), plain.clear()
        item = draw("compare", seed)
        ((question, answer),) = turns_of(item)
        key, parts = asked(QUESTIONS, question)
        found.add(key)
        if key in ("same", "same_or_different"):
            one, two = (sorted(map(repr, scene.shapes)) for (scene,) in plain)
            assert answer == {"same": ("no", "yes"), "same_or_different": ("different", "same")}[key][one == two]
            continue
        of_kind = [[shape for shape in scene.shapes if shape.kind == parts["kind"]] for _, scene in rendered]
        sizes = [max((shape.side for shape in each), default=0) for each in of_kind]
        assert key == "larger_in" or sorted(map(len, of_kind)) == [0, 1]
        assert answer == ("first" if sizes[0] > sizes[1] else "second")
    assert found == {"same", "same_or_different", "larger_in", "which_has"}


def test_what_comes_first_and_last_is_seen_in_the_frames() -> None:
    """The colour comes from the pixels that change for the first or the last time, not from a description."""
    for seed in range(SEEDS):
        item = draw("order", seed)
        ((question, answer),) = turns_of(item)
        key, _ = asked(QUESTIONS, question)
        frames = [np.asarray(frame).astype(int) for frame in media_of(item)]
        ground = np.median(frames[0].reshape(-1, 3), axis=0)
        shown = [np.abs(frame - ground).sum(axis=2) > 60 for frame in frames]
        come = [(now & ~before) for before, now in pairwise([np.zeros_like(shown[0]), *shown])]
        times = [number for number, mask in enumerate(come) if mask.any()]
        at = times[0] if key == "first" else times[-1]
        middle = np.median(frames[at][come[at]], axis=0)
        colours = palette.COLOURS
        assert min(colours, key=lambda name: palette.distance(colours[name], tuple(middle))) == answer.split()[0]


@needs_text
@pytest.mark.parametrize("task", ["read_word", "read_number", "read_lines", "spaced_lines"])
def test_the_text_to_read_is_the_text_that_was_written(task: str, catch: Catch) -> None:
    written = catch("write", fonts.Face)
    for seed in range(SEEDS):
        written.clear()
        item = draw(task, seed, "train", seed % 3 / 2)
        assert "".join(call[3] for call in written) == item.answer.replace("\n", "")
        assert np.ptp(np.asarray(image_of(item)).astype(int), axis=(0, 1)).max() > 60  # and it can be seen


@needs_text
@pytest.mark.parametrize("task", ["page", "page_dialogue", "page_lines"])
def test_answers_about_pages_are_written_on_them(task: str, catch: Catch) -> None:
    written = catch("write", fonts.Face)
    for seed in range(SEEDS):
        written.clear()
        item = draw(task, seed)
        heading, *lines = (call[3] for call in written)
        values = dict(line.lower().split(": ", 1) for line in lines)
        for question, answer in turns_of(item):
            key, parts = asked(QUESTIONS, question)
            if question in QUESTIONS["read_lines"]:
                assert answer == "\n".join([heading, *lines])
            else:
                expected = heading if key == "page_heading" else values[parts["key"].lower()]
                assert answer.lower() == expected.lower()


def is_checked(image: np.ndarray, box: tuple[int, int, int, int]) -> bool:
    """Whether there is ink in the square at the left of a checkbox."""
    left, top, _, bottom = box
    inner = image[top + 2 : bottom - 2, left + 2 : left + bottom - top - 3].astype(int)
    return bool(np.ptp(inner, axis=(0, 1)).max() > 60)


@needs_text
def test_answers_about_windows_agree_with_their_controls(catch: Catch) -> None:
    """Those of the test split; test_windows is about the windows of training and their lessons."""
    controls, written = catch("draw_control", windows.WindowStyle), catch("write", fonts.Face)
    bars = catch("draw_title_bar", windows.WindowStyle)
    found = set()
    for seed in range(SEEDS):
        controls.clear(), bars.clear(), written.clear()
        item = draw("screen", seed, "test")
        image, title = np.asarray(image_of(item)), only(bars)[2]
        shown = [control for _, _, control in controls]
        for question, answer in turns_of(item):
            key, parts = asked(FILES["common"]["questions"], question)
            key = "read_lines" if question in QUESTIONS["read_lines"] else key
            found.add(key)
            if key == "window_title":
                assert answer == title
            else:
                named = [one for one in shown if re.search(rf"(?<!\w){re.escape(one.label)}(?!\w)", parts["label"])]
                kind = next((kind for kind in ("button", "box", "field", "tab") if kind in parts["label"]), "")
                control = only([one for one in named if len(named) == 1 or kind in one.kind])
                if key == "checked":
                    assert answer == ("yes" if is_checked(image, control.box_px) else "no")
                elif key == "field":
                    labels = [call[3] for call in written]
                    assert answer == labels[labels.index(control.label) + 1]
                else:
                    point = only(parse_places(answer, [image_of(item).size]).points)
                    assert is_at(point.xy_1000, control.box_px, image_of(item).size)
    assert found == {"window_title", "checked", "field", "point"}


@needs_text
def test_pure_text_is_answered_rightly() -> None:
    opposites = {one: other for pair in map(str.split, LABELS["opposites"]) for one, other in (pair, pair[::-1])}
    rules: dict[str, Callable[[dict[str, str]], str]] = {
        "copy": lambda parts: parts["word"],
        "first_letter": lambda parts: parts["word"][0],
        "last_letter": lambda parts: parts["word"][-1],
        "plus": lambda parts: str(int(parts["a"]) + int(parts["b"])),
        "minus": lambda parts: str(int(parts["a"]) - int(parts["b"])),
        "opposite": lambda parts: opposites[parts["word"]],
        "larger": lambda parts: str(max(int(parts["a"]), int(parts["b"]))),
        "fact": lambda parts: FACTS[parts["thing"]],
        "who": lambda parts: IDENTITY,
    }
    wordings = {key: QUESTIONS[key] for key in rules}
    found = set()
    for seed in range(SEEDS * 2):
        ((question, answer),) = turns_of(draw("text", seed))
        key, parts = asked(wordings, question)
        assert rules[key](parts) == answer, question
        found.add(key)
    assert found == rules.keys()
