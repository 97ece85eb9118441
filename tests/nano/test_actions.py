"""Next actions: the reply is what the agent's parser reads, and the window's description bears it out."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.data.records import KINDS
from qwen2vl.nano.world import Item, fonts, words
from qwen2vl.nano.world.screens import actions
from qwen2vl.nano.world.screens import windows as screens
from qwen2vl.processing.agent_text import Call, declare, parse_reply

SPLITS = ("train", "val", "test")


def _why_no_text() -> str:
    try:
        for split in SPLITS:
            fonts.faces(split)
        words.words("train")
    except Qwen2VLError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(_why_no_text()), reason=_why_no_text())
TASKS = actions.MAKERS | actions.LESSONS


def _draw(task: str, seed: int, split: str = "train", ease: float = 0.0) -> Item:
    return TASKS[task](Random(f"{split}/{task}/{seed}"), split, ease)


def _turns(item: Item) -> list[tuple[str, str]]:
    texts = [m["content"] if isinstance(m["content"], str) else m["content"][-1]["text"] for m in item.messages]
    return list(zip(texts[::2], [*texts[1::2], item.answer], strict=True))


def _picture(item: Item) -> Image.Image:
    return item.messages[0]["content"][0]["image"]


def _call(answer: str) -> Call:
    reply = parse_reply(answer)
    assert reply.thought == "" and len(reply.calls) == 1
    (call,) = reply.calls
    assert isinstance(call, Call)
    return call


def _wanted(instruction: str, scene: dict) -> tuple[str, list[int] | None, str | None]:
    """Name, box and text of the right action, read from the instruction and the description alone."""
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
@pytest.mark.parametrize("split", SPLITS)
def test_every_answer_does_what_the_instruction_says(task: str, split: str) -> None:
    for seed in range(30):
        item = _draw(task, seed, split, ease=seed % 5 / 4)
        scene = item.truth["scene"]
        width, height = scene["size"]
        assert _picture(item).size == (width, height) and max(width, height) <= 224
        for instruction, answer in _turns(item):
            name, box, text = _wanted(instruction, scene)
            call = _call(answer)
            assert call.name == name and call.arguments.get("text") == text
            assert ("point" in call.arguments) == (box is not None)
            if box:
                x, y = (value * side / 1000 for value, side in zip(call.arguments["point"], scene["size"], strict=True))
                assert box[0] <= x < box[2] and box[1] <= y < box[3]
        truth = item.truth
        assert truth["kind"] == "action" and json.loads(json.dumps(truth)) == truth
        assert (truth["name"], truth["box_px"], truth["text"]) == (name, box, text)  # of the last turn


def test_all_actions_occur_and_are_declared() -> None:
    names = [_draw("next_action", seed).truth["name"] for seed in range(150)]
    assert set(names) == {action.name for action in actions.ACTIONS}
    assert names.count("Done") > 10 and names.count("Type") > 10
    assert all(f"### {name}" in declare(actions.ACTIONS) for name in names)


def test_boxes_enclose_the_controls() -> None:
    """What differs when a control is drawn on an empty window lies in its box, and reaches its edges."""
    for seed in range(30):
        rng = Random(seed)
        style = screens._style(rng, "train")
        drawn = screens.make_screen(Random(seed), "train")
        for control in drawn.controls:
            empty = Image.new("RGB", drawn.picture.size, (1, 2, 3))
            alone = empty.copy()
            screens._draw_control(alone, style, control)
            ys, xs = np.nonzero((np.asarray(alone) != np.asarray(empty)).any(axis=2))
            box = control.box_px
            assert xs.min() >= box[0] and ys.min() >= box[1] and xs.max() < box[2] + 2 and ys.max() < box[3]
            assert xs.min() <= box[0] + 2 and xs.max() >= box[2] - 12


@pytest.mark.parametrize("task", TASKS)
def test_easiest_form_has_one_size_and_one_wording(task: str) -> None:
    items = [_draw(task, seed, ease=1.0) for seed in range(40)]
    assert {_picture(item).size for item in items} == {(168, 168)}
    shown = {re.sub(r"[A-Z]\w*\.|type \w+|Type \w+", "", text) for item in items for text, _ in _turns(item)}
    assert len(shown) <= len(actions.QUESTIONS) + 1


def test_wordings_and_words_are_split() -> None:
    asked = {
        split: [text for seed in range(60) for text, _ in _turns(_draw("next_action", seed, split))] for split in SPLITS
    }
    assert all(re.match("Please (tap|switch|write|go)", text) for text in asked["test"])
    assert not any(re.match("Please (tap|switch|write|go)", text) for text in asked["train"] + asked["val"])
    known = {word for split in SPLITS for word in words.words(split)}
    for split in SPLITS:
        typed = [item.truth["text"] for seed in range(60) if (item := _draw("next_action", seed, split)).truth["text"]]
        assert typed and all(words.split_of(word) == split or word not in known for word in typed)


def test_wordings_of_a_test_are_of_trained_words() -> None:
    trained = {w for wordings in actions.QUESTIONS.values() for text in wordings[:-2] for w in _spoken(text)}
    for wordings in actions.QUESTIONS.values():
        assert len(wordings) >= 5 and len(set(wordings)) == len(wordings)
        assert {word for text in wordings[-2:] for word in _spoken(text)} <= trained


def _spoken(text: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", text).lower())


def test_kinds_are_known() -> None:
    assert set(actions.KINDS) == set(TASKS) and set(actions.KINDS.values()) <= set(KINDS)


def _digest() -> str:
    digest = hashlib.sha256()
    for task in TASKS:
        item = _draw(task, 5, "val", 0.3)
        digest.update(f"{_turns(item)} {item.truth}".encode() + _picture(item).tobytes())
    return digest.hexdigest()


def test_same_seed_same_item_in_another_process() -> None:
    here = _digest()
    assert here == _digest()
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_actions as t; print(t._digest())"
    folder = Path(__file__).parent
    command = [sys.executable, "-c", code, str(folder)]
    other = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder.parents[1])
    assert other.stdout.strip() == here
