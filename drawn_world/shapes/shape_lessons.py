"""Lessons about shapes: single skills in their simplest form, and dialogues about one image. For training only.

With falling `ease` every lesson widens towards the tasks that are scored. In a dialogue several questions share the cost
of one image. Not here: the tasks themselves (shape_tasks), lessons about pairs of images (pairs) and about videos (motion).
"""

from collections import Counter
from itertools import permutations
from random import Random

from drawn_world import palette
from drawn_world.item import MAX_TURNS, Item, Turn, box_answer, dialogue_item, point_answer
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import (
    OPPOSITE_RELATION,
    RELATIONS,
    Placed,
    Scene,
    article,
    distinct_names,
    image_size,
    in_cell,
    make_shape,
    moved,
    render,
    scatter,
)
from drawn_world.shapes.shape_tasks import holds, in_order
from drawn_world.task import Task, without_split
from drawn_world.wording import ask
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


def _nudged(rng: Random, shape: Placed, size: tuple[int, int]) -> Placed:
    """The shape up to six pixels off, within the image."""
    width, height = shape.mask.size
    x, y = shape.x + rng.randint(-6, 6), shape.y + rng.randint(-6, 6)
    return moved(shape, min(size[0] - width, max(0, x)), min(size[1] - height, max(0, y)))


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
    return holds(relation, a, b) or holds(OPPOSITE_RELATION[relation], a, b)


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


TASKS = (
    Task("shape_rows", without_split(shape_rows), "caption", lesson=True, needs_fonts=False),
    Task("look_up", without_split(look_up), "vqa", lesson=True, needs_fonts=False),
    Task("tell_apart", without_split(tell_apart), "vqa", lesson=True, needs_fonts=False),
    Task("place_cells", without_split(place_cells), "grounding", lesson=True, needs_fonts=False),
    Task("place_one", without_split(place_one), "grounding", lesson=True, needs_fonts=False),
    Task("name_dialogue", without_split(name_dialogue), "vqa", lesson=True, needs_fonts=False),
    Task("place_dialogue", without_split(place_dialogue), "grounding", lesson=True, needs_fonts=False),
)
