"""Several questions about one picture, for training only: the picture's cost is shared, and every shape gets its turn.

The questions are those of the single tasks; scoring never uses dialogues.
"""

from collections import Counter
from itertools import permutations
from random import Random

from qwen2vl.nano.world import palette, shapes
from qwen2vl.nano.world.item import Item, box_answer, dialogue_item, point_answer
from qwen2vl.nano.world.pages import ask_heading, ask_value, make_page
from qwen2vl.nano.world.scene_tasks import ask, holds, in_order
from qwen2vl.nano.world.scenes import Placed, Scene, article, distinct_names, picture_size, render, scatter
from qwen2vl.nano.world.screens import ask_point, ask_state, make_screen
from qwen2vl.nano.world.wording import RELATIONS

MAX_TURNS = 6
Turn = tuple[str, str]


def scene_dialogue(rng: Random, ease: float) -> Item:
    """One to five shapes, and up to six questions about them."""
    ground = palette.background(rng, ease)
    names = distinct_names(rng, rng.choice((1, 2, 3, 3, 4)), ground)
    names += [rng.choice(names)] if rng.random() < 0.25 else []
    scene = scatter(rng, picture_size(rng, 3, 5), names, 18, 60 if len(names) < 3 else 36, ground)
    turns = [*_about_each(rng, scene), *_about_pairs(rng, scene), *_counts(rng, scene)]
    rng.shuffle(turns)
    ordered = in_order(scene)
    if ordered and rng.random() < 0.6:
        turns.insert(0, (ask(rng, "caption"), ", ".join(article(shape.name) for shape in ordered)))
    return dialogue_item("scene_dialogue", render(rng, scene), turns[:MAX_TURNS])


def _about_each(rng: Random, scene: Scene) -> list[Turn]:
    """Place, colour and kind of every shape that its name, kind or colour singles out."""
    names, kinds, colours = (Counter(getattr(s, what) for s in scene.shapes) for what in ("name", "kind", "colour"))
    turns: list[Turn] = []
    for shape in scene.shapes:
        label = f"the {shape.name}"
        if names[shape.name] == 1:
            turns.append((ask(rng, "ground", label=label), box_answer(label, shape.box_px, scene.size)))
            turns.append((ask(rng, "point", label=label), point_answer(shape.box_px, scene.size)))
        if kinds[shape.kind] == 1:
            turns.append((ask(rng, "colour", kind=shape.kind), shape.colour))
        if colours[shape.colour] == 1:
            turns.append((ask(rng, "shape", colour=shape.colour), shape.kind))
    return turns


def _about_pairs(rng: Random, scene: Scene) -> list[Turn]:
    """Two questions about clear relations, yes and no equally often."""
    clear = [(a, b, r) for a, b in permutations(scene.shapes, 2) for r in RELATIONS if _clear(a, b, r)]
    return [
        (ask(rng, "relate", relation=relation, a=a.name, b=b.name), "yes" if holds(relation, a, b) else "no")
        for a, b, relation in rng.sample(clear, min(2, len(clear)))
    ]


def _clear(a: Placed, b: Placed, relation: str) -> bool:
    """Whether the answer is beyond doubt: one of the two directions of the axis holds."""
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}[relation]
    return a.name != b.name and (holds(relation, a, b) or holds(opposite, a, b))


def _counts(rng: Random, scene: Scene) -> list[Turn]:
    kind, colour = rng.choice(shapes.KINDS), rng.choice(scene.shapes).colour
    kind = rng.choice(scene.shapes).kind if rng.random() < 0.7 else kind
    same_kind = sum(s.kind == kind for s in scene.shapes)
    same_colour = sum(s.colour == colour for s in scene.shapes)
    return [
        (ask(rng, "count", things=rng.choice(("shapes", "objects"))), str(len(scene.shapes))),
        (ask(rng, "count", things=shapes.PLURALS[kind]), str(same_kind)),
        (ask(rng, "count", things=f"{colour} shapes"), str(same_colour)),
    ]


def page_dialogue(rng: Random, split: str) -> Item:
    """A page, asked for its heading and for every value."""
    drawn = make_page(rng, split)
    turns = [ask_heading(rng, drawn), *(ask_value(rng, key, value) for key, value in drawn.entries)]
    rng.shuffle(turns)
    return dialogue_item("page_dialogue", drawn.picture, turns)


def screen_dialogue(rng: Random, split: str) -> Item:
    """A window: point at every control, tell states and title."""
    drawn = make_screen(rng, split)
    turns = [ask_point(rng, control, drawn.picture.size)[:2] for control in drawn.controls]
    turns += [ask_state(rng, control) for control in drawn.controls if control.kind in ("checkbox", "field")]
    turns.append((ask(rng, "window_title"), drawn.title))
    rng.shuffle(turns)
    return dialogue_item("screen_dialogue", drawn.picture, turns[:MAX_TURNS])
