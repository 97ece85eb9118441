"""Questions about one image of shapes (name, count, relation, box, point, caption), and about two (compare)."""

from dataclasses import replace
from itertools import pairwise
from random import Random

from drawn_world import palette
from drawn_world.item import Item, box_answer, image_item, place_truth, point_answer, text_truth
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import (
    OPPOSITE_RELATION,
    RELATIONS,
    Placed,
    Scene,
    article,
    distinct_names,
    draw_scene,
    fits,
    image_size,
    make_shape,
    moved,
    name_truths,
    render,
    scatter,
)
from drawn_world.task import Task, without_split
from drawn_world.wording import ask


def colour_shape(rng: Random, ease: float) -> Item:
    """Colour of a shape, shape of a colour, or the name of the only shape."""
    ground = palette.background(rng, ease)
    question_kind = rng.choice(("colour", "shape", "name"))
    count = 1 if question_kind == "name" or rng.random() < 0.35 else rng.randint(2, 3)
    colours = rng.sample(palette.colours_on(ground), count)
    names = list(zip(colours, rng.sample(shapes.KINDS, count), strict=True))
    scene = scatter(rng, image_size(rng, 3, 5, ease), names, 24, 76 if count == 1 else 48, ground)
    target = scene.shapes[0]
    answers = {"colour": (target.colour,), "shape": (target.kind,), "name": name_truths(target.name)}[question_kind]
    truth = text_truth(*answers, article(answers[0]) if question_kind == "shape" else answers[0])
    question = ask(rng, question_kind, ease, kind=target.kind, colour=target.colour)
    return image_item("colour_shape", [render(rng, scene)], question, answers[0], truth)


def count(rng: Random, ease: float) -> Item:
    """The number of shapes of a kind, of a colour, or in all; zero to five, equally often."""
    ground = palette.background(rng, ease)
    number, mode = rng.randint(0, 5), rng.choice(("kind", "kind", "colour", "all"))
    kind, colour = rng.choice(shapes.KINDS), rng.choice(palette.colours_on(ground))
    others = [(c, k) for c in palette.colours_on(ground) for k in shapes.KINDS]
    others = [pair for pair in others if (pair[1] != kind if mode == "kind" else pair[0] != colour)]
    if mode == "kind":
        wanted = [(rng.choice(palette.colours_on(ground)), kind) for _ in range(number)]
    elif mode == "colour":
        wanted = [(colour, rng.choice(shapes.KINDS)) for _ in range(number)]
    else:
        wanted = [rng.choice(others) for _ in range(number)]
    extra = [] if mode == "all" else [rng.choice(others) for _ in range(rng.randint(0, 6 - number))]
    scene = scatter(rng, image_size(rng, 4, 6, ease), wanted + extra, 18, 34, ground)
    names = {"kind": shapes.PLURALS[kind], "colour": f"{colour} shapes", "all": rng.choice(("shapes", "objects"))}
    things = names[mode]
    truth = text_truth(str(number), counted=things)
    return image_item("count", [render(rng, scene)], ask(rng, "count", ease, things=things), str(number), truth)


def holds(relation: str, a: Placed, b: Placed) -> bool:
    """Whether a relation clearly holds: a and b do not overlap along its axis."""
    first, second = a.box_px, b.box_px
    return {
        "left of": first[2] <= second[0],
        "right of": first[0] >= second[2],
        "above": first[3] <= second[1],
        "below": first[1] >= second[3],
    }[relation]


