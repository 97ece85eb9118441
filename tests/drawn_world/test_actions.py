"""Next actions: the agent's parser reads the reply, and the reply agrees with the description of the window."""

import json
import re
from functools import partial
from random import Random

import numpy as np
import pytest
from PIL import Image

from drawn_world import SPLITS, words
from drawn_world.screens import actions, window_layouts
from drawn_world.screens import windows as screens
from drawn_world.screens.window_layouts import MAX_WINDOW_SIDE
from drawn_world.wording import FILES
from qwen2vl.processing.agent_text import Call, declare, parse_reply

from .checks import (
    asked,
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
ALL = makers_of(actions)
TASKS = [task for task in ALL if task != "action_steps"]
draw = partial(drawn, ALL)


def _only_call(answer: str) -> Call:
    reply = parse_reply(answer)
    assert reply.thought == "" and len(reply.calls) == 1
    (call,) = reply.calls
    assert isinstance(call, Call)
    return call


def _right_action(instruction: str, scene: dict) -> tuple[str, list[int] | None, str | None]:
    """Name, box and text of the right action, derived only from the instruction and the description."""
    key, parts = asked(FILES["actions"]["questions"], instruction)
    if key == "close_window":
        return "Tap", scene["close_px"], None
    if key == "reach":
        parts = {"label": next(label for label, goals in actions.GOALS.items() if parts["goal"] in goals)}
    (control,) = [each for each in scene["controls"] if each["label"] == parts["label"]]
    if control["kind"] == "checkbox":
        done = control["state"] == ("yes" if key == "turn_on" else "no")
        return ("Done", None, None) if done else ("Tap", control["box_px"], None)
    if control["kind"] == "field":
        text = parts["text"]
        return ("Done", None, None) if text == control["state"] else ("Type", control["box_px"], text)
    assert key == "reach" or key == {"button": "press", "tab": "open_tab", "menu": "open_menu"}.get(
        control["kind"], "choose"
    )
    return ("Done", None, None) if control["state"] == "selected" else ("Tap", control["box_px"], None)


@pytest.mark.parametrize("task", TASKS)
@every_split
def test_every_answer_does_what_the_instruction_says(task: str, split: str) -> None:
    for seed in range(30):
        item = draw(task, seed, split, ease=seed % 5 / 4)
        scene = item.truth["scene"]
        width, height = scene["size"]
        assert image_of(item).size == (width, height) and max(width, height) <= MAX_WINDOW_SIDE
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
    assert all(re.match("Please (tap|switch|write|go)|Can you help me", text) for text in instructions["test"])
    assert not any(
        re.match("Please (tap|switch|write|go)|Can you help me", text)
        for text in instructions["train"] + instructions["val"]
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


def test_every_step_of_an_episode_leads_to_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls carried out on the first window, by their points alone, give the last one; each screenshot shows one change."""
    plans = []
    make = window_layouts.plan_window
    monkeypatch.setattr(actions, "plan_window", lambda *args: plans.append(make(*args)) or plans[-1])
    lengths = set()
    for seed in range(60):
        item = draw("action_steps", seed, "train", seed % 3 / 2)
        plan, messages = plans[-1], item.messages
        assert messages[0]["content"][0]["image"].tobytes() == plan.paint().image.tobytes()
        assert _only_call(item.answer).name == "Done"
        for call, result in zip(messages[1::2], messages[2::2], strict=True):
            assert (call["role"], result["role"]) == ("assistant", "function")
            plan = _carried_out(plan, _only_call(call["content"]))
            assert result["content"][0]["image"].tobytes() == plan.paint().image.tobytes()
        assert item.truth["scene"] == plan.paint().described()
        lengths.add(len(messages))
    assert lengths == {1, 3, 5}


def _carried_out(plan: window_layouts.WindowPlan, call: Call) -> window_layouts.WindowPlan:
    (control,) = [each for each in plan.controls if is_at(call.arguments["point"], each.box_px, plan.size)]
    if call.name == "Type":
        return plan.after(control, call.arguments["text"])
    assert call.name == "Tap" and control.kind != "field"
    state = {"yes": "no", "no": "yes"}.get(control.state, "selected")
    return plan if control.kind in ("button", "menu") else plan.after(control, state)


def digest() -> str:
    return digest_of(draw(task, 5, split, 0.3) for task in TASKS for split in ("train", "val"))


def test_same_seed_same_item_in_another_process() -> None:
    check_repeatable(digest)
