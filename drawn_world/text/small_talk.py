"""Small talk: greetings, thanks, who nano is and what it can do, with and without an image. For training only.

Every topic has one fixed reply. Between the topics of a dialogue come questions about its image or, without an image,
an instruction. Not here: the replies and wordings (wording/talk.toml).
"""

from collections.abc import Sequence
from random import Random

from drawn_world.item import MAX_TURNS, Item, Turn, talk
from drawn_world.task import Task
from drawn_world.text.instructions import FORMS, instruction
from drawn_world.text.refusals import base_item, media_of_question
from drawn_world.wording import LABELS, ask

OPENING = ("greeting", "greeting", "greeting", "how_are", "guide")
MIDDLE = ("identity", "abilities", "person", "praise", "sorry", "agreed", "guide", "beyond", "how_are")
CLOSING = ("thanks", "thanks", "bye", "praise")


def topic_turn(rng: Random, split: str, ease: float, topic: str) -> Turn:
    """A wording of a topic of small talk, and its reply."""
    reply = LABELS["no_image" if topic == "without_image" else f"reply_{topic}"][0]
    return ask(rng, topic, ease, split), reply


def small_talk(rng: Random, split: str, ease: float) -> Item:
    """One to six turns without an image: some ask for one nevertheless, every third dialogue holds an instruction."""
    asked = [instruction(rng, split, ease, rng.choice(FORMS))[:2]] if rng.random() < 0.3 else []
    return talk("small_talk", [], _conversation(rng, split, ease, ("without_image", *MIDDLE, "without_image"), asked))


def image_talk(rng: Random, split: str, ease: float) -> Item:
    """Two to six turns about an image of another room: one to three questions about it, and small talk."""
    base, item, turns = base_item(rng, split, ease)
    mixed = _conversation(rng, split, ease, MIDDLE, turns[: rng.randint(1, 3)])
    return talk("image_talk", media_of_question(item), mixed, scene={"base": base.task.name})


def _conversation(rng: Random, split: str, ease: float, topics: Sequence[str], asked: list[Turn]) -> list[Turn]:
    """Small talk around other questions, which stay in their order."""
    turns, opens = list(asked), rng.random() < 0.5
    for topic in rng.sample(topics, rng.randint(0 if opens else 1, 2)):
        turns.insert(rng.randint(0, len(turns)), topic_turn(rng, split, ease, topic))
    if opens:
        turns.insert(0, topic_turn(rng, split, ease, rng.choice(OPENING)))
    if rng.random() < 0.4:
        turns.append(topic_turn(rng, split, ease, rng.choice(CLOSING)))
    return turns[:MAX_TURNS]


TASKS = (
    Task("small_talk", small_talk, "text", lesson=True),
    Task("image_talk", image_talk, "vqa", lesson=True),
)
