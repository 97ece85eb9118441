"""A shape that covers a part of another: which is in front, which lies behind. For training only.

This lesson was added after nano's vocabulary was fixed, so it adds no words; a tokenizer spells new ones in parts.
"""

from random import Random

import numpy as np

from drawn_world import palette
from drawn_world.item import Item, image_item, text_truth
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import (
    Placed,
    Scene,
    article,
    image_size,
    make_shape,
    moved,
    name_truths,
    render,
)
from drawn_world.task import Task
from drawn_world.wording import ask
from qwen2vl.spec.config import FACTOR


def overlap(rng: Random, split: str, ease: float) -> Item:
    """Two shapes, the second over a part of the first. Ease 1: one size of image and one size of shapes."""
    ground = palette.background(rng, ease)
    colours = rng.sample(palette.colours_on(ground), 2)
    kinds = rng.sample([kind for kind in shapes.KINDS if kind != "ring"], 2)  # a ring shows what is behind it
    size = image_size(rng, 3, 5, ease)
    while True:  # sizes are chosen again too: a small shape can never cover enough of a large one
        # At 30 pixels or more, what remains visible of the shape behind is larger than half a visual token.
        sides = [2 * FACTOR - 12 if rng.random() < ease else rng.randint(30, 56) for _ in range(2)]
        made = [make_shape(rng, kind, colour, side) for kind, colour, side in zip(kinds, colours, sides, strict=True)]
        placed = []
        for shape in made:
            width, height = shape.mask.size
            placed.append(moved(shape, rng.randint(0, size[0] - width), rng.randint(0, size[1] - height)))
        if 0.15 <= covered(*placed) <= 0.55:  # enough to be seen, and enough left to recognize the shape
            break
    scene = Scene(size=size, ground=ground, shapes=tuple(placed))
    question, answer, accept = _question(rng, split, ease, *(shape.name for shape in placed))
    truth = text_truth(answer, *accept, scene={"behind": placed[0].name, "in_front": placed[1].name})
    return image_item("overlap", [render(rng, scene)], question, answer, truth)


def covered(behind: Placed, in_front: Placed) -> float:
    """Share of the pixels of a shape that another one hides."""
    left, top, right, bottom = in_front.box_px
    hidden = np.zeros((bottom, right), dtype=bool)
    hidden[top:, left:] = np.asarray(in_front.mask) > 127
    ys, xs = np.nonzero(np.asarray(behind.mask) > 127)
    ys, xs = ys + behind.y, xs + behind.x
    within = (ys < bottom) & (xs < right)
    return float(hidden[ys[within], xs[within]].sum() / len(ys))


def _question(rng: Random, split: str, ease: float, behind: str, in_front: str) -> tuple[str, str, tuple[str, ...]]:
    """Question, answer, and other right answers; yes and no equally often."""
    form = rng.choice(("in_front", "behind", "covers"))
    if form != "covers":
        name = in_front if form == "in_front" else behind
        return ask(rng, form, ease, split), article(name), name_truths(name)
    yes = rng.random() < 0.5
    a, b = (in_front, behind) if yes else (behind, in_front)
    return ask(rng, form, ease, split, a=a, b=b), "yes" if yes else "no", ()


TASKS = (Task("overlap", overlap, "vqa", lesson=True, needs_fonts=False),)
