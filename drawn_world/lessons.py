"""Single skills in their simplest form, for training only: what a skill needs to leave chance.

Each widens with falling `ease` towards the tasks that are scored. Those of videos (track, film_rows) are in videos.motion.
"""

from random import Random

from drawn_world import palette
from drawn_world.dialogues import ask_place
from drawn_world.documents.pages import make_page
from drawn_world.item import Item, dialogue_item
from drawn_world.screens.windows import ask_point, ask_state, make_cells, make_screen
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import (
    Placed,
    Scene,
    distinct_names,
    in_cell,
    make_shape,
    moved,
    render,
    scatter,
)
from drawn_world.shapes.shape_tasks import ask
from qwen2vl.spec.config import FACTOR


def shape_rows(rng: Random, ease: float) -> Item:
    """Two to four rows of shapes, named row by row: what aligned letters are to reading, this is to colours and kinds.

    With probability `ease` every shape fills its own visual token; otherwise cells are larger and shapes lie anywhere
    within theirs.
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
    """One to four shapes, each in a visual token of its own, asked for their boxes and middles.

    Where a shape fills its token a box has few values, learnt as a whole; what is off by some pixels adds the digits.
    Ease 1: one shape that fills its token, one size of image.
    """
    ground = palette.background(rng, ease)
    columns, rows = (4, 4) if rng.random() < ease else (rng.randint(3, 6), rng.randint(3, 6))
    count = 1 if rng.random() < ease * 2 - 1 else rng.randint(1, 4)
    placed = []
    for (colour, kind), cell in zip(
        distinct_names(rng, count, ground), rng.sample(range(columns * rows), count), strict=True
    ):
        side = FACTOR - 3 if rng.random() < ease else rng.randint(18, FACTOR)
        shape = in_cell(make_shape(rng, kind, colour, side), cell % columns, cell // columns)
        placed.append(shape if rng.random() < ease else _nudged(rng, shape, (columns * FACTOR, rows * FACTOR)))
    scene = Scene(size=(columns * FACTOR, rows * FACTOR), ground=ground, shapes=tuple(placed))
    turns = [ask_place(rng, shape, scene, ease) for shape in scene.shapes]
    return dialogue_item("place_cells", render(rng, scene), turns)


def place_one(rng: Random, ease: float) -> Item:
    """Two to four shapes, one of them asked for its box or its middle: where a place depends on which is meant.

    One question an image: what a second one asks for could be found by leaving out what the first has told. Ease 1: two
    shapes of two colours and two kinds, each filling its visual token, one size of image, always the box. Everything
    widens by itself, so that between the ends most images are hard in one way alone.
    """
    ground = palette.background(rng, ease)
    count = 2 if rng.random() < ease else rng.randint(2, 4)
    names = distinct_names(rng, count, ground)
    if rng.random() < ease:
        colours = palette.colours_on(ground)
        count = min(count, len(colours))
        names = list(zip(rng.sample(colours, count), rng.sample(shapes.KINDS, count), strict=True))
    columns, rows = (4, 4) if rng.random() < ease else (rng.randint(3, 6), rng.randint(3, 6))
    size, one_side = (columns * FACTOR, rows * FACTOR), rng.random() < ease
    if rng.random() < ease:
        cells = rng.sample(range(columns * rows), count)
        sides = [FACTOR - 3 if one_side else rng.randint(20, FACTOR) for _ in range(count)]
        placed = [
            in_cell(make_shape(rng, kind, colour, side), cell % columns, cell // columns)
            for (colour, kind), side, cell in zip(names, sides, cells, strict=True)
        ]
        scene = Scene(size=size, ground=ground, shapes=tuple(placed))
    else:
        scene = scatter(rng, size, names, 20, 36 if one_side else 56 if count < 3 else 44, ground)
    turn = ask_place(rng, scene.shapes[0], scene, ease, boxes=max(0.6, ease))
    return dialogue_item("place_one", render(rng, scene), [turn])


def control_one(rng: Random, split: str, ease: float) -> Item:
    """A window, one control pointed at or, now and then, asked for its state. Ease 1: two buttons in cells."""
    if rng.random() < ease:
        drawn = make_cells(rng, split, ease)
    else:
        drawn = make_screen(rng, split, ease, most=2 if rng.random() < ease else None)
    control = rng.choice(drawn.controls)
    asks_state = control.kind in ("checkbox", "field") and rng.random() < 0.3
    turn = ask_state(rng, control, ease) if asks_state else ask_point(rng, control, drawn.image.size, ease)[:2]
    return dialogue_item("control_one", drawn.image, [turn])


def _nudged(rng: Random, shape: Placed, size: tuple[int, int]) -> Placed:
    """The shape up to six pixels off, within the image."""
    width, height = shape.mask.size
    x, y = shape.x + rng.randint(-6, 6), shape.y + rng.randint(-6, 6)
    return moved(shape, min(size[0] - width, max(0, x)), min(size[1] - height, max(0, y)))


def look_up(rng: Random, ease: float) -> Item:
    """Six shapes in cells, no colour and no kind twice: which colour has a kind, which kind has a colour.

    Fewer where fewer colours stand out from the ground: five on one ground in 4,000.
    """
    return _look_up(rng, "look_up", 6, ease)


def tell_apart(rng: Random, ease: float) -> Item:
    """The same of one to four shapes: with one nothing has to be told apart, and looking at the shape is learnt."""
    return _look_up(rng, "tell_apart", rng.randint(1, 4), ease)


def _look_up(rng: Random, task: str, count: int, ease: float) -> Item:
    ground = palette.background(rng, ease)
    columns, rows = (4, 3) if rng.random() < ease else (rng.randint(3, 5), rng.randint(2, 5))
    colours = palette.colours_on(ground)
    count = min(count, len(colours))
    names = zip(rng.sample(colours, count), rng.sample(shapes.KINDS, count), strict=True)
    cells = rng.sample(range(columns * rows), count)
    placed = [
        in_cell(make_shape(rng, kind, colour, FACTOR - 3), cell % columns, cell // columns)
        for (colour, kind), cell in zip(names, cells, strict=True)
    ]
    scene = Scene(size=(columns * FACTOR, rows * FACTOR), ground=ground, shapes=tuple(placed))
    turns = [  # one question a shape: of two, the second would be answered by the text of the first
        (ask(rng, "colour", ease, kind=shape.kind), shape.colour)
        if rng.random() < 0.5
        else (ask(rng, "shape", ease, colour=shape.colour), shape.kind)
        for shape in scene.shapes
    ]
    return dialogue_item(task, render(rng, scene), turns)


def page_lines(rng: Random, split: str, ease: float) -> Item:
    """A page read from the top: small letters, all of them supervised."""
    drawn = make_page(rng, split, ease)
    lines = [drawn.heading, *(f"{key}: {value}" for key, value in drawn.entries)]
    return dialogue_item("page_lines", drawn.image, [(ask(rng, "read_lines", ease), "\n".join(lines))])


def screen_lines(rng: Random, split: str, ease: float) -> Item:
    """A window read from the top, control by control."""
    drawn = make_screen(rng, split, ease)
    shown = (f"{each.label} {each.state}" if each.kind == "field" else each.label for each in drawn.controls)
    return dialogue_item(
        "screen_lines", drawn.image, [(ask(rng, "read_lines", ease), "\n".join([drawn.title, *shown]))]
    )
