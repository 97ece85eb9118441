"""Instructions without an image: copy, spell, swap, pick from a list, repeat, small sums, comparisons, facts.

A rule derives each answer from the words or numbers that the instruction names, which are in truth["scene"]. Not here:
the task `text` (questions).
"""

from random import Random
from typing import Any

from drawn_world import palette
from drawn_world.item import Item, image_item, talk, text_truth
from drawn_world.task import Task
from drawn_world.text.questions import FACTS
from drawn_world.wording import ask
from drawn_world.words import pick_word

FORMS = (
    "copy", "spell", "swap", "last", "first", "upper", "repeat", "plus", "minus", "larger", "smaller", "next", "before", "fact",
)  # fmt: skip
"""What an instruction may ask for. The order decides what a random choice picks."""
TIMES = {2: "two", 3: "three", 4: "four"}


def instruction(rng: Random, split: str, ease: float, form: str) -> tuple[str, str, dict[str, Any]]:
    """Text, answer and description: the form, and the words and numbers that the instruction names.

    The functions for the forms give the parts that are filled into a wording, the answer and the description.
    """
    if form in ("copy", "spell", "upper", "repeat"):
        parts, answer, scene = _about_one_word(rng, split, ease, form)
    elif form in ("swap", "first", "last"):
        parts, answer, scene = _about_words(rng, split, ease, form)
    elif form == "fact":
        parts, answer, scene = _about_colour(rng)
    else:
        parts, answer, scene = _about_numbers(rng, ease, form)
    return ask(rng, f"instruct_{form}", ease, split, **parts), answer, scene | {"form": form}


def _word(rng: Random, split: str, ease: float) -> str:
    """A word of the split; with probability `ease` one of at most four letters."""
    short = rng.random() < ease
    while True:
        word = pick_word(rng, split)
        if not short or len(word) <= 4:
            return word


def _about_one_word(rng: Random, split: str, ease: float, form: str) -> tuple[dict[str, str], str, dict[str, Any]]:
    word, times = _word(rng, split, ease), rng.choice((2, 3)) if rng.random() < ease else rng.choice(list(TIMES))
    answer = {"copy": word, "spell": " ".join(word), "upper": word.upper(), "repeat": " ".join([word] * times)}[form]
    scene = {"words": [word]} | ({"numbers": [times]} if form == "repeat" else {})
    return {"word": word, "times": TIMES[times]}, answer, scene


def _about_words(rng: Random, split: str, ease: float, form: str) -> tuple[dict[str, str], str, dict[str, Any]]:
    count = 2 if form == "swap" else 3 if rng.random() < ease else rng.randint(3, 5)
    words: list[str] = []
    while len(words) < count:
        word = _word(rng, split, ease)
        words += [word] if word not in words else []
    answer = {"swap": " ".join(words[::-1]), "first": words[0], "last": words[-1]}[form]
    return {"words": " ".join(words), "listed": ", ".join(words)}, answer, {"words": words}


def _about_colour(rng: Random) -> tuple[dict[str, str], str, dict[str, Any]]:
    """Whether a thing has a colour, yes as often as no."""
    thing, yes = rng.choice(list(FACTS)), rng.random() < 0.5
    colour = FACTS[thing] if yes else rng.choice([each for each in palette.COLOURS if each != FACTS[thing]])
    return {"thing": thing, "colour": colour}, "yes" if yes else "no", {"words": [thing, colour]}


def _about_numbers(rng: Random, ease: float, form: str) -> tuple[dict[str, str], str, dict[str, Any]]:
    if form in ("plus", "minus"):
        total = rng.randint(0, 10 if rng.random() < ease else 20)
        part = rng.randint(0, total)
        numbers = [part, total - part] if form == "plus" else [total, part]
    else:
        numbers = rng.sample(range(1, 10 if rng.random() < ease else 100), 2)
        numbers = numbers if form in ("larger", "smaller") else numbers[:1]
    a, b = numbers[0], numbers[-1]
    result = {
        "plus": a + b,
        "minus": a - b,
        "larger": max(a, b),
        "smaller": min(a, b),
        "next": a + 1,
        "before": a - 1,
    }[form]
    return {"a": str(a), "b": str(b)}, str(result), {"numbers": numbers}


def instruct(rng: Random, split: str, ease: float) -> Item:
    """One instruction of any form."""
    question, answer, scene = instruction(rng, split, ease, rng.choice(FORMS))
    read = [] if scene["form"] == "fact" else scene.get("words", [])
    return image_item("instruct", [], question, answer, text_truth(answer, read=read, scene=scene))


def instruct_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Five instructions of different forms, one after the other."""
    made = [instruction(rng, split, ease, form) for form in rng.sample(FORMS, 5)]
    turns = [(question, answer) for question, answer, _ in made]
    return talk("instruct_dialogue", [], turns, scene={"turns": [scene for *_, scene in made]})


TASKS = (
    Task("instruct", instruct, "text", in_exam=True),
    Task("instruct_dialogue", instruct_dialogue, "text", lesson=True),
)
