"""Two and three images: what differs, where the same shape is, which image has what; and counting to nine.

For training only: pair_rows, pair_dialogue, and two lessons in the simplest geometry for what stayed at chance without
one: equal_cells (are two shapes equal?) and count_rows (counting aloud). Not here: `compare` (tasks).
"""

from collections.abc import Sequence
from random import Random
from typing import Any

from PIL import Image

from drawn_world import palette
from drawn_world.item import Item, Turn, image_item, images_part, talk, text_truth
from drawn_world.palette import Rgb
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import (
    Placed,
    Scene,
    apart,
    draw_scene,
    in_cell,
    make_shape,
    moved,
    name_truths,
    render,
    scatter,
)
from drawn_world.task import Task
from drawn_world.wording import phrase, read_wordings, texts_of
from qwen2vl.spec.config import FACTOR

Size = tuple[int, int]
Name = tuple[str, str]  # colour, kind

SMALL, MIDDLE = (2 * FACTOR, 2 * FACTOR), (3 * FACTOR, 3 * FACTOR)
ORDINALS = ("first", "second", "third")
EASY_KINDS = ("circle", "cross", "square", "star", "triangle", "ring", "diamond")
"""Those that are easily told apart first."""
EASY_COLOURS = ("red", "blue", "green", "black", "purple", "orange", "yellow", "pink", "white")
MAX_COUNT = 9

QUESTIONS = read_wordings("pairs")
WORDS = (*ORDINALS, "both", "neither", "missing", "new", "now", "is", *texts_of(QUESTIONS))


def _ask(rng: Random, wording: str, split: str, ease: float, /, **parts: str) -> str:
    return phrase(rng, QUESTIONS[wording], ease, split, **parts)


def described(scene: Scene) -> dict[str, Any]:
    """The JSON form of a scene, complete enough to draw it again."""
    placed = [
        {"kind": s.kind, "colour": s.colour, "rgb": list(s.rgb), "side": s.side, "turn": s.turn, "x": s.x, "y": s.y}
        for s in scene.shapes
    ]
    return {"size": list(scene.size), "ground": list(scene.ground), "shapes": placed}


def _images(rng: Random, scenes: Sequence[Scene]) -> list[Image.Image]:
    """All of them with light noise, one time in four."""
    drawn = [draw_scene(scene) for scene in scenes]
    return [palette.noisy(rng, each, rng.randint(2, 6)) for each in drawn] if rng.random() < 0.25 else drawn


def _item(rng: Random, task: str, scenes: Sequence[Scene], question: str, *answers: str) -> Item:
    """The first answer is supervised, all of them are right."""
    truth = text_truth(*answers, scene={"images": [described(scene) for scene in scenes]})
    return image_item(task, _images(rng, scenes), question, answers[0], truth)


def _distinct(rng: Random, count: int, ground: Rgb) -> list[Name]:
    """No colour and no kind twice."""
    colours, kinds = rng.sample(palette.colours_on(ground), count), rng.sample(shapes.KINDS, count)
    return list(zip(colours, kinds, strict=True))


