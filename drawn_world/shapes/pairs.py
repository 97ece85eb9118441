"""Two and three images: what differs, where the same shape is, which image has a shape; and counting to nine.

For training only: count_rows (counting aloud). Not here: `compare` (shape_tasks), and dialogues (pair_talk).
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from PIL import Image

from drawn_world import palette
from drawn_world.item import Item, Size, image_item, images_part, talk, text_truth
from drawn_world.palette import Rgb
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import (
    Scene,
    draw_scene,
    fill_cells,
    fits,
    name_truths,
    render,
    scatter,
    turned_into,
)
from drawn_world.task import Task
from drawn_world.wording import ask
from qwen2vl.spec.config import FACTOR

MIDDLE = (3 * FACTOR, 3 * FACTOR)
ORDINALS = ("first", "second", "third")


def _images(rng: Random, scenes: Sequence[Scene]) -> list[Image.Image]:
    """The images of scenes; in one of four cases all have light noise."""
    drawn = [draw_scene(scene) for scene in scenes]
    return [palette.noisy(rng, each, rng.randint(2, 6)) for each in drawn] if rng.random() < 0.25 else drawn


def _item(rng: Random, task: str, scenes: Sequence[Scene], question: str, *answers: str) -> Item:
    """An item whose first answer is supervised; all answers count as right."""
    truth = text_truth(*answers, scene={"images": [scene.described() for scene in scenes]})
    return image_item(task, _images(rng, scenes), question, answers[0], truth)


def _arranged(rng: Random, size: Size, names: Sequence[tuple[str, str]], ground: Rgb, ease: float) -> Scene:
    """Shapes of these colours and kinds that do not touch; with probability `ease` each fills its own visual token."""
    if rng.random() >= ease:
        return scatter(rng, size, list(names), 16, 34 if len(names) < 4 else 28, ground)
    return fill_cells(rng, size, names, ground)


def difference(rng: Random, split: str, ease: float) -> Item:
    """What is different, or which shape is: the second image has one less or more, or one of another colour or kind."""
    sizes = (MIDDLE, MIDDLE, (4 * FACTOR, 3 * FACTOR), (3 * FACTOR, 4 * FACTOR))
    size = MIDDLE if rng.random() < ease else rng.choice(sizes)
    ground, change = palette.background(rng, ease), rng.choice(("missing", "new", "colour", "kind"))
    count = 2 if rng.random() < ease else rng.randint(2, 4)
    while True:
        colours, kinds = rng.sample(palette.colours_on(ground), count + 1), rng.sample(shapes.KINDS, count + 1)
        full = _arranged(rng, size, list(zip(colours[1:], kinds[1:], strict=True)), ground, ease)
        old, *others = full.shapes
        new = turned_into(rng, old, colours[0] if change == "colour" else "", kinds[0] if change == "kind" else "")
        if fits(size, new, others):
            break
    fewer = replace(full, shapes=tuple(others))
    other = replace(full, shapes=tuple(rng.sample([new, *others], count)))
    scenes = {"missing": (full, fewer), "new": (fewer, full)}.get(change, (full, other))
    if rng.random() < ease or rng.random() < 0.6:
        now = {"missing": "missing", "new": "new", "colour": f"now {new.colour}", "kind": f"now a {new.kind}"}[change]
        question = ask(rng, "difference", ease, split)
        answers = f"the {old.name} is {now}", f"{old.name} is {now}", f"the {old.name} is {now}."
        return _item(rng, "difference", scenes, question, *answers)
    question = ask(rng, "different_shape", ease, split)
    return _item(rng, "difference", scenes, question, old.name, *name_truths(old.name), *name_truths(new.name))


def same_object(rng: Random, split: str, ease: float) -> Item:
    """Three images of one shape each; the question is which has the same shape, or the same colour, as the first.

    With probability `ease` exactly one of the two others has; else one, both or neither.
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
        if not one_ground:
            ground = palette.background(rng)
            while name[0] not in palette.colours_on(ground):
                ground = palette.background(rng)
        scenes.append(_one_shape(rng, name, ground, ease))
    question = ask(rng, "same_object", ease, split, what=what)
    return _item(rng, "same_object", scenes, question, answer, f"the {answer}")


def _alike(rng: Random, value: str, pool: Sequence[str], alike: bool) -> str:
    """The same value, or another one of the pool."""
    return value if alike else rng.choice([each for each in pool if each != value])


def _one_shape(rng: Random, name: tuple[str, str], ground: Rgb, ease: float) -> Scene:
    """One shape anywhere; with probability `ease` in the first visual token of the smallest image."""
    small = (2 * FACTOR, 2 * FACTOR)
    if rng.random() < ease:
        return fill_cells(rng, small, [name], ground, [0])
    size = rng.choice((small, (3 * FACTOR, 2 * FACTOR), MIDDLE))
    return scatter(rng, size, [name], 20, min(size) - 8, ground)


