"""The 200 items of the set: 40 of each of five kinds, the same on every machine.

Every truth is one of `evaluation.items`, with two more keys: "value" is what an answer in words must say (see `names`), and
"figures" lists the shapes of the picture, the one that is meant first. In kind `where`, "point" says whether a point is right too.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Sequence
from math import cos, pi, sin, sqrt
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from experiments.plain_pictures.names import ASKED, COLOURS, DIRECTIONS, SHAPES, Names, plural
from experiments.plain_pictures.painting import RGB, Figure, Ground, box_of, paint
from qwen2vl.evaluation.items import ExamItem

ITEMS = 40
"""Items of each kind."""
FRAMES = 8
SIDES = 96, 448
"""Shortest and longest side of a picture, in pixels."""
CLIP_SIDES = 96, 320
CONTRAST = 90.0
"""Least distance between the colour of a shape and its ground, in RGB."""
WORDINGS = tomllib.loads((Path(__file__).parent / "wordings.toml").read_text(encoding="utf-8"))

PAINTS: dict[str, tuple[RGB, ...]] = {
    "red": ((220, 30, 35), (255, 0, 0), (200, 10, 20)),
    "orange": ((255, 140, 0), (245, 124, 0)),
    "yellow": ((255, 220, 0), (253, 216, 53)),
    "green": ((0, 150, 60), (0, 128, 0), (76, 175, 80)),
    "blue": ((20, 70, 220), (0, 0, 255), (30, 120, 229)),
    "purple": ((128, 0, 128), (123, 31, 162)),
    "pink": ((255, 105, 180), (245, 130, 175)),
    "brown": ((121, 72, 32), (139, 69, 19)),
    "black": ((0, 0, 0), (22, 22, 22)),
    "white": ((255, 255, 255), (250, 250, 250)),
    "grey": ((128, 128, 128), (112, 112, 116)),
}
GROUNDS: dict[str, tuple[RGB, ...]] = {
    "white": ((255, 255, 255), (250, 250, 247)),
    "grey": ((200, 200, 200), (222, 222, 224), (188, 190, 192)),
    "pastel": ((255, 236, 210), (222, 239, 255), (226, 245, 226), (243, 229, 250), (255, 250, 214), (255, 228, 236)),
    "dark": ((20, 20, 30), (33, 37, 41), (15, 30, 50), (28, 28, 28), (18, 40, 30)),
}
LOOKALIKES = ({"circle", "ring", "oval"}, {"square", "rectangle", "diamond"})
"""Shapes that people also call by each other's names: a question never has to tell them apart."""
STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


class Look(NamedTuple):
    """What a shape is, before it has a place."""

    shape: str
    colour: str


class Question(NamedTuple):
    """One way to ask, and what it needs to be clear."""

    style: str
    """Its list in the file of wordings."""
    wording: str


def draw_items() -> list[ExamItem]:
    """All items, kind by kind."""
    return [item for kind in KINDS for item in draw_kind(kind)]


def draw_kind(kind: str) -> list[ExamItem]:
    """The items of a kind. Wordings and right answers are dealt like cards: each serves before any serves again."""
    rng = Random(f"plain pictures/{kind}")
    questions = deal(rng, [Question(style, each) for style, listed in WORDINGS[kind].items() for each in listed])
    cards: dict[str, Sequence[Any]] = {"colour": list(COLOURS), "count": range(1, 5), "motion": list(DIRECTIONS)}
    answers = deal(rng, cards.get(kind, list(SHAPES)))
    return [
        MAKERS[kind](Random(f"plain pictures/{kind}/{number}"), f"{kind}-{number:02d}", question, answer)
        for number, (question, answer) in enumerate(zip(questions, answers, strict=True))
    ]


def deal(rng: Random, cards: Sequence[Any]) -> list[Any]:
    """ITEMS cards from shuffled decks."""
    dealt: list[Any] = []
    while len(dealt) < ITEMS:
        dealt += rng.sample(list(cards), len(cards))
    return dealt[:ITEMS]


def ask_colour(rng: Random, id: str, question: Question, colour: str) -> ExamItem:
    """The colour of the only shape, or of the only shape of its kind."""
    looks = [Look(rng.choice(list(SHAPES)), colour)]
    others = 0 if question.style == "alone" else rng.randint(0, 2)
    looks += [Look(shape, rng.choice(list(COLOURS))) for shape in rng.sample(unlike(looks[0].shape), others)]
    return still(rng, id, question, looks, words_truth(colour, COLOURS))


