"""Next actions: the agent's parser reads the reply, and the reply agrees with the description of the window."""

import json
import re
from functools import partial
from random import Random

import numpy as np
import pytest
from PIL import Image

from drawn_world import SPLITS, words
from drawn_world.screens import actions
from drawn_world.screens import windows as screens
from drawn_world.wording import FILES
from qwen2vl.processing.agent_text import Call, declare, parse_reply

from .checks import (
    box_of,
    check_repeatable,
    digest_of,
    drawn,
    encloses,
    every_split,
    image_of,
    is_at,
    makers_of,
    needs_text,
    turns_of,
)

pytestmark = needs_text
TASKS = makers_of(actions)
draw = partial(drawn, TASKS)


def _only_call(answer: str) -> Call:
    reply = parse_reply(answer)
    assert reply.thought == "" and len(reply.calls) == 1
    (call,) = reply.calls
    assert isinstance(call, Call)
    return call


def _right_action(instruction: str, scene: dict) -> tuple[str, list[int] | None, str | None]:
    """Name, box and text of the right action, derived only from the instruction and the description."""
    named = [each for each in scene["controls"] if re.search(rf"\b{each['label']}\b", instruction)]
    (control,) = [each for each in named if not (each["kind"] == "field" and "into" not in instruction)]
    if control["kind"] == "checkbox":
        done = control["state"] == ("yes" if re.search(r"\bon\b", instruction) else "no")
        return ("Done", None, None) if done else ("Tap", control["box_px"], None)
    if control["kind"] == "field":
        text = re.search(r"(?:[Tt]ype|[Ww]rite) (\w+) into", instruction)[1]
        return ("Done", None, None) if text == control["state"] else ("Type", control["box_px"], text)
    return "Tap", control["box_px"], None


@pytest.mark.parametrize("task", TASKS)
@every_split
def test_every_answer_does_what_the_instruction_says(task: str, split: str) -> None:
    for seed in range(30):
        item = draw(task, seed, split, ease=seed % 5 / 4)
        scene = item.truth["scene"]
        width, height = scene["size"]
        assert image_of(item).size == (width, height) and max(width, height) <= 224
        for instruction, answer in turns_of(item):
            name, box, text = _right_action(instruction, scene)
            call = _only_call(answer)
            assert call.name == name and call.arguments.get("text") == text
            assert ("point" in call.arguments) == (box is not None)
            assert box is None or is_at(call.arguments["point"], box, scene["size"])
        truth = item.truth
        assert truth["kind"] == "action" and json.loads(json.dumps(truth)) == truth
        assert (truth["name"], truth["box_px"], truth["text"]) == (name, box, text)  # those of the last turn


def test_all_actions_occur_and_are_declared() -> None:
    names = [draw("next_action", seed).truth["name"] for seed in range(150)]
    assert set(names) == {action.name for action in actions.ACTIONS}
    assert names.count("Done") > 10 and names.count("Type") > 10
    assert all(f"### {name}" in declare(actions.ACTIONS) for name in names)


def test_boxes_enclose_their_controls() -> None:
    """The pixels that change when a control is drawn on an empty image are in its box and extend to its edges."""
    for seed in range(30):
        rng = Random(seed)
        style = screens.WindowStyle.sample(rng, "train")
        screen = screens.make_screen(Random(seed), "train")
        for control in screen.controls:
            empty = Image.new("RGB", screen.image.size, (1, 2, 3))
            alone = empty.copy()
            style.draw_control(alone, control)
            inner, box = box_of((np.asarray(alone) != np.asarray(empty)).any(axis=2)), control.box_px
            assert encloses((*box[:2], box[2] + 2, box[3]), inner)
            assert inner[0] <= box[0] + 2 and inner[2] > box[2] - 12


@pytest.mark.parametrize("task", TASKS)
def test_the_easiest_form_has_one_size_and_one_wording(task: str) -> None:
    items = [draw(task, seed, ease=1.0) for seed in range(40)]
    assert {image_of(item).size for item in items} == {(168, 168)}
    shown = {re.sub(r"[A-Z]\w*\.|type \w+|Type \w+", "", text) for item in items for text, _ in turns_of(item)}
    assert len(shown) <= len(FILES["actions"]["questions"]) + 1


def test_wordings_and_typed_words_belong_to_one_split() -> None:
    instructions = {
        split: [text for seed in range(60) for text, _ in turns_of(draw("next_action", seed, split))]
        for split in SPLITS
    }
    assert all(re.match("Please (tap|switch|write|go)", text) for text in instructions["test"])
    assert not any(
        re.match("Please (tap|switch|write|go)", text) for text in instructions["train"] + instructions["val"]
    )
    listed = {word for split in SPLITS for word in words.words(split)}
    for split in SPLITS:
        typed = [item.truth["text"] for seed in range(60) if (item := draw("next_action", seed, split)).truth["text"]]
        assert typed and all(words.split_of(word) == split or word not in listed for word in typed)


def test_held_out_wordings_use_only_words_of_trained_ones() -> None:
    trained = {
        w for wordings in FILES["actions"]["questions"].values() for text in wordings[:-2] for w in _words_of(text)
    }
    for wordings in FILES["actions"]["questions"].values():
        assert len(wordings) >= 5 and len(set(wordings)) == len(wordings)
        assert {word for text in wordings[-2:] for word in _words_of(text)} <= trained


def _words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", text).lower())


def digest() -> str:
    return digest_of(draw(task, 5, "val", 0.3) for task in TASKS)


def test_same_seed_same_item_in_another_process() -> None:
    check_repeatable(digest)
