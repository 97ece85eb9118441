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
    fill_cells,
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
    turns = [ask_place(rng, shape, scene, ease) for shape in scene.shapes]
    return dialogue_item("place_cells", render(rng, scene), turns)


def place_one(rng: Random, ease: float) -> Item:
    """Two to four shapes; one question asks for the box or the centre of one of them, so the name decides.

    One question an image: a second one could be answered by excluding the answer to the first. Ease 1: two shapes of two
    colours and two kinds, each filling its visual token, one size of image, always the box. Every property widens
    independently, so that at a medium ease most images are hard in only one way.
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
    """Six shapes in cells, no colour and no kind twice; questions ask for the colour of a kind or the kind of a colour.

    Five shapes on one background in 4,000, where fewer colours stand out.
    """
    return _look_up(rng, "look_up", 6, ease)


def tell_apart(rng: Random, ease: float) -> Item:
    """The questions of `look_up` about one to four shapes: with one shape, looking is learned before choosing."""
    return _look_up(rng, "tell_apart", rng.randint(1, 4), ease)


def _look_up(rng: Random, task: str, count: int, ease: float) -> Item:
    ground = palette.background(rng, ease)
    columns, rows = (4, 3) if rng.random() < ease else (rng.randint(3, 5), rng.randint(2, 5))
    colours = palette.colours_on(ground)
    count = min(count, len(colours))
    names = list(zip(rng.sample(colours, count), rng.sample(shapes.KINDS, count), strict=True))
    scene = fill_cells(rng, (columns * FACTOR, rows * FACTOR), names, ground)
    turns = [  # one question a shape: with two, the text of the first would answer the second
        (ask(rng, "colour", ease, kind=shape.kind), shape.colour)
        if rng.random() < 0.5
        else (ask(rng, "shape", ease, colour=shape.colour), shape.kind)
        for shape in scene.shapes
    ]
    return dialogue_item(task, render(rng, scene), turns)


def name_dialogue(rng: Random, ease: float) -> Item:
    """One to four shapes, and up to six questions with short answers: colours, kinds, relations, counts."""
    scene = _few_shapes(rng, ease)
    kinds, colours = (Counter(getattr(shape, what) for shape in scene.shapes) for what in ("kind", "colour"))
    turns = [(ask(rng, "colour", ease, kind=s.kind), s.colour) for s in scene.shapes if kinds[s.kind] == 1]
    turns += [(ask(rng, "shape", ease, colour=s.colour), s.kind) for s in scene.shapes if colours[s.colour] == 1]
    turns += _about_relations(rng, scene, ease)
    kind, colour = rng.choice(shapes.KINDS), rng.choice(scene.shapes).colour
    kind = rng.choice(scene.shapes).kind if rng.random() < 0.7 else kind
    turns += [
        (ask(rng, "count", ease, things=rng.choice(("shapes", "objects"))), str(len(scene.shapes))),
        (ask(rng, "count", ease, things=shapes.PLURALS[kind]), str(kinds[kind])),
        (ask(rng, "count", ease, things=f"{colour} shapes"), str(colours[colour])),
    ]
    rng.shuffle(turns)
    return dialogue_item("name_dialogue", render(rng, scene), turns[:MAX_TURNS])


def place_dialogue(rng: Random, ease: float) -> Item:
    """One to four shapes; questions ask for the box or the centre of each, and sometimes first for all names."""
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
    """A question and answer about the box of a shape or, with probability 1 - `boxes`, about its centre."""
    label, box = f"the {shape.name}", rng.random() < boxes
    answer = box_answer(label, shape.box_px, scene.size) if box else point_answer(shape.box_px, scene.size)
    return ask(rng, "ground" if box else "point", ease, label=label), answer


def _few_shapes(rng: Random, ease: float) -> Scene:
    ground = palette.background(rng, ease)
    names = distinct_names(rng, rng.choice((1, 2, 3, 3, 4)), ground)
    names += [rng.choice(names)] if rng.random() < 0.25 else []
    return scatter(rng, image_size(rng, 3, 5, ease), names, 18, 60 if len(names) < 3 else 36, ground)


def _about_relations(rng: Random, scene: Scene, ease: float) -> list[Turn]:
    """Up to two yes-or-no questions about pairs of shapes with unique names, where the answer is clear along that axis."""
    names = Counter(shape.name for shape in scene.shapes)
    unique = [shape for shape in scene.shapes if names[shape.name] == 1]
    clear = [
        (a, b, relation)
        for a, b in permutations(unique, 2)
        for relation in RELATIONS
        if holds(relation, a, b) or holds(OPPOSITE_RELATION[relation], a, b)
    ]
    return [
        (ask(rng, "relate", ease, relation=relation, a=a.name, b=b.name), "yes" if holds(relation, a, b) else "no")
        for a, b, relation in rng.sample(clear, min(2, len(clear)))
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