def ask_shape(rng: Random, id: str, question: Question, shape: str) -> ExamItem:
    """The only shape, or the only one of its colour."""
    colours = rng.sample(list(COLOURS), 1 if question.style == "alone" else rng.randint(2, 4))
    looks = [Look(shape, colours[0]), *(Look(rng.choice(list(SHAPES)), colour) for colour in colours[1:])]
    return still(rng, id, question, looks, words_truth(shape, SHAPES))


def ask_count(rng: Random, id: str, question: Question, count: int) -> ExamItem:
    """The number of all shapes, of those of one kind, or of those of one colour; no more than six in a picture."""
    colours, shape = rng.sample(list(COLOURS), 4), rng.choice(list(SHAPES))
    shapes = [shape, *rng.sample(unlike(shape), 3)]
    is_uniform = rng.random() < 0.5
    counted = Look(shapes[0], colours[0])
    looks = [counted] * count
    if not is_uniform and question.style != "named":
        looks = [look._replace(shape=rng.choice(shapes)) for look in looks]
    if not is_uniform and question.style != "coloured":
        looks = [look._replace(colour=rng.choice(colours)) for look in looks]
    others = 0 if question.style == "alone" else rng.randint(0, min(3, 6 - count))
    looks += [Look(rng.choice(shapes[1:]), rng.choice(colours[1:])) for _ in range(others)]
    return still(rng, id, question, looks, {"kind": "number", "value": count})


def ask_where(rng: Random, id: str, question: Question, shape: str) -> ExamItem:
    """The place of one shape among up to three others, some of its kind or colour."""
    looks = [Look(shape, rng.choice(list(COLOURS)))]
    total = rng.randint(1, 4)
    while len(looks) < total:
        other = Look(rng.choice([shape, *unlike(shape)]), rng.choice([looks[0].colour, *COLOURS]))
        if other not in looks:
            looks.append(other)
    return still(rng, id, question, looks, {"kind": "box", "point": question.style == "plain"})


def ask_motion(rng: Random, id: str, question: Question, direction: str) -> ExamItem:
    """The direction of a shape that moves evenly along one axis. No arrows: theirs could be meant."""
    look = Look(rng.choice([shape for shape in SHAPES if shape != "arrow"]), rng.choice(list(COLOURS)))
    size = draw_size(rng, CLIP_SIDES)
    ground, (rgb,) = draw_ground(rng, [look])
    radius, turn = max(9.0, rng.uniform(0.1, 0.22) * min(size)), draw_turn(rng, look.shape)
    steps, part = STEPS[direction], rng.uniform(0.5, 1.0)
    room = [side - 2 * radius - 4 for side in size]
    ways = [part * free * abs(step) for free, step in zip(room, steps, strict=True)]
    lows = [radius + 2 + rng.uniform(0, free - way) for free, way in zip(room, ways, strict=True)]
    figures = []
    for time in range(FRAMES):
        share = time / (FRAMES - 1) if sum(steps) > 0 else 1 - time / (FRAMES - 1)
        x, y = (low + way * share for low, way in zip(lows, ways, strict=True))
        figures.append(Figure(shape=look.shape, colour=look.colour, rgb=rgb, x=x, y=y, radius=radius, turn=turn))
    clip = [paint(size, ground, [figure]) for figure in figures]
    truth = words_truth(direction, DIRECTIONS) | {"figures": [facts(size, figures[0])]}
    return make_item(rng, id, question, look, {"type": "video", "video": clip}, truth)


def unlike(shape: str) -> list[str]:
    """The shapes that nobody calls by the name of this one."""
    return [other for other in SHAPES if other != shape and not any({shape, other} <= group for group in LOOKALIKES)]


def words_truth(value: str, names: Names) -> dict[str, Any]:
    """Truth of a question that words answer."""
    return {"kind": "text", "value": value, "accept": list(names[value])}


def still(rng: Random, id: str, question: Question, looks: Sequence[Look], truth: dict[str, Any]) -> ExamItem:
    """An item about one picture; the first look is the one that is meant."""
    size = draw_size(rng, SIDES)
    ground, paints = draw_ground(rng, looks)
    places = scatter(rng, size, len(looks))
    figures = [
        Figure(shape=shape, colour=colour, rgb=rgb, x=x, y=y, radius=radius, turn=draw_turn(rng, shape))
        for (shape, colour), rgb, (x, y, radius) in zip(looks, paints, places, strict=True)
    ]
    truth = truth | {"figures": [facts(size, figure) for figure in figures]}
    if truth["kind"] == "box":
        truth["box_px"] = truth["figures"][0]["box_px"]
    picture = {"type": "image", "image": paint(size, ground, figures)}
    return make_item(rng, id, question, looks[0], picture, truth)


