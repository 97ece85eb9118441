"""Questions about a thing whose answer is not visible: its class, whether it flies, its number of legs. For training only.

This lesson was added after nano's vocabulary was fixed, so it adds no words; a tokenizer spells new ones in parts.
"""

from random import Random

from drawn_world.glyphs.emoji import names_at, stands_out
from drawn_world.glyphs.glyph_scenes import pick_ground, place, render
from drawn_world.glyphs.glyph_tasks import NAMING
from drawn_world.item import Item, image_item, text_truth
from drawn_world.shapes.shape_scenes import name_truths
from drawn_world.task import Task
from drawn_world.wording import ask

# fmt: off
CLASSES: dict[str, tuple[str, ...]] = {
    "animal": (
        "dog", "cat", "frog", "pig", "cow", "bear", "lion", "horse", "rabbit", "mouse", "monkey", "snail", "turtle",
        "snake", "octopus", "crab", "whale", "elephant", "sheep", "fox", "panda", "tiger", "camel", "giraffe", "zebra",
    ),
    "bird": ("bird", "penguin", "owl", "chicken", "duck", "parrot"),
    "insect": ("bee", "butterfly", "ant", "ladybug"),
    "fruit": (
        "apple", "banana", "pear", "orange", "lemon", "cherry", "strawberry", "pineapple", "watermelon", "kiwi", "avocado",
    ),
    "plant": ("tree", "rose", "cactus", "sunflower", "tulip", "clover"),
    "vehicle": ("car", "bus", "train", "truck", "bicycle", "helicopter", "ship", "boat", "plane", "rocket", "tractor"),
    "instrument": ("guitar", "drum", "trumpet", "piano"),
    "garment": ("hat", "shoe", "shirt", "dress", "boot"),
    "dish": ("pizza", "burger", "donut", "cake", "taco", "pretzel"),
}
LEGS: dict[int, tuple[str, ...]] = {
    0: ("snake", "whale", "fish", "snail"),
    2: CLASSES["bird"],
    4: (
        "dog", "cat", "frog", "pig", "cow", "bear", "lion", "horse", "rabbit", "mouse", "turtle", "elephant", "sheep",
        "fox", "panda", "tiger", "camel", "giraffe", "zebra",
    ),
    6: CLASSES["insect"],
    8: ("spider",),
}
# fmt: on
FLY = ("bird", "owl", "duck", "parrot", "bee", "butterfly", "ladybug", "bat", "plane", "helicopter", "rocket", "kite")
STAY_DOWN = (
    *(name for kind in ("animal", "fruit", "plant", "garment", "instrument") for name in CLASSES[kind]),
    "penguin",
)
"""Things that surely do not fly; whether an ant or a chicken does is open to dispute."""
CLASS_OF = {name: kind for kind, names in CLASSES.items() for name in names}
KNOWN = {
    "kind": CLASS_OF,
    "is_a": CLASS_OF,
    "flies": dict.fromkeys(FLY, "yes") | dict.fromkeys(STAY_DOWN, "no"),
    "legs": {name: str(number) for number, names in LEGS.items() for name in names},
}
"""Question to the answers for all things that it may ask about."""


def glyph_know(rng: Random, split: str, ease: float) -> Item:
    """One thing, and one question whose answer cannot be seen. Ease 1: it fills an image of four visual tokens."""
    form, ground = rng.choice(tuple(KNOWN)), pick_ground(rng, split, ease)
    known = [name for name in names_at(ease) if name in KNOWN[form]]
    clear = [name for name in known if all(stands_out(name, colour) for colour in ground.colours)]
    # Every answer equally often: most animals have four legs.
    groups = [[name for name in clear if KNOWN[form][name] == each] for each in dict.fromkeys(KNOWN[form].values())]
    name = rng.choice(rng.choice([group for group in groups if group]))
    scene = place(rng, split, ease, [name], ground, NAMING)
    kind = CLASS_OF.get(name, "")
    answers: tuple[str, ...] = (KNOWN[form][name],)
    if form == "is_a":
        yes = rng.random() >= 0.5
        kind = kind if yes else rng.choice([other for other in CLASSES if other != kind])
        answers = ("yes" if yes else "no",)
    elif form == "kind":
        answers = name_truths(kind)
    question = ask(rng, form, ease, split, kind=name_truths(kind)[0] if kind else "")
    truth = text_truth(*answers, scene=scene.facts())
    return image_item("glyph_know", [render(rng, scene)], question, answers[0], truth)


TASKS = (Task("glyph_know", glyph_know, "knowledge", lesson=True),)