def _arranged(rng: Random, size: Size, names: Sequence[Name], ground: Rgb, ease: float) -> Scene:
    """Shapes that do not touch; with probability `ease` each fills a visual token of its own."""
    if rng.random() >= ease:
        return scatter(rng, size, list(names), 16, 34 if len(names) < 4 else 28, ground)
    columns, rows = size[0] // FACTOR, size[1] // FACTOR
    cells = rng.sample(range(columns * rows), len(names))
    placed = [
        in_cell(make_shape(rng, kind, colour, FACTOR - 3), cell % columns, cell // columns)
        for (colour, kind), cell in zip(names, cells, strict=True)
    ]
    return Scene(size=size, ground=ground, shapes=tuple(placed))


def difference(rng: Random, split: str, ease: float) -> Item:
    """The second image has one shape less or more, or one of another colour or kind: what is different, or which."""
    size = (
        MIDDLE
        if rng.random() < ease
        else rng.choice((MIDDLE, MIDDLE, (4 * FACTOR, 3 * FACTOR), (3 * FACTOR, 4 * FACTOR)))
    )
    ground, change = palette.background(rng, ease), rng.choice(("missing", "new", "colour", "kind"))
    count = 2 if rng.random() < ease else rng.randint(2, 4)
    while True:
        colours, kinds = rng.sample(palette.colours_on(ground), count + 1), rng.sample(shapes.KINDS, count + 1)
        full = _arranged(rng, size, list(zip(colours[1:], kinds[1:], strict=True)), ground, ease)
        old, *others = full.shapes
        new = _as_now(rng, old, colours[0] if change == "colour" else "", kinds[0] if change == "kind" else "")
        if _fits(size, new, others):
            break
    fewer, other = _with(full, others), _with(full, _shuffled(rng, [new, *others]))
    scenes = {"missing": (full, fewer), "new": (fewer, full)}.get(change, (full, other))
    if rng.random() < ease or rng.random() < 0.6:
        now = {"missing": "missing", "new": "new", "colour": f"now {new.colour}", "kind": f"now a {new.kind}"}[change]
        return _item(rng, "difference", scenes, _ask(rng, "difference", split, ease), *_sentences(old.name, now))
    answers = old.name, *name_truths(old.name), *name_truths(new.name)
    return _item(rng, "difference", scenes, _ask(rng, "different_shape", split, ease), *answers)


def _sentences(name: str, now: str) -> tuple[str, ...]:
    return f"the {name} is {now}", f"{name} is {now}", f"the {name} is {now}."


def _with(scene: Scene, placed: Sequence[Placed]) -> Scene:
    return Scene(size=scene.size, ground=scene.ground, shapes=tuple(placed))


def _shuffled(rng: Random, placed: list[Placed]) -> list[Placed]:
    return rng.sample(placed, len(placed))


def _as_now(rng: Random, old: Placed, colour: str, kind: str) -> Placed:
    """The shape in another colour or of another kind ("" keeps it), about the same middle."""
    rgb = palette.jitter(rng, palette.COLOURS[colour]) if colour else old.rgb
    turn = rng.choice(shapes.TURNS.get(kind, (0,))) if kind else old.turn
    kind, colour = kind or old.kind, colour or old.colour
    extent = shapes.mask(kind, old.side, turn).size
    x, y = (int(middle - length / 2) for middle, length in zip(old.centre, extent, strict=True))
    return Placed(kind=kind, colour=colour, rgb=rgb, side=old.side, turn=turn, x=x, y=y)


def _fits(size: Size, shape: Placed, others: Sequence[Placed]) -> bool:
    x1, y1, x2, y2 = shape.box_px
    inside = x1 >= 0 and y1 >= 0 and x2 <= size[0] and y2 <= size[1]
    return inside and all(apart(shape.box_px, other.box_px, 1) for other in others)


def same_object(rng: Random, split: str, ease: float) -> Item:
    """Three images of one shape each: which has the same shape, or the same colour, as the first.

    With probability `ease` exactly one of the two others; else one, both or neither.
    """
    what, ground = rng.choice(("shape", "colour")), palette.background(rng, ease)
    colours = palette.colours_on(ground)
    answer = rng.choice(("second", "third") if rng.random() < ease else ("second", "third", "both", "neither"))
    reference = rng.choice(colours), rng.choice(shapes.KINDS)
    names = [reference]
    for place in ("second", "third"):
        alike = answer in (place, "both")
        kind = _alike(rng, reference[1], shapes.KINDS, alike if what == "shape" else rng.random() < 0.4)
        colour = _alike(rng, reference[0], colours, alike if what == "colour" else rng.random() < 0.4)
        names.append((colour, kind))
    one_ground = rng.random() < 0.5 + ease / 2
    scenes = []
    for name in names:
        own = ground if one_ground else _ground_for(rng, name[0])
        scenes.append(_one_shape(rng, name, own, ease))
    return _item(rng, "same_object", scenes, _ask(rng, "same_object", split, ease, what=what), answer, f"the {answer}")


def _alike(rng: Random, value: str, pool: Sequence[str], alike: bool) -> str:
    return value if alike else rng.choice([each for each in pool if each != value])


def _ground_for(rng: Random, colour: str) -> Rgb:
    """A ground on which this colour stands out."""
    while True:
        ground = palette.background(rng)
        if colour in palette.colours_on(ground):
            return ground


def _one_shape(rng: Random, name: Name, ground: Rgb, ease: float) -> Scene:
    """One shape anywhere; with probability `ease` in the first visual token of the smallest image."""
    if rng.random() < ease:
        shape = in_cell(make_shape(rng, name[1], name[0], FACTOR - 3), 0, 0)
        return Scene(size=SMALL, ground=ground, shapes=(shape,))
    size = rng.choice((SMALL, (3 * FACTOR, 2 * FACTOR), MIDDLE))
    return scatter(rng, size, [name], 20, min(size) - 8, ground)


def which_picture(rng: Random, split: str, ease: float) -> Item:
    """Two or three images: which one has a shape of a colour, or more shapes than the others."""
    count = 2 if rng.random() < ease else rng.randint(2, 3)
    return (_which_has if rng.random() < 0.6 else _which_more)(rng, split, ease, count)


def _which_has(rng: Random, split: str, ease: float, count: int) -> Item:
    """Away from ease 1 the others show the kind in another colour or another kind in the colour."""
    ground, where = palette.background(rng, ease), rng.randrange(count)
    colours = palette.colours_on(ground)
    colour, kind = rng.choice(colours), rng.choice(shapes.KINDS)
    scenes = []
    for index in range(count):
        names = [(colour, kind)] if index == where else []
        lure = rng.random() >= ease and index != where
        if lure:
            other_kind, other_colour = _alike(rng, kind, shapes.KINDS, False), _alike(rng, colour, colours, False)
            names.append(rng.choice(((colour, other_kind), (other_colour, kind))))
        while len(names) < 1 or (len(names) < 3 and rng.random() < 0.5 * (1 - ease)):
            names.append((_alike(rng, colour, colours, False), _alike(rng, kind, shapes.KINDS, False)))
        scenes.append(_arranged(rng, MIDDLE, names, ground, ease))
    name = f"{colour} {kind}"
    return _item(rng, "which_picture", scenes, _ask(rng, "which_has", split, ease, thing=name), *_ordinal(where))


def _which_more(rng: Random, split: str, ease: float, count: int) -> Item:
    ground, where = palette.background(rng, ease), rng.randrange(count)
    gap = 2 if rng.random() < ease else 1
    most = rng.randint(1 + gap, 5)
    numbers = [most if index == where else rng.randint(1, most - gap) for index in range(count)]
    pool = [(colour, kind) for colour in palette.colours_on(ground) for kind in shapes.KINDS]
    scenes = [_arranged(rng, MIDDLE, rng.sample(pool, number), ground, ease) for number in numbers]
    question = _ask(rng, "which_more" if count == 2 else "which_most", split, ease)
    return _item(rng, "which_picture", scenes, question, *_ordinal(where))


def _ordinal(index: int) -> tuple[str, str, str]:
    return ORDINALS[index], f"the {ORDINALS[index]}", f"the {ORDINALS[index]} picture"


def pair_rows(rng: Random, split: str, ease: float) -> Item:
    """The shapes of two images in reading order: four an image at ease 1, each a visual token, else two rows of up to four."""
    ground, simple = palette.background(rng, ease), rng.random() < ease
    columns, rows = (4, 1) if simple else rng.choice(((4, 1), (2, 2), (3, 2), (4, 2)))
    cell = FACTOR if rng.random() < ease else rng.randint(FACTOR, 36)
    scenes = [_grid(rng, ground, columns, rows, cell, ease) for _ in range(2)]
    lines = [
        f"{which}: {', '.join(s.name for s in scene.shapes)}" for which, scene in zip(ORDINALS, scenes, strict=False)
    ]
    return _lesson(rng, "pair_rows", scenes, [(_ask(rng, "pair_rows", split, ease), "\n".join(lines))])


def _grid(rng: Random, ground: Rgb, columns: int, rows: int, cell: int, ease: float) -> Scene:
    """A shape in every cell: in its middle with probability `ease`, else anywhere within."""
    placed, colours, aligned = [], palette.colours_on(ground), rng.random() < ease
    for index in range(columns * rows):
        side = cell - 3 if aligned else rng.randint(18, cell - 3)
        shape = make_shape(rng, rng.choice(shapes.KINDS), rng.choice(colours), side)
        spare = [cell - extent for extent in shape.mask.size]
        x, y = [room // 2 if aligned else rng.randint(0, room) for room in spare]
        placed.append(moved(shape, index % columns * cell + x, index // columns * cell + y))
    return Scene(size=(columns * cell, rows * cell), ground=ground, shapes=tuple(placed))


def _lesson(rng: Random, task: str, scenes: Sequence[Scene], turns: Sequence[Turn]) -> Item:
    told = {"images": [described(scene) for scene in scenes]}
    return talk(task, images_part(_images(rng, scenes)), turns, scene=told)


def pair_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Two images of one to three shapes, some of them in both: four to six questions about one or both."""
    ground, scenes = palette.background(rng, ease), []
    earlier: list[Name] = []
    for _ in range(2):
        names = _distinct(rng, rng.randint(1, 3), ground)
        if earlier and rng.random() < 0.7:
            kept = rng.choice(earlier)
            names = [kept, *(name for name in names if kept[0] != name[0] and kept[1] != name[1])]
        scenes.append(_arranged(rng, MIDDLE, rng.sample(names, len(names)), ground, ease))
        earlier = names
    turns = [*_about_one(rng, split, ease, scenes), *_about_both(rng, split, ease, scenes)]
    return _lesson(rng, "pair_dialogue", scenes, rng.sample(turns, min(len(turns), rng.randint(4, 6))))


def _about_one(rng: Random, split: str, ease: float, scenes: Sequence[Scene]) -> list[Turn]:
    turns: list[Turn] = []
    for which, scene in zip(ORDINALS, scenes, strict=False):
        turns.append((_ask(rng, "count_in", split, ease, which=which), str(len(scene.shapes))))
        shape = rng.choice(scene.shapes)
        turns.append((_ask(rng, "colour_in", split, ease, kind=shape.kind, which=which), shape.colour))
    return turns


def _about_both(rng: Random, split: str, ease: float, scenes: Sequence[Scene]) -> list[Turn]:
    names = [[shape.name for shape in scene.shapes] for scene in scenes]
    kinds = [{shape.kind for shape in scene.shapes} for scene in scenes]
    turns = []
    if len(names[0]) != len(names[1]):
        turns.append((_ask(rng, "which_more", split, ease), ORDINALS[len(names[1]) > len(names[0])]))
    for index in range(2):
        alone = [name for name in names[index] if name not in names[1 - index]]
        if alone:
            turns.append((_ask(rng, "which_has", split, ease, thing=rng.choice(alone)), ORDINALS[index]))
    both, one = sorted(kinds[0] & kinds[1]), sorted(kinds[0] ^ kinds[1])
    if both and one:  # as often yes as no
        yes = rng.random() < 0.5
        kind = rng.choice(both if yes else one)
        turns.append((_ask(rng, "in_both", split, ease, kind=kind), "yes" if yes else "no"))
    return turns


def equal_cells(rng: Random, split: str, ease: float) -> Item:
    """Two images of one shape each: name both, same colour?, same shape? Ease 1: two colours, two kinds, one place.

    Names come first in half of the items, so that equality is answered from words there, and last in the others.
    """
    ground = palette.background(rng, ease)
    known = 2 + round((1 - ease) * (len(EASY_KINDS) - 2)), 2 + round((1 - ease) * (len(EASY_COLOURS) - 2))
    kinds, colours = EASY_KINDS[: known[0]], [each for each in EASY_COLOURS if each in palette.colours_on(ground)]
    colours = colours[: max(2, known[1])]
    same_colour, same_kind = rng.random() < 0.5, rng.random() < 0.5
    first = rng.choice(colours), rng.choice(kinds)
    second = _alike(rng, first[0], colours, same_colour), _alike(rng, first[1], kinds, same_kind)
    scenes = [_one_shape(rng, name, ground, ease) for name in (first, second)]
    equal = [
        (_ask(rng, "same_colour", split, ease), "yes" if same_colour else "no"),
        (_ask(rng, "same_shape", split, ease), "yes" if same_kind else "no"),
    ]
    equal = equal if rng.random() < ease else rng.sample(equal, 2)
    names = _ask(rng, "name_both", split, ease), ", ".join(scene.shapes[0].name for scene in scenes)
    return _lesson(rng, "equal_cells", scenes, [names, *equal] if rng.random() < 0.5 else [*equal, names])


def count_rows(rng: Random, split: str, ease: float) -> Item:
    """One to nine shapes of a kind, counted aloud ("1 2 3") and asked for their number, in either order.

    Ease 1: cells of one size of image filled in reading order, so that the number is where the row ends. Then cells
    anywhere, and free places at last.
    """
    scene, things = _many(rng, ease, easy=rng.random() < ease, in_order=rng.random() < ease)
    number = len(scene.shapes)
    turns = [
        (_ask(rng, "count_aloud", split, ease, things=things), " ".join(str(each + 1) for each in range(number))),
        (_ask(rng, "how_many", split, ease, things=things), str(number)),
    ]
    told = {"images": [described(scene)], "things": things}
    return talk("count_rows", images_part([render(rng, scene)]), rng.sample(turns, 2), scene=told)


def count_nine(rng: Random, split: str, ease: float) -> Item:
    """How many shapes there are, one to nine: in free places, in cells with probability `ease`."""
    scene, things = _many(rng, ease, easy=rng.random() < ease, in_order=False)
    number = str(len(scene.shapes))
    truth = text_truth(number, scene={"images": [described(scene)], "things": things})
    question = _ask(rng, "how_many", split, ease, things=things)
    return image_item("count_nine", [render(rng, scene)], question, number, truth)


def _many(rng: Random, ease: float, *, easy: bool, in_order: bool) -> tuple[Scene, str]:
    """A scene of one to nine shapes and what they are called; easy: in cells that they fill."""
    number, ground = rng.randint(1, MAX_COUNT), palette.background(rng, ease)
    colours = palette.colours_on(ground)
    one_kind, one_colour = rng.random() < max(ease, 0.6), rng.random() < max(ease, 0.4)
    kind, colour = rng.choice(shapes.KINDS), rng.choice(colours)
    names = [
        (colour if one_colour else rng.choice(colours), kind if one_kind else rng.choice(shapes.KINDS))
        for _ in range(number)
    ]
    if easy:
        columns, rows = (3, 3) if rng.random() < ease else rng.choice(((3, 3), (4, 3), (4, 4), (5, 4)))
        cells = range(number) if in_order else rng.sample(range(columns * rows), number)
        placed = [
            in_cell(make_shape(rng, kind, colour, FACTOR - 3), cell % columns, cell // columns)
            for (colour, kind), cell in zip(names, cells, strict=True)
        ]
        scene = Scene(size=(columns * FACTOR, rows * FACTOR), ground=ground, shapes=tuple(placed))
    else:
        size = rng.randint(4, 6) * FACTOR, rng.randint(4, 6) * FACTOR
        scene = scatter(rng, size, names, 16, 40 if number < 5 else 30, ground)
    return scene, shapes.PLURALS[kind] if one_kind else "shapes"


TASKS = (
    Task("difference", difference, "multi_image", needs_fonts=False, exams=("exam",), words=WORDS),
    Task("same_object", same_object, "multi_image", needs_fonts=False, words=WORDS),
    Task("which_picture", which_picture, "multi_image", needs_fonts=False, words=WORDS),
    Task("count_nine", count_nine, "vqa", needs_fonts=False, exams=("exam",), words=WORDS),
    Task("pair_rows", pair_rows, "multi_image", lesson=True, needs_fonts=False, words=WORDS),
    Task("pair_dialogue", pair_dialogue, "multi_image", lesson=True, needs_fonts=False, words=WORDS),
    Task("equal_cells", equal_cells, "multi_image", lesson=True, needs_fonts=False, words=WORDS),
    Task("count_rows", count_rows, "vqa", lesson=True, needs_fonts=False, words=WORDS),
)