def which_picture(rng: Random, split: str, ease: float) -> Item:
    """Two or three images; the question is which one has a shape of a colour, or more shapes than the others."""
    count = 2 if rng.random() < ease else rng.randint(2, 3)
    return (_which_has if rng.random() < 0.6 else _which_more)(rng, split, ease, count)


def _which_has(rng: Random, split: str, ease: float, count: int) -> Item:
    """Below ease 1 the other images show the same kind in another colour, or another kind in the same colour."""
    ground, where = palette.background(rng, ease), rng.randrange(count)
    colours = palette.colours_on(ground)
    colour, kind = rng.choice(colours), rng.choice(shapes.KINDS)
    scenes = []
    for index in range(count):
        names = [(colour, kind)] if index == where else []
        if rng.random() >= ease and index != where:
            other_kind, other_colour = _alike(rng, kind, shapes.KINDS, False), _alike(rng, colour, colours, False)
            names.append(rng.choice(((colour, other_kind), (other_colour, kind))))
        while len(names) < 1 or (len(names) < 3 and rng.random() < 0.5 * (1 - ease)):
            names.append((_alike(rng, colour, colours, False), _alike(rng, kind, shapes.KINDS, False)))
        scenes.append(_arranged(rng, MIDDLE, names, ground, ease))
    name = f"{colour} {kind}"
    return _item(rng, "which_picture", scenes, ask(rng, "which_has_thing", ease, split, thing=name), *_ordinal(where))


def _which_more(rng: Random, split: str, ease: float, count: int) -> Item:
    ground, where = palette.background(rng, ease), rng.randrange(count)
    gap = 2 if rng.random() < ease else 1
    most = rng.randint(1 + gap, 5)
    numbers = [most if index == where else rng.randint(1, most - gap) for index in range(count)]
    pool = [(colour, kind) for colour in palette.colours_on(ground) for kind in shapes.KINDS]
    scenes = [_arranged(rng, MIDDLE, rng.sample(pool, number), ground, ease) for number in numbers]
    question = ask(rng, "which_more" if count == 2 else "which_most", ease, split)
    return _item(rng, "which_picture", scenes, question, *_ordinal(where))


def _ordinal(index: int) -> tuple[str, str, str]:
    return ORDINALS[index], f"the {ORDINALS[index]}", f"the {ORDINALS[index]} picture"


def count_rows(rng: Random, split: str, ease: float) -> Item:
    """One to nine shapes; one question asks to count aloud ("1 2 3"), one for the number, in either order.

    Ease 1: shapes fill cells of one size of image in reading order, so that the position of the last shape gives the
    number. With less ease they fill random cells, then lie anywhere.
    """
    scene, things = _many(rng, ease, easy=rng.random() < ease, in_order=rng.random() < ease)
    number = len(scene.shapes)
    turns = [
        (
            ask(rng, "count_aloud", ease, split, things=things),
            " ".join(str(each + 1) for each in range(number)),
        ),
        (ask(rng, "how_many", ease, split, things=things), str(number)),
    ]
    description = {"images": [scene.described()], "things": things}
    return talk("count_rows", images_part([render(rng, scene)]), rng.sample(turns, 2), scene=description)


def count_nine(rng: Random, split: str, ease: float) -> Item:
    """The number of shapes, one to nine; they lie anywhere or, with probability `ease`, in cells."""
    scene, things = _many(rng, ease, easy=rng.random() < ease, in_order=False)
    number = str(len(scene.shapes))
    truth = text_truth(number, scene={"images": [scene.described()], "things": things})
    question = ask(rng, "how_many", ease, split, things=things)
    return image_item("count_nine", [render(rng, scene)], question, number, truth)


def _many(rng: Random, ease: float, *, easy: bool, in_order: bool) -> tuple[Scene, str]:
    """A scene of one to nine shapes, and the word for them; easy: each fills a cell."""
    number, ground = rng.randint(1, 9), palette.background(rng, ease)
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
        scene = fill_cells(rng, (columns * FACTOR, rows * FACTOR), names, ground, cells)
    else:
        size = rng.randint(4, 6) * FACTOR, rng.randint(4, 6) * FACTOR
        scene = scatter(rng, size, names, 16, 40 if number < 5 else 30, ground)
    return scene, shapes.PLURALS[kind] if one_kind else "shapes"


TASKS = (
    Task("difference", difference, "multi_image", needs_fonts=False, in_exam=True),
    Task("same_object", same_object, "multi_image", needs_fonts=False),
    Task("which_picture", which_picture, "multi_image", needs_fonts=False),
    Task("count_nine", count_nine, "vqa", needs_fonts=False, in_exam=True),
    Task("count_rows", count_rows, "vqa", lesson=True, needs_fonts=False),
)