def relate(rng: Random, ease: float) -> Item:
    """Whether a relation holds, or what is in that relation; the scene is made again until the answer is clear."""
    what = rng.random() < 0.35
    yes, relation = rng.random() < 0.5, rng.choice(RELATIONS)
    ground, size = palette.background(rng, ease), image_size(rng, 3, 5, ease)
    names = distinct_names(rng, rng.choice((2, 2, 3)), ground)
    wanted = relation if yes or what else OPPOSITE_RELATION[relation]
    while True:
        scene = scatter(rng, size, names, 18, 36, ground)
        a, b, *rest = scene.shapes
        if holds(wanted, a, b) and not (what and any(not holds(OPPOSITE_RELATION[relation], s, b) for s in rest)):
            break
    image = render(rng, scene)
    if what:
        truth = text_truth(a.name, *name_truths(a.name))
        return image_item("relate", [image], ask(rng, "relate_what", ease, relation=relation, b=b.name), a.name, truth)
    answer = "yes" if yes else "no"
    question = ask(rng, "relate", ease, relation=relation, a=a.name, b=b.name)
    return image_item("relate", [image], question, answer, text_truth(answer))


def in_order(scene: Scene) -> list[Placed] | None:
    """Shapes from left to right, or None if two centres are less than 14 pixels (one patch) apart horizontally."""
    ordered = sorted(scene.shapes, key=lambda shape: shape.centre[0])
    clear = all(b.centre[0] - a.centre[0] >= 14 for a, b in pairwise(ordered))
    return ordered if clear else None


def one_of_several(rng: Random, ease: float) -> Scene:
    """A scene of one to four shapes, where questions ask for the first."""
    ground = palette.background(rng, ease)
    names = distinct_names(rng, rng.randint(1, 4), ground)
    return scatter(rng, image_size(rng, 3, 6, ease), names, 20, 56 if len(names) < 3 else 44, ground)


def ground(rng: Random, ease: float) -> Item:
    """The box of one of one to four shapes."""
    return ground_in(rng, one_of_several(rng, ease), ease)


def ground_in(rng: Random, scene: Scene, ease: float) -> Item:
    """The box of the first shape of a scene."""
    target, label = scene.shapes[0], f"the {scene.shapes[0].name}"
    answer = box_answer(label, target.box_px, scene.size)
    truth = place_truth("box", target.box_px, scene.size, label)
    return image_item("ground", [render(rng, scene)], ask(rng, "ground", ease, label=label), answer, truth)


def point(rng: Random, ease: float) -> Item:
    """The centre of one of one to four shapes."""
    scene = one_of_several(rng, ease)
    target, label = scene.shapes[0], f"the {scene.shapes[0].name}"
    truth = place_truth("point", target.box_px, scene.size, label)
    answer = point_answer(target.box_px, scene.size)
    return image_item("point", [render(rng, scene)], ask(rng, "point", ease, label=label), answer, truth)


def caption(rng: Random, ease: float) -> Item:
    """All shapes from left to right."""
    ground, size = palette.background(rng, ease), image_size(rng, 3, 5, ease)
    names = distinct_names(rng, rng.randint(1, 3), ground)
    while True:
        scene = scatter(rng, size, names, 20, 44, ground)
        ordered = in_order(scene)
        if ordered:
            break
    answer = ", ".join(article(shape.name) for shape in ordered)
    return image_item("caption", [render(rng, scene)], ask(rng, "caption", ease), answer, text_truth(answer))


def compare(rng: Random, ease: float) -> Item:
    """Whether two images are the same, in which one a shape is larger, or which one has a shape."""
    return rng.choice((_same, _same, _same, _larger_in, _which_has))(rng, ease)


def _same(rng: Random, ease: float) -> Item:
    ground = palette.background(rng, ease)
    size = (84, 84) if rng.random() < 0.85 else image_size(rng, 3, 4)
    one = scatter(rng, size, distinct_names(rng, rng.randint(1, 3), ground), 20, 34, ground)
    same = rng.random() < 0.5
    two = one if same else _changed(rng, one)
    question = rng.choice(("same", "same", "same_or_different"))
    yes, no = ("yes", "no") if question == "same" else ("same", "different")
    answer = yes if same else no
    images = [draw_scene(one), draw_scene(two)]
    if rng.random() < 0.25:
        images = [palette.noisy(rng, image, rng.randint(2, 6)) for image in images]
    return image_item("compare", images, ask(rng, question, ease), answer, text_truth(answer))


