"""Several questions about one image, for training only: the image's cost is shared, and every shape gets its turn.

The questions are those of the single tasks; scoring never uses dialogues.
"""

from collections import Counter
from itertools import permutations
from random import Random

from drawn_world import palette
from drawn_world.documents.pages import ask_heading, ask_value, make_page
from drawn_world.item import Item, Turn, box_answer, dialogue_item, point_answer
from drawn_world.screens.windows import ask_point, ask_state, make_screen
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import (
    Placed,
    Scene,
    article,
    distinct_names,
    image_size,
    render,
    scatter,
)
from drawn_world.shapes.shape_tasks import ask, holds, in_order
from drawn_world.wording import RELATIONS

MAX_TURNS = 6


def name_dialogue(rng: Random, ease: float) -> Item:
    """One to four shapes, and up to six questions that one word answers: colours, kinds, relations, counts."""
    scene = _few_shapes(rng, ease)
    turns = [*_names(rng, scene, ease), *_about_pairs(rng, scene, ease), *_counts(rng, scene, ease)]
    rng.shuffle(turns)
    return dialogue_item("name_dialogue", render(rng, scene), turns[:MAX_TURNS])


def place_dialogue(rng: Random, ease: float) -> Item:
    """One to four shapes, each asked for its box or its middle; now and then all of them named first."""
    scene = _few_shapes(rng, ease)
    names = Counter(shape.name for shape in scene.shapes)
    turns = [ask_place(rng, shape, scene, ease) for shape in scene.shapes if names[shape.name] == 1]
    rng.shuffle(turns)
    ordered = in_order(scene)
    if not turns or (ordered and rng.random() < 0.3):
        ordered = ordered or sorted(scene.shapes, key=lambda shape: shape.centre[0])
        turns.insert(0, (ask(rng, "caption", ease), ", ".join(article(shape.name) for shape in ordered)))
    return dialogue_item("place_dialogue", render(rng, scene), turns)


def ask_place(rng: Random, shape: Placed, scene: Scene, ease: float, boxes: float = 0.6) -> Turn:
    """Asked for the box of a shape, or with probability 1 - `boxes` for its middle."""
    label, box = f"the {shape.name}", rng.random() < boxes
    answer = box_answer(label, shape.box_px, scene.size) if box else point_answer(shape.box_px, scene.size)
    return ask(rng, "ground" if box else "point", ease, label=label), answer


def _few_shapes(rng: Random, ease: float) -> Scene:
    ground = palette.background(rng, ease)
    names = distinct_names(rng, rng.choice((1, 2, 3, 3, 4)), ground)
    names += [rng.choice(names)] if rng.random() < 0.25 else []
    return scatter(rng, image_size(rng, 3, 5, ease), names, 18, 60 if len(names) < 3 else 36, ground)


def _names(rng: Random, scene: Scene, ease: float) -> list[Turn]:
    """Colour and kind of every shape that its kind or colour singles out."""
    kinds, colours = (Counter(getattr(shape, what) for shape in scene.shapes) for what in ("kind", "colour"))
    turns = [(ask(rng, "colour", ease, kind=s.kind), s.colour) for s in scene.shapes if kinds[s.kind] == 1]
    return turns + [(ask(rng, "shape", ease, colour=s.colour), s.kind) for s in scene.shapes if colours[s.colour] == 1]


def _about_pairs(rng: Random, scene: Scene, ease: float) -> list[Turn]:
    """Two questions about clear relations of shapes whose names single them out, yes and no equally often."""
    names = Counter(shape.name for shape in scene.shapes)
    singled = [shape for shape in scene.shapes if names[shape.name] == 1]
    clear = [(a, b, r) for a, b in permutations(singled, 2) for r in RELATIONS if _clear(a, b, r)]
    return [
        (ask(rng, "relate", ease, relation=relation, a=a.name, b=b.name), "yes" if holds(relation, a, b) else "no")
        for a, b, relation in rng.sample(clear, min(2, len(clear)))
    ]


def _clear(a: Placed, b: Placed, relation: str) -> bool:
    """Whether the answer is beyond doubt: one of the two directions of the axis holds."""
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}[relation]
    return holds(relation, a, b) or holds(opposite, a, b)


def _counts(rng: Random, scene: Scene, ease: float) -> list[Turn]:
    kind, colour = rng.choice(shapes.KINDS), rng.choice(scene.shapes).colour
    kind = rng.choice(scene.shapes).kind if rng.random() < 0.7 else kind
    same_kind = sum(s.kind == kind for s in scene.shapes)
    same_colour = sum(s.colour == colour for s in scene.shapes)
    return [
        (ask(rng, "count", ease, things=rng.choice(("shapes", "objects"))), str(len(scene.shapes))),
        (ask(rng, "count", ease, things=shapes.PLURALS[kind]), str(same_kind)),
        (ask(rng, "count", ease, things=f"{colour} shapes"), str(same_colour)),
    ]


def page_dialogue(rng: Random, split: str, ease: float) -> Item:
    """A page, asked for its heading and for every value."""
    drawn = make_page(rng, split, ease)
    turns = [ask_heading(rng, drawn, ease), *(ask_value(rng, key, value, ease) for key, value in drawn.entries)]
    rng.shuffle(turns)
    return dialogue_item("page_dialogue", drawn.image, turns)


def screen_dialogue(rng: Random, split: str, ease: float) -> Item:
    """A window: point at every control, tell states and title."""
    drawn = make_screen(rng, split, ease)
    turns = [ask_point(rng, control, drawn.image.size, ease)[:2] for control in drawn.controls]
    turns += [ask_state(rng, control, ease) for control in drawn.controls if control.kind in ("checkbox", "field")]
    turns.append((ask(rng, "window_title", ease), drawn.title))
    rng.shuffle(turns)
    return dialogue_item("screen_dialogue", drawn.image, turns[:MAX_TURNS])