def facts(size: tuple[int, int], figure: Figure) -> dict[str, Any]:
    """What a truth says about one shape."""
    box_px = list(box_of(size, figure))
    return {"shape": figure.shape, "colour": figure.colour, "rgb": list(figure.rgb), "box_px": box_px}


def make_item(
    rng: Random, id: str, question: Question, meant: Look, media: dict[str, Any], truth: dict[str, Any]
) -> ExamItem:
    """The item with its question in words."""
    shape = rng.choice(ASKED.get(meant.shape, SHAPES[meant.shape]))
    text = question.wording.format(shape=shape, shapes=plural(shape), colour=rng.choice(COLOURS[meant.colour]))
    text = re.sub(r"\ba (?=[aeiou])", "an ", text)
    messages = [{"role": "user", "content": [media, {"type": "text", "text": text}]}]
    return ExamItem(id=id, task=id.split("-")[0], messages=messages, truth=truth)


def draw_size(rng: Random, sides: tuple[int, int]) -> tuple[int, int]:
    """Width and height in pixels; neither is over 1.8 times the other."""
    least, most = sides
    width = rng.randint(least, most)
    height = round(width * rng.uniform(1 / 1.8, 1.8))
    return width, min(most, max(least, height))


def draw_ground(rng: Random, looks: Sequence[Look]) -> tuple[Ground, list[RGB]]:
    """A ground and a paint for every look, at least CONTRAST apart; equal colours get the same paint.

    Up to a third of the grounds are gradients.
    """
    while True:
        tones = GROUNDS[rng.choice(list(GROUNDS))]
        begin = end = rng.choice(tones)
        if rng.random() < 1 / 3:
            end = rng.choice(tones)
        paint_of = {colour: rng.choice(PAINTS[colour]) for colour in sorted({look.colour for look in looks})}
        if all(apart(rgb, tone) >= CONTRAST for rgb in paint_of.values() for tone in (begin, end)):
            along = rng.choice([(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)])
            return Ground(begin=begin, end=end, along=along), [paint_of[look.colour] for look in looks]


def apart(a: RGB, b: RGB) -> float:
    """Distance of two colours in RGB."""
    return sqrt(sum((one - other) ** 2 for one, other in zip(a, b, strict=True)))


def scatter(rng: Random, size: tuple[int, int], count: int) -> list[tuple[float, float, float]]:
    """Middles and radii of `count` circles in a picture that do not touch."""
    width, height = size
    largest = (0.42 if count == 1 else 0.45 / sqrt(count)) * min(size)
    while True:
        places: list[tuple[float, float, float]] = []
        for _ in range(200):
            radius = max(9.0, rng.uniform(0.35, 1.0) * largest)
            x = rng.uniform(radius + 2, width - radius - 2)
            y = rng.uniform(radius + 2, height - radius - 2)
            if all(sqrt((x - a) * (x - a) + (y - b) * (y - b)) > radius + r + 4 for a, b, r in places):
                places.append((x, y, radius))
            if len(places) == count:
                return places
        largest *= 0.9


def draw_turn(rng: Random, shape: str) -> tuple[float, float]:
    """Cosine and sine of a small turn, or none; long shapes also lie on their side, and arrows point to any of four sides."""
    quarters = {"arrow": 4, "oval": 2, "rectangle": 2}.get(shape, 1)
    angle = rng.randrange(quarters) * pi / 2 + rng.choice([0.0, rng.uniform(-0.2, 0.2)])
    return round(cos(angle), 9), round(sin(angle), 9)


def digest(items: Sequence[ExamItem]) -> str:
    """SHA-256 of all pixels, questions and truths; it does not depend on how a library compresses images."""
    state = hashlib.sha256()
    for item in items:
        media, question = item.messages[0]["content"]
        for image in media.get("video") or [media["image"]]:
            state.update(repr((image.mode, image.size)).encode() + image.tobytes())
        state.update(json.dumps([item.id, item.task, question["text"], item.truth], ensure_ascii=False).encode())
    return state.hexdigest()


Maker = Callable[[Random, str, Question, Any], ExamItem]
MAKERS: dict[str, Maker] = {
    "colour": ask_colour,
    "shape": ask_shape,
    "count": ask_count,
    "where": ask_where,
    "motion": ask_motion,
}
KINDS = tuple(MAKERS)