def _changed(rng: Random, scene: Scene) -> Scene:
    """The scene with one clear difference: a colour, a kind, a place, one shape more or less."""
    while True:
        change, index = rng.choice(("colour", "kind", "place", "number")), rng.randrange(len(scene.shapes))
        old, others = scene.shapes[index], [*scene.shapes[:index], *scene.shapes[index + 1 :]]
        if change == "number":
            if others and rng.random() < 0.5:
                return replace(scene, shapes=tuple(others))
            others.append(old)
        new = _new_shape(rng, scene, old, change)
        if new and (change == "colour" or fits(scene.size, new, others, 2)):
            return replace(scene, shapes=(*others, new))


def _new_shape(rng: Random, scene: Scene, old: Placed, change: str) -> Placed | None:
    """The shape that replaces the old one or is added to the scene; None if the new place is too near the old one."""
    if change == "colour":
        colour = rng.choice([name for name in palette.colours_on(scene.ground) if name != old.colour])
        return replace(old, colour=colour, rgb=make_shape(rng, old.kind, colour, old.side).rgb)
    if change == "kind":
        kind = rng.choice([name for name in shapes.KINDS if name != old.kind])
        return moved(make_shape(rng, kind, old.colour, old.side), old.x, old.y)
    if change == "place":
        width, height = old.mask.size
        x, y = rng.randint(0, scene.size[0] - width), rng.randint(0, scene.size[1] - height)
        far = abs(x - old.x) + abs(y - old.y) >= 24
        return moved(old, x, y) if far else None
    new = make_shape(rng, rng.choice(shapes.KINDS), rng.choice(palette.colours_on(scene.ground)), rng.randint(20, 30))
    return moved(new, rng.randint(0, scene.size[0] - new.side), rng.randint(0, scene.size[1] - new.side))


def _larger_in(rng: Random, ease: float) -> Item:
    kind = rng.choice(shapes.KINDS)
    small = rng.randint(18, 34)
    sides = [small, rng.randint(small * 3 // 2, 72)]
    rng.shuffle(sides)
    images = []
    for side in sides:
        ground = palette.background(rng, ease)
        names = [(rng.choice(palette.colours_on(ground)), kind)]
        images.append(render(rng, scatter(rng, (84, 84), names, side, side, ground)))
    answer = "first" if sides[0] > sides[1] else "second"
    return image_item("compare", images, ask(rng, "larger_in", ease, kind=kind), answer, text_truth(answer))


def _which_has(rng: Random, ease: float) -> Item:
    kind, *others = rng.sample(shapes.KINDS, 4)
    where = rng.randrange(2)
    images = []
    for index in range(2):
        ground = palette.background(rng, ease)
        kinds = ([kind] if index == where else [others[0]]) + others[1 : 1 + rng.randint(0, 1)]
        names = [(rng.choice(palette.colours_on(ground)), each) for each in kinds]
        images.append(render(rng, scatter(rng, (84, 84), names, 20, 36, ground)))
    answer = ("first", "second")[where]
    return image_item("compare", images, ask(rng, "which_has", ease, kind=kind), answer, text_truth(answer))


TASKS = (
    Task("colour_shape", without_split(colour_shape), "vqa", needs_fonts=False, in_exam=True),
    Task("count", without_split(count), "vqa", needs_fonts=False),
    Task("relate", without_split(relate), "vqa", needs_fonts=False, in_exam=True),
    Task("ground", without_split(ground), "grounding", needs_fonts=False, in_exam=True),
    Task("point", without_split(point), "grounding", needs_fonts=False),
    Task("caption", without_split(caption), "caption", needs_fonts=False),
    Task("compare", without_split(compare), "multi_image", needs_fonts=False, in_exam=True),
)
