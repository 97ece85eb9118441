"""What one knows of a thing without seeing it in the image: what it is, whether it flies, how many legs it has. Lessons only.

They came when nano's vocabulary was settled: what their questions and answers say besides is spelled.
"""

from random import Random

from drawn_world.glyphs.emoji import names_at, stands_out
from drawn_world.glyphs.glyph_scenes import pick_ground, place, render
from drawn_world.glyphs.glyph_tasks import NAMING
from drawn_world.item import Item, image_item, text_truth
from drawn_world.shapes.shape_scenes import name_truths
from drawn_world.task import Task
from drawn_world.wording import phrase, read_wordings

QUESTIONS = read_wordings("knowledge")
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
FLY = frozenset(
    {"bird", "owl", "duck", "parrot", "bee", "butterfly", "ladybug", "bat", "plane", "helicopter", "rocket", "kite"}
)
STAY_DOWN = frozenset(
    {*CLASSES["animal"], *CLASSES["fruit"], *CLASSES["plant"], *CLASSES["garment"], *CLASSES["instrument"], "penguin"}
)
"""What surely does not fly; of an ant or a chicken one may dispute it."""
CLASS_OF = {name: kind for kind, names in CLASSES.items() for name in names}
LEGS_OF = {name: number for number, names in LEGS.items() for name in names}
KNOWN_OF = {"kind": CLASS_OF, "is_a": CLASS_OF, "flies": FLY | STAY_DOWN, "legs": LEGS_OF}


def glyph_know(rng: Random, split: str, ease: float) -> Item:
    """One thing, and one question whose answer cannot be seen. Ease 1: it fills an image of four visual tokens."""
    form, ground = rng.choice(tuple(QUESTIONS)), pick_ground(rng, split, ease)
    known = [name for name in names_at(ease) if name in KNOWN_OF[form]]
    clear = [name for name in known if stands_out(name, ground.first) and stands_out(name, ground.second)]
    name = rng.choice(_balanced(rng, form, clear))
    scene = place(rng, split, ease, [name], ground, NAMING)
    kind = CLASS_OF.get(name, "")
    if form == "is_a" and rng.random() < 0.5:
        kind = rng.choice([other for other in CLASSES if other != kind])
    answer, *others = _answer(form, name, kind)
    question = phrase(rng, QUESTIONS[form], ease, split, kind=name_truths(kind)[0] if kind else "")
    truth = text_truth(answer, *others, scene=scene.facts())
    return image_item("glyph_know", [render(rng, scene)], question, answer, truth)


def _balanced(rng: Random, form: str, names: list[str]) -> list[str]:
    """Of these names those of one answer, each answer as often as another: most animals have four legs."""
    if form == "flies":
        groups = [[name for name in names if (name in FLY) == yes] for yes in (True, False)]
    elif form == "legs":
        groups = [[name for name in names if LEGS_OF[name] == number] for number in LEGS]
    else:
        groups = [[name for name in names if CLASS_OF[name] == kind] for kind in CLASSES]
    return rng.choice([group for group in groups if group])


def _answer(form: str, name: str, kind: str) -> tuple[str, ...]:
    """The answer, then what else is right."""
    if form == "kind":
        return name_truths(kind)
    if form == "legs":
        return (str(LEGS_OF[name]),)
    return ("yes" if (CLASS_OF[name] == kind if form == "is_a" else name in FLY) else "no",)


TASKS = (Task("glyph_know", glyph_know, "knowledge", lesson=True),)
