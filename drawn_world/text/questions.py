"""Questions without an image: words, letters, small sums, opposites, facts, who nano is."""

from random import Random

from drawn_world.item import Item, image_item, text_truth
from drawn_world.task import Task, without_ease
from drawn_world.wording import ask
from drawn_world.words import pick_word

IDENTITY = "I am nano, a small vision language model."
GREETING = "hello"
OPPOSITES = (
    ("left", "right"),
    ("up", "down"),
    ("yes", "no"),
    ("on", "off"),
    ("first", "last"),
    ("black", "white"),
    ("big", "small"),
    ("hot", "cold"),
    ("above", "below"),
    ("open", "closed"),
    ("day", "night"),
    ("same", "different"),
)
FACTS = {
    "snow": "white",
    "grass": "green",
    "blood": "red",
    "coal": "black",
    "milk": "white",
    "the sky": "blue",
    "a lemon": "yellow",
    "the sun": "yellow",
    "a tomato": "red",
    "a leaf": "green",
}


def text(rng: Random, split: str) -> Item:
    """One small question of pure text."""
    make = rng.choice((_about_a_word, _about_a_word, _sum, _sum, _opposite, _larger, _fact, _greeting))
    question, answer, read = make(rng, split)
    return image_item("text", [], question, answer, text_truth(answer, read=read))


Turn = tuple[str, str, list[str]]  # question, answer, words taken from the word list


def _about_a_word(rng: Random, split: str) -> Turn:
    word, kind = pick_word(rng, split), rng.choice(("copy", "first_letter", "last_letter"))
    return ask(rng, kind, word=word), {"copy": word, "first_letter": word[0], "last_letter": word[-1]}[kind], [word]


def _sum(rng: Random, split: str) -> Turn:
    total, part = rng.randint(0, 20), 0
    part = rng.randint(0, total)
    if rng.random() < 0.5:
        return ask(rng, "plus", a=str(part), b=str(total - part)), str(total), []
    return ask(rng, "minus", a=str(total), b=str(part)), str(total - part), []


def _opposite(rng: Random, split: str) -> Turn:
    one, other = rng.sample(rng.choice(OPPOSITES), 2)
    return ask(rng, "opposite", word=one), other, []


def _larger(rng: Random, split: str) -> Turn:
    a, b = rng.sample(range(100), 2)
    return ask(rng, "larger", a=str(a), b=str(b)), str(max(a, b)), []


def _fact(rng: Random, split: str) -> Turn:
    thing = rng.choice(list(FACTS))
    return ask(rng, "fact", thing=thing), FACTS[thing], []


def _greeting(rng: Random, split: str) -> Turn:
    return (ask(rng, "who"), IDENTITY, []) if rng.random() < 0.7 else (ask(rng, "hello"), GREETING, [])


TASKS = (Task("text", without_ease(text), "text", exams=("nano",)),)
