"""Instructions without an image: tests derive the answers from the words and numbers in the truth."""

import json
import re
from random import Random

from drawn_world import Item
from drawn_world.text.instructions import FORMS, instruct, instruct_dialogue
from drawn_world.text.questions import FACTS
from drawn_world.wording import FILES, QUESTIONS

from .checks import check_read_words, check_repeatable, digest_of, every_split, needs, turns_of, word_list, wordings_for

needs_words = needs(word_list)


def items(count: int, split: str = "train") -> list[Item]:
    """Items at evenly spaced eases from 0 to 1."""
    return [instruct(Random(f"{split}/{seed}"), split, seed / (count - 1)) for seed in range(count)]


def derived(scene: dict) -> str:
    """The answer, from the description alone."""
    words, numbers = scene.get("words", []), scene.get("numbers", [])
    return {
        "copy": lambda: words[0],
        "spell": lambda: " ".join(words[0]),
        "swap": lambda: f"{words[1]} {words[0]}",
        "first": lambda: words[0],
        "last": lambda: words[-1],
        "upper": lambda: words[0].upper(),
        "repeat": lambda: " ".join(words * numbers[0]),
        "plus": lambda: str(sum(numbers)),
        "minus": lambda: str(numbers[0] - numbers[1]),
        "larger": lambda: str(sorted(numbers)[1]),
        "smaller": lambda: str(sorted(numbers)[0]),
        "next": lambda: str(numbers[0] + 1),
        "before": lambda: str(numbers[0] - 1),
        "fact": lambda: "yes" if FACTS[words[0]] == words[1] else "no",
    }[scene["form"]]()


def names_its_words_in_order(question: str, scene: dict, split: str) -> bool:
    """Whether the question is a wording of this split that names the words and numbers in their order."""
    spoken = {2: "two", 3: "three", 4: "four"} if scene["form"] == "repeat" else {}
    values = [*scene.get("words", []), *(str(spoken.get(number, number)) for number in scene.get("numbers", []))]
    for each in wordings_for(QUESTIONS[f"instruct_{scene['form']}"], split):
        pattern = re.sub(r"\\\{(words|listed)\\\}", lambda found: many(found[1], len(values)), re.escape(each))
        found = re.fullmatch(re.sub(r"\\\{\w+\\\}", "([a-z0-9 ]+)", pattern), question)
        turned = values[::-1] if each.startswith("Take") else values
        if found and list(found.groups()) == turned:
            return True
    return False


def many(name: str, count: int) -> str:
    return (" " if name == "words" else ", ").join(["([a-z]+)"] * count)


@needs_words
@every_split
def test_answers_follow_from_the_description(split: str) -> None:
    forms = set()
    for item in items(600, split):
        scene = json.loads(json.dumps(item.truth["scene"]))
        forms.add(scene["form"])
        ((question, answer),) = turns_of(item)
        assert item.truth["accept"] == [answer] and derived(scene) == answer, (question, answer)
        assert names_its_words_in_order(question, scene, split), (question, scene)
    assert forms == set(FORMS)
    assert [f"instruct_{form}" for form in FORMS] == list(FILES["instructions"]["questions"])


@needs_words
@every_split
def test_dialogues_have_five_instructions_of_different_forms(split: str) -> None:
    for seed in range(60):
        item = instruct_dialogue(Random(seed), split, seed / 59)
        scenes = item.truth["scene"]["turns"]
        assert len(scenes) == len({scene["form"] for scene in scenes}) == 5
        for (question, answer), scene in zip(turns_of(item), scenes, strict=True):
            assert derived(scene) == answer and names_its_words_in_order(question, scene, split)


@needs_words
@every_split
def test_words_stay_in_their_split(split: str) -> None:
    check_read_words(items(300, split), split)


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
    return digest_of(make(Random(seed), "test", 0.3) for make in (instruct, instruct_dialogue) for seed in range(20))


@needs_words
def test_the_same_again_and_in_another_process() -> None:
    check_repeatable(digest)
