"""Lessons about places: boxes and points of several shapes, asked in both directions. For training only.

No image has a single shape: its box would be the box of all that is drawn, so a model could answer without looking for
the named one. Each lesson is a task of its own, so that they can be compared. Coordinates in questions and answers are
thousandths of the image. Not here: questions about shapes in words (scene_talk), place lessons in small scenes (shape_lessons).
"""

from collections.abc import Callable, Sequence
from math import dist
from random import Random

from drawn_world.item import MAX_TURNS, Item, Turn, box_answer, images_part, point_answer, talk
from drawn_world.shapes.free_scenes import free_scene, render_free
from drawn_world.shapes.shape_scenes import Placed, Scene
from drawn_world.task import Task
from drawn_world.wording import ask
from qwen2vl.processing.grounding import point_markup, to_thousandths

Ask = Callable[[Random, str, float, Scene], list[Turn]]
"""Makes the turns about a scene from a stream of random numbers, a split and an ease."""


def reading_order(shapes: Sequence[Placed]) -> list[Placed]:
    """Shapes row by row from the top, every row from the left.

    A shape belongs to the row of the topmost one that is left if its centre is above the bottom edge of that one.
    """
    left, ordered = sorted(shapes, key=lambda shape: shape.box_px[1]), []
    while left:
        bottom = left[0].box_px[3]
        row = [shape for shape in left if shape.centre[1] < bottom]
        ordered += sorted(row, key=lambda shape: shape.centre[0])
        left = [shape for shape in left if shape not in row]
    return ordered


def _list_boxes(rng: Random, split: str, ease: float, scene: Scene) -> list[Turn]:
    """The labels and boxes of all shapes in reading order."""
    return [(ask(rng, "list_boxes", ease, split), box_lines(scene.shapes, scene))]


def box_lines(shapes: Sequence[Placed], scene: Scene) -> str:
    """A label and a box for each of some shapes, one a line, in reading order."""
    return "\n".join(box_answer(shape.name, shape.box_px, scene.size) for shape in reading_order(shapes))


def _list_points(rng: Random, split: str, ease: float, scene: Scene) -> list[Turn]:
    """The labels and centres of all shapes in reading order."""
    lines = [
        point_markup(to_thousandths(shape.centre, scene.size), shape.name) for shape in reading_order(scene.shapes)
    ]
    return [(ask(rng, "list_points", ease, split), "\n".join(lines))]


def _name_box(rng: Random, split: str, ease: float, scene: Scene) -> list[Turn]:
    """The names of the shapes in boxes that the questions give."""
    some = rng.sample(scene.shapes, min(len(scene.shapes), MAX_TURNS))
    return [(ask(rng, "name_box", ease, split, box=box_text(shape, scene)), shape.name) for shape in some]


def _pick_box(rng: Random, split: str, ease: float, scene: Scene) -> list[Turn]:
    """The box of a shape, chosen from the boxes of up to five shapes, which the question gives."""
    turns = []
    for target in rng.sample(scene.shapes, min(len(scene.shapes), 4)):
        others = rng.sample([shape for shape in scene.shapes if shape is not target], min(len(scene.shapes) - 1, 4))
        boxes = " or ".join(box_text(shape, scene) for shape in rng.sample([target, *others], len(others) + 1))
        label = f"the {target.name}"
        answer = box_answer(label, target.box_px, scene.size)
        turns.append((ask(rng, "pick_box", ease, split, label=label, boxes=boxes), answer))
    return turns


def _shape_at(rng: Random, split: str, ease: float, scene: Scene) -> list[Turn]:
    """The names of the shapes at points, or next to points, that the questions give; at ease 1 always at their centres."""
    turns = []
    for target in rng.sample(scene.shapes, min(len(scene.shapes), MAX_TURNS)):
        near = _point_near(rng, scene, target) if rng.random() >= max(ease, 0.6) else None
        point = near or _point_in(rng, target, ease)
        x, y = to_thousandths(point, scene.size)
        turns.append((ask(rng, "shape_near" if near else "shape_at", ease, split, point=f"({x},{y})"), target.name))
    return turns


def _point_in(rng: Random, shape: Placed, ease: float) -> tuple[float, float]:
    """A point of the middle half of a box; with probability `ease` its centre."""
    if rng.random() < ease:
        return shape.centre
    x1, y1, x2, y2 = shape.box_px
    return x1 + (x2 - x1) * rng.uniform(0.25, 0.75), y1 + (y2 - y1) * rng.uniform(0.25, 0.75)


def _point_near(rng: Random, scene: Scene, shape: Placed) -> tuple[float, float] | None:
    """A point outside all boxes, at most half as far from this shape as from any other one; None if tries fail."""
    for _ in range(10):
        point = rng.uniform(0, scene.size[0] - 1), rng.uniform(0, scene.size[1] - 1)
        away = {id(each): gap(point, each) for each in scene.shapes}
        own = away.pop(id(shape))
        if own > 1 and own * 2 <= min(away.values()):
            return point
    return None


def gap(point: tuple[float, float], shape: Placed) -> float:
    """Distance in pixels from a point to the box of a shape, 0 inside it."""
    x1, y1, x2, y2 = shape.box_px
    nearest = min(max(point[0], x1), x2), min(max(point[1], y1), y2)
    return dist(point, nearest)


def _place_talk(rng: Random, split: str, ease: float, scene: Scene) -> list[Turn]:
    """The boxes and centres of up to six shapes in random order."""
    some = rng.sample(scene.shapes, min(len(scene.shapes), MAX_TURNS))
    return [ask_where(rng, split, ease, scene, shape) for shape in some]


def ask_where(rng: Random, split: str, ease: float, scene: Scene, shape: Placed, label: str = "") -> Turn:
    """A question for the box of a shape, or in two of five cases for its centre.

    label: what the question and the box call it; "" gives colour and kind.
    """
    label = label or f"the {shape.name}"
    if rng.random() < 0.6:
        return ask(rng, "where", ease, split, label=label), box_answer(label, shape.box_px, scene.size)
    return ask(rng, "point_to", ease, split, label=label), point_answer(shape.box_px, scene.size)


def box_text(shape: Placed, scene: Scene) -> str:
    """A box as users write it: "(12,40),(200,310)", in thousandths."""
    left, top, right, bottom = to_thousandths(shape.box_px, scene.size)
    return f"({left},{top}),({right},{bottom})"


def _lesson(name: str, make_turns: Ask, low: int, high: int) -> Task:
    """A lesson about scenes of `low` to `high` shapes."""

    def make(rng: Random, split: str, ease: float) -> Item:
        scene = free_scene(rng, ease, low, high)
        turns = make_turns(rng, split, ease, scene)
        return talk(name, images_part([render_free(rng, scene, ease)]), turns, scene=scene.described())

    return Task(name, make, "grounding", lesson=True, needs_fonts=False)


TASKS = (
    _lesson("list_boxes", _list_boxes, 2, 6),
    _lesson("list_points", _list_points, 2, 6),
    _lesson("name_box", _name_box, 2, 8),
    _lesson("pick_box", _pick_box, 2, 8),
    _lesson("shape_at", _shape_at, 2, 8),
    _lesson("place_talk", _place_talk, 4, 8),
)
