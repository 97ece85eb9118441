"""Instructions of pure text: answers are derived again from the words and numbers in the truth."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.data import records
from qwen2vl.nano.world import SPLITS, Item, wording, words
from qwen2vl.nano.world.text.instructions import FORMS, KINDS, LESSONS, MAKERS, QUESTIONS, instruct, instruct_dialogue


def why_no_words() -> str:
    try:
        words.words("train")
    except Qwen2VLError as error:
        return str(error)
    return ""


NO_WORDS = why_no_words()
needs_words = pytest.mark.skipif(bool(NO_WORDS), reason=NO_WORDS)
ALL_SPLITS = pytest.mark.parametrize("split", SPLITS)


def items(count: int, split: str = "train") -> list[Item]:
    """Of every ease from 0 to 1."""
    return [instruct(Random(f"{split}/{seed}"), split, seed / (count - 1)) for seed in range(count)]


def turns_of(item: Item) -> list[tuple[str, str]]:
    texts = [m["content"] if isinstance(m["content"], str) else m["content"][-1]["text"] for m in item.messages]
    return list(zip(texts[::2], [*texts[1::2], item.answer], strict=True))


def derived(scene: dict) -> str:
    """The answer by the description alone."""
    told, numbers = scene.get("words", []), scene.get("numbers", [])
    return {
        "copy": lambda: told[0],
        "spell": lambda: " ".join(told[0]),
        "swap": lambda: f"{told[1]} {told[0]}",
        "first": lambda: told[0],
        "last": lambda: told[-1],
        "upper": lambda: told[0].upper(),
        "repeat": lambda: " ".join(told * numbers[0]),
        "plus": lambda: str(sum(numbers)),
        "minus": lambda: str(numbers[0] - numbers[1]),
        "larger": lambda: str(sorted(numbers)[1]),
        "smaller": lambda: str(sorted(numbers)[0]),
        "next": lambda: str(numbers[0] + 1),
        "before": lambda: str(numbers[0] - 1),
        "fact": lambda: "yes" if wording.FACTS[told[0]] == told[1] else "no",
    }[scene["form"]]()


def is_asked_as_told(question: str, scene: dict, split: str) -> bool:
    """Whether the question is a wording of this split that names the words and numbers in their order."""
    place = {"train": slice(None, -2), "val": slice(-2, -1), "test": slice(-1, None)}[split]
    spoken = {2: "two", 3: "three", 4: "four"} if scene["form"] == "repeat" else {}
    values = [*scene.get("words", []), *(str(spoken.get(number, number)) for number in scene.get("numbers", []))]
    for each in QUESTIONS[scene["form"]][place]:
        pattern = re.sub(r"\\\{(words|listed)\\\}", lambda found: many(found[1], len(values)), re.escape(each))
        found = re.fullmatch(re.sub(r"\\\{\w+\\\}", "([a-z0-9 ]+)", pattern), question)
        turned = values[::-1] if each.startswith("Take") else values
        if found and list(found.groups()) == turned:
            return True
    return False


def many(name: str, count: int) -> str:
    return (" " if name == "words" else ", ").join(["([a-z]+)"] * count)


@needs_words
@ALL_SPLITS
def test_answers_follow_from_the_description(split: str) -> None:
    forms = set()
    for item in items(600, split):
        scene = json.loads(json.dumps(item.truth["scene"]))
        forms.add(scene["form"])
        ((question, answer),) = turns_of(item)
        assert item.truth["accept"] == [answer] and derived(scene) == answer, (question, answer)
        assert is_asked_as_told(question, scene, split), (question, scene)
    assert forms == set(FORMS)


@needs_words
@ALL_SPLITS
def test_dialogues_have_five_instructions_of_different_forms(split: str) -> None:
    for seed in range(60):
        item = instruct_dialogue(Random(seed), split, seed / 59)
        scenes = item.truth["scene"]["turns"]
        assert len(scenes) == len({scene["form"] for scene in scenes}) == 5
        for (question, answer), scene in zip(turns_of(item), scenes, strict=True):
            assert derived(scene) == answer and is_asked_as_told(question, scene, split)


@needs_words
@ALL_SPLITS
def test_words_stay_in_their_split(split: str) -> None:
    read = {word for item in items(300, split) for word in item.truth.get("read", ())}
    assert read and all(words.split_of(word) == split for word in read)


@needs_words
def test_easy_instructions_are_short() -> None:
    for item in (instruct(Random(seed), "train", 1.0) for seed in range(200)):
        scene = item.truth["scene"]
        assert all(len(word) <= 4 for word in item.truth.get("read", ()))
        assert all(number <= 10 for number in scene.get("numbers", ()))
        assert len(item.answer) <= 14


@needs_words
def test_facts_are_true_as_often_as_false() -> None:
    given = [item.answer for item in items(4000) if item.truth["scene"]["form"] == "fact"]
    assert 0.4 < given.count("yes") / len(given) < 0.6


def digest() -> str:
    drawn = [make(Random(seed), "test", 0.3) for make in (instruct, instruct_dialogue) for seed in range(20)]
    return hashlib.sha256(json.dumps([[turns_of(item), item.truth] for item in drawn]).encode()).hexdigest()


@needs_words
def test_the_same_again_and_in_another_process() -> None:
    assert digest() == digest()
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_instructions as t; print(t.digest())"
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


def test_every_kind_is_one_of_the_paper() -> None:
    assert set(KINDS) == set(MAKERS | LESSONS) and set(KINDS.values()) <= set(records.KINDS)
