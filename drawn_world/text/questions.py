"""Questions without an image: words, letters, small sums, opposites, facts, who nano is. Not here: greetings (small_talk)."""

from random import Random

from drawn_world.item import Item, image_item, text_truth
from drawn_world.task import Task, without_ease
from drawn_world.wording import LABELS, ask
from drawn_world.words import pick_word

IDENTITY = "I am nano, a small vision language model."
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
    """One small question: a letter or a copy of a word, a sum, an opposite, a comparison, a fact, or who nano is."""
    read: list[str] = []  # words that come from the word list
    match rng.choice(("word", "word", "sum", "sum", "opposite", "larger", "fact", "who")):
        case "word":
            word, form = pick_word(rng, split), rng.choice(("copy", "first_letter", "last_letter"))
            answer = {"copy": word, "first_letter": word[0], "last_letter": word[-1]}[form]
            question, read = ask(rng, form, word=word), [word]
        case "sum":
            total = rng.randint(0, 20)
            part = rng.randint(0, total)
            if rng.random() < 0.5:
                question, answer = ask(rng, "plus", a=str(part), b=str(total - part)), str(total)
            else:
                question, answer = ask(rng, "minus", a=str(total), b=str(part)), str(total - part)
        case "opposite":
            word, answer = rng.sample(rng.choice(LABELS["opposites"]).split(), 2)
            question = ask(rng, "opposite", word=word)
        case "larger":
            a, b = rng.sample(range(100), 2)
            question, answer = ask(rng, "larger", a=str(a), b=str(b)), str(max(a, b))
        case "fact":
            thing = rng.choice(list(FACTS))
            question, answer = ask(rng, "fact", thing=thing), FACTS[thing]
        case _:
            question, answer = ask(rng, "who"), IDENTITY
    return image_item("text", [], question, answer, text_truth(answer, read=read))


TASKS = (Task("text", without_ease(text), "text"),)
