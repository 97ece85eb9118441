"""A shape that covers a part of another: which is in front, which lies behind. Lessons only.

They came when nano's vocabulary was settled: what their questions say besides is spelled.
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
from drawn_world.wording import phrase, read_wordings
from qwen2vl.spec.config import FACTOR

QUESTIONS = read_wordings("overlaps")
COVERED = (0.15, 0.55)
"""Share of the shape behind: enough to be seen, and enough left to be known."""
SIDES = (30, 56)
"""Pixels; whatever is left of the shape behind is larger than half a visual token."""


def overlap(rng: Random, split: str, ease: float) -> Item:
    """Two shapes, the second over a part of the first. Ease 1: one size of image and of shapes."""
    ground = palette.background(rng, ease)
    colours = rng.sample(palette.colours_on(ground), 2)
    kinds = rng.sample([kind for kind in shapes.KINDS if kind != "ring"], 2)  # a ring shows what is behind it
    size = image_size(rng, 3, 5, ease)
    while True:  # sizes too are drawn again: a small shape can never cover enough of a large one
        sides = [2 * FACTOR - 12 if rng.random() < ease else rng.randint(*SIDES) for _ in range(2)]
        made = [make_shape(rng, kind, colour, side) for kind, colour, side in zip(kinds, colours, sides, strict=True)]
        placed = [_anywhere(rng, size, shape) for shape in made]
        if COVERED[0] <= covered(*placed) <= COVERED[1]:
            break
    scene = Scene(size=size, ground=ground, shapes=tuple(placed))
    question, answer, accept = _asked(rng, split, ease, *(shape.name for shape in placed))
    truth = text_truth(answer, *accept, scene={"behind": placed[0].name, "in_front": placed[1].name})
    return image_item("overlap", [render(rng, scene)], question, answer, truth)


def _anywhere(rng: Random, size: tuple[int, int], shape: Placed) -> Placed:
    width, height = shape.mask.size
    return moved(shape, rng.randint(0, size[0] - width), rng.randint(0, size[1] - height))


def covered(behind: Placed, in_front: Placed) -> float:
    """Share of the pixels of a shape that another one hides."""
    left, top, right, bottom = in_front.box_px
    hidden = np.zeros((bottom, right), dtype=bool)
    hidden[top:, left:] = np.asarray(in_front.mask) > 127
    ys, xs = np.nonzero(np.asarray(behind.mask) > 127)
    ys, xs = ys + behind.y, xs + behind.x
    within = (ys < bottom) & (xs < right)
    return float(hidden[ys[within], xs[within]].sum() / len(ys))


def _asked(rng: Random, split: str, ease: float, behind: str, in_front: str) -> tuple[str, str, tuple[str, ...]]:
    """Question, answer, and what else is right. Yes as often as no."""
    form = rng.choice(("in_front", "behind", "covers"))
    if form != "covers":
        name = in_front if form == "in_front" else behind
        return phrase(rng, QUESTIONS[form], ease, split), article(name), name_truths(name)
    yes = rng.random() < 0.5
    a, b = (in_front, behind) if yes else (behind, in_front)
    return phrase(rng, QUESTIONS[form], ease, split, a=a, b=b), "yes" if yes else "no", ()


TASKS = (Task("overlap", overlap, "vqa", lesson=True, needs_fonts=False),)
