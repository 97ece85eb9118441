"""Training's windows and the questions about them: answers follow from descriptions, and pixels agree with descriptions."""

import re
from functools import partial
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageChops

from drawn_world.screens import toolkits, window_layouts, window_lessons, window_questions
from drawn_world.wording import FILES
from qwen2vl.processing.grounding import parse_places

from .checks import (
    are_apart,
    are_inside,
    asked,
    check_repeatable,
    digest_of,
    drawn,
    encloses,
    every_split,
    image_of,
    is_at,
    makers_of,
    needs_text,
    parts_of,
    wordings_for,
)

pytestmark = needs_text
ALL = makers_of(window_lessons)
LESSONS = ("screen_dialogue", "screen_lines", "screen_boxes")
QUESTIONS = FILES["windows"]["questions"]
KINDS = {plural: kind for kind, plural in window_questions.PLURALS.items()}
draw = partial(drawn, ALL)


def plans(count: int) -> list[window_layouts.WindowPlan]:
    return [window_layouts.plan_window(Random(f"plan/{seed}"), "train") for seed in range(count)]


def read_question(text: str) -> tuple[str, dict[str, str]]:
    """Key and parts of a question; "Find the option Left" also has the words of a question for several things."""
    questions = dict(QUESTIONS)
    while True:
        key, said = asked(questions, text)
        kinds = said.get("things", "tabs") in KINDS and said.get("thing", "tab") in KINDS.values()
        if kinds and said.get("end", "first") in ("first", "last"):
            return key, said
        del questions[key]


def check_answer(parts: list[dict], answer: str, scene: dict, size: tuple[int, int]) -> str:
    """Derive the answer from the question and the description alone; returns the key of the question."""
    key, said = read_question(parts[-1]["text"])
    controls = scene["controls"]
    of_kind = [each for each in controls if each["kind"] in (said.get("thing"), KINDS.get(said.get("things")))]
    labels = [each["label"] for each in of_kind]
    named = [each for each in controls if re.search(rf"(?<!\w){each['label']}(?!\w)", said.get("label", ""))]
    if key in ("control_point", "control_box"):
        (control,) = named
        places = parse_places(answer, [size])
        if key == "control_point":
            assert is_at(places.points[0].xy_1000, control["box_px"], size)
        else:
            assert np.abs(np.array(places.boxes[0].xyxy_px) - control["box_px"]).max() <= 0.5
    elif key == "window_boxes":
        found = parse_places(answer, [size]).boxes
        assert [box.label for box in found] == labels
        for box, control in zip(found, of_kind, strict=True):
            assert np.abs(np.array(box.xyxy_px) - control["box_px"]).max() <= 0.5
    elif key == "window_at":
        (control,) = [each for each in controls if each["label"] == answer]
        x1, y1, x2, y2 = parts[-2]["box"]
        assert is_at(((x1 + x2) / 2, (y1 + y2) / 2), control["box_px"], size)
    else:
        assert answer == _text_answer(key, said, scene, of_kind, named), (key, said)
    return key


def _text_answer(key: str, said: dict, scene: dict, of_kind: list[dict], named: list[dict]) -> str:
    controls, labels = scene["controls"], [each["label"] for each in of_kind]
    if key in ("control_checked", "control_field"):
        return named[0]["state"]
    if key == "window_has":
        return "yes" if named else "no"
    if key == "window_checked":
        return "\n".join(each["label"] for each in controls if each["state"] == "yes") or "none"
    if key == "window_chosen":
        return next(each["label"] for each in of_kind if each["state"] == "selected")
    if key == "window_read":
        texts = [f"{each['label']} {each['state']}" if each["kind"] == "field" else each["label"] for each in controls]
        return "\n".join(filter(None, (scene["title"], *map(str.strip, texts))))
    if key == "window_kind":
        kinds = [each["kind"] for each in controls]
        counts = [(kinds.count(kind), kind, plural) for plural, kind in KINDS.items() if kind in kinds]
        listed = ", ".join(f"{count} {kind if count == 1 else plural}" for count, kind, plural in counts)
        listed = " and ".join(listed.rsplit(", ", 1))
        return f"A window{' called ' * bool(scene['title'])}{scene['title']} with {listed}."
    ends = labels[0 if said.get("end") == "first" else -1] if labels else ""
    return {"window_name": scene["title"], "window_count": str(len(of_kind)), "window_list": "\n".join(labels)}.get(
        key, ends
    )


