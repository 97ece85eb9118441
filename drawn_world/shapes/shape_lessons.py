"""Lessons about shapes: single skills in their simplest form, several questions for the cost of one image. For training only.

`tell_apart` draws images that refusals ask about; `place_cells` is read by a study. Not here: the tasks themselves
(shape_tasks), dialogues in people's own words (scene_talk, places), lessons about pairs of images (pairs) and videos (motion).
"""

from random import Random

from drawn_world import palette
from drawn_world.item import Item, Turn, box_answer, dialogue_item, point_answer
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import (
    Placed,
    Scene,
    distinct_names,
    fill_cells,
    in_cell,
    make_shape,
    moved,
    render,
)
from drawn_world.task import Task, without_split
from drawn_world.wording import ask
from qwen2vl.spec.config import FACTOR


def shape_rows(rng: Random, ease: float) -> Item:
    """Two to four rows of shapes, named row by row: the simplest form of seeing colours and kinds.

    With probability `ease` every shape fills its own visual token; otherwise cells are larger and a shape lies anywhere
    in its cell.
    """
    ground = palette.background(rng, ease)
    columns, rows = (4, 3) if rng.random() < ease else (rng.randint(2, 5), rng.randint(2, 4))
    aligned = rng.random() < ease
    cell = FACTOR if aligned else rng.randint(FACTOR, 42)
    colours, placed, lines = palette.colours_on(ground), [], []
    for row in range(rows):
        for column in range(columns):
            side = FACTOR - 3 if aligned else rng.randint(18, cell - 3)
            shape = make_shape(rng, rng.choice(shapes.KINDS), rng.choice(colours), side)
            spare = [cell - extent for extent in shape.mask.size]
            x, y = [room // 2 if aligned else rng.randint(0, room) for room in spare]
            placed.append(moved(shape, column * cell + x, row * cell + y))
        lines.append(", ".join(shape.name for shape in placed[-columns:]))
    scene = Scene(size=(columns * cell, rows * cell), ground=ground, shapes=tuple(placed))
    return dialogue_item("shape_rows", render(rng, scene), [(ask(rng, "shape_rows", ease), "\n".join(lines))])


def place_cells(rng: Random, ease: float) -> Item:
    """One to four shapes, each in its own visual token; questions ask for boxes and centres.

    The box of a shape that fills its token has few values, which are learned as a whole; shapes that are shifted by a few
    pixels teach the digits. Ease 1: one shape that fills its token, one size of image.
    """
    ground = palette.background(rng, ease)
    columns, rows = (4, 4) if rng.random() < ease else (rng.randint(3, 6), rng.randint(3, 6))
    count, size = 1 if rng.random() < ease * 2 - 1 else rng.randint(1, 4), (columns * FACTOR, rows * FACTOR)
    placed = []
    for (colour, kind), cell in zip(
        distinct_names(rng, count, ground), rng.sample(range(columns * rows), count), strict=True
    ):
        side = FACTOR - 3 if rng.random() < ease else rng.randint(18, FACTOR)
        shape = in_cell(make_shape(rng, kind, colour, side), cell % columns, cell // columns)
        if rng.random() >= ease:
            width, height = shape.mask.size
            x, y = shape.x + rng.randint(-6, 6), shape.y + rng.randint(-6, 6)
            shape = moved(shape, min(size[0] - width, max(0, x)), min(size[1] - height, max(0, y)))
        placed.append(shape)
    scene = Scene(size=size, ground=ground, shapes=tuple(placed))
    turns = [_ask_place(rng, shape, scene, ease) for shape in scene.shapes]
    return dialogue_item("place_cells", render(rng, scene), turns)


def tell_apart(rng: Random, ease: float) -> Item:
    """One to six shapes in cells, no colour and no kind twice; questions ask for the colour of a kind or the kind of a colour."""
    ground = palette.background(rng, ease)
    columns, rows = (4, 3) if rng.random() < ease else (rng.randint(3, 5), rng.randint(2, 5))
    colours = palette.colours_on(ground)
    count = min(rng.randint(1, 6), len(colours))
    names = list(zip(rng.sample(colours, count), rng.sample(shapes.KINDS, count), strict=True))
    scene = fill_cells(rng, (columns * FACTOR, rows * FACTOR), names, ground)
    turns = [  # one question a shape: with two, the text of the first would answer the second
        (ask(rng, "colour", ease, kind=shape.kind), shape.colour)
        if rng.random() < 0.5
        else (ask(rng, "shape", ease, colour=shape.colour), shape.kind)
        for shape in scene.shapes
    ]
    return dialogue_item("tell_apart", render(rng, scene), turns)


def _ask_place(rng: Random, shape: Placed, scene: Scene, ease: float) -> Turn:
    """A question and answer about the box of a shape or, in two of five cases, about its centre."""
    label, box = f"the {shape.name}", rng.random() < 0.6
    answer = box_answer(label, shape.box_px, scene.size) if box else point_answer(shape.box_px, scene.size)
    return ask(rng, "ground" if box else "point", ease, label=label), answer


TASKS = (
    Task("shape_rows", without_split(shape_rows), "caption", lesson=True, needs_fonts=False),
    Task("tell_apart", without_split(tell_apart), "vqa", lesson=True, needs_fonts=False),
    Task("place_cells", without_split(place_cells), "grounding", lesson=True, needs_fonts=False),
)