@pytest.mark.parametrize("task", LESSONS)
@every_split
def test_answers_follow_from_the_description_in_wordings_of_the_split(task: str, split: str) -> None:
    found = set()
    for seed in range(60):
        item = draw(task, seed, split, (0.0, 0.0, 0.5, 1.0)[seed % 4])
        for parts, answer in parts_of(item):
            key = check_answer(parts, answer, item.truth["scene"], image_of(item).size)
            patterns = [re.sub(r"\\\{\w+\\\}", ".+", re.escape(each)) for each in wordings_for(QUESTIONS[key], split)]
            assert any(re.fullmatch(pattern, parts[-1]["text"]) for pattern in patterns)
            found.add(key)
    if task == "screen_dialogue" and split == "train":
        assert found == {*QUESTIONS}


def test_controls_lie_inside_the_window_and_apart() -> None:
    for plan in plans(200):
        boxes = [control.box_px for control in plan.controls]
        assert are_inside(boxes, plan.size) and are_apart(boxes) and boxes[0][1] >= plan.toolkit.bar_height
        assert len({control.label for control in plan.controls}) == len(plan.controls)
        assert max(plan.size) <= window_layouts.MAX_WINDOW_SIDE and min(plan.size) >= 112


def test_controls_are_drawn_inside_their_boxes() -> None:
    """The pixels that change when one control is drawn on bare ground are in its box, but for the overhang of letters."""
    for plan in plans(60):
        bare = Image.new("RGB", plan.size, plan.toolkit.ground)
        for control in plan.controls:
            alone = bare.copy()
            plan.toolkit.draw(alone, control)
            inked = ImageChops.difference(alone, bare).getbbox()
            left, top, right, bottom = control.box_px
            assert encloses((left - 2, top - 3, right + 3, bottom + 4), inked), (control, inked)
            assert inked[3] - inked[1] >= (bottom - top) // 3


def test_states_can_be_seen() -> None:
    """Another state of a control changes pixels inside its box."""
    seen = 0
    for plan in plans(80):
        for control in plan.controls:
            other = {"yes": "no", "no": "yes", "selected": ""}.get(control.state)
            if other is None:
                continue
            changed = plan.after(control, other)
            before, after = (np.asarray(each.paint().image).astype(int) for each in (plan, changed))
            left, top, right, bottom = control.box_px
            differs = np.abs(before - after).sum(axis=2)[top:bottom, left:right] > 60
            assert differs.sum() > 8, (control, plan.toolkit)
            seen += 1
    assert seen > 60


def test_the_cross_is_where_the_description_says() -> None:
    for plan in plans(40):
        screen = plan.paint()
        if screen.close_px:
            cross = np.asarray(screen.image.crop(screen.close_px)).astype(int)
            assert np.ptp(cross, axis=(0, 1)).max() > 60


def test_training_uses_no_colour_of_other_splits() -> None:
    used = {colour for plan in plans(200) for colour in (plan.toolkit.ground, plan.toolkit.accent, plan.toolkit.fill)}
    assert len(used) > 300 and not used & {*toolkits.OF_OTHERS}


def digest() -> str:
    return digest_of(draw(task, 4, split, 0.2) for task in LESSONS for split in ("train", "test"))


def test_same_seed_same_item_in_another_process() -> None:
    check_repeatable(digest)
