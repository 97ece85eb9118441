"""Dialogues about two free scenes: what changed between them, or what each of them shows. For training only.

Not here: pairs of small scenes (pairs, shape_tasks), dialogues about one image (scene_talk).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from drawn_world.item import Item, Size, Turn, images_part, talk
from drawn_world.palette import shade
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.free_scenes import Name, colours_on, look_of, named_scene, random_paper, random_size
from drawn_world.shapes.looks import Paper
from drawn_world.shapes.scene_questions import clearly_larger
from drawn_world.shapes.shape_scenes import Placed, Scene, article, fits, make_shape, moved, render
from drawn_world.task import Task
from drawn_world.wording import LABELS, ask

ORDINALS = ("first", "second")
CHANGES = ("missing", "new", "colour", "kind", "place")
LARGEST_SIDE = 252


def pair_talk(rng: Random, split: str, ease: float) -> Item:
    """Two images, and one to five questions about them: of one scene and its change, or of two scenes."""
    make = _one_scene_twice if rng.random() < 0.6 else _two_scenes
    scenes, turns = make(rng, split, ease)
    description = {"images": [scene.described() for scene in scenes]}
    return talk("pair_talk", images_part([render(rng, scene) for scene in scenes]), turns, scene=description)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A scene, the same with one shape changed, and the shapes that differ."""

    scenes: tuple[Scene, Scene]
    how: str
    """One of CHANGES, or "" for two equal scenes."""
    old: Placed
    new: Placed


def _one_scene_twice(rng: Random, split: str, ease: float) -> tuple[Sequence[Scene], list[Turn]]:
    """A scene, and the same again or with one change; whether it is the same comes before what has changed."""
    paper, size = random_paper(rng, ease), _small(rng, ease)
    most = 2 + round(3 * (1 - ease))
    changed = None
    while changed is None:
        names = _unlike(rng, rng.randint(1 if ease < 1 else 2, most))
        scene = named_scene(rng, ease, names, size, paper)
        changed = _change(rng, ease, scene, paper)
    turns = []
    if not changed.how or rng.random() < 0.5:
        turns.append((ask(rng, "two_same", ease, split), "no" if changed.how else "yes"))
    if changed.how and changed.how != "place" and (not turns or rng.random() < 0.6):
        turns.append(_what_changed(rng, split, ease, changed))
    if not turns:  # a change of place has no name in `difference`
        turns.append((ask(rng, "two_same", ease, split), "no"))
    which = rng.randrange(2)
    turns += _about_unchanged(rng, split, ease, changed, which) if rng.random() < 0.7 else []
    return changed.scenes, turns


def _change(rng: Random, ease: float, scene: Scene, paper: Paper) -> Change | None:
    """A change of the first shape, or none in two of five cases; None where the changed shape would not fit."""
    old, *others = scene.shapes
    how = rng.choice(CHANGES) if rng.random() < 0.6 else ""
    if not how:
        return Change(scenes=(scene, scene), how="", old=old, new=old)
    if how in ("missing", "new"):
        if not others:
            return None
        pair = (scene, replace(scene, shapes=tuple(others)))
        return Change(scenes=pair if how == "missing" else pair[::-1], how=how, old=old, new=old)
    new = _changed_shape(rng, ease, scene, old, how, paper)
    if not fits(scene.size, new, others):
        return None
    shuffled = rng.sample([new, *others], len(scene.shapes))
    return Change(scenes=(scene, replace(scene, shapes=tuple(shuffled))), how=how, old=old, new=new)


def _changed_shape(rng: Random, ease: float, scene: Scene, old: Placed, how: str, paper: Paper) -> Placed:
    """The shape in a colour or of a kind that no other one has, or at another place."""
    if how == "place":
        width, height = old.mask.size
        x, y = rng.randint(0, scene.size[0] - width), rng.randint(0, scene.size[1] - height)
        far = abs(x - old.x) + abs(y - old.y) >= max(24, sum(scene.size) // 12)
        return moved(old, x if far else -1, y)  # -1 does not fit
    if how == "colour":
        free = sorted(set(colours_on(paper)) - {shape.colour for shape in scene.shapes})
        colour = rng.choice(free or [old.colour])
        look = replace(old.look, border=0, second=None) if old.look else None
        new = replace(old, colour=colour, rgb=shade(rng, colour, paper.top, paper.bottom), look=look)
        return new if free else moved(new, -1, 0)
    kind = rng.choice(sorted(set(shapes.KINDS) - {shape.kind for shape in scene.shapes}))
    new = look_of(rng, make_shape(rng, kind, old.colour, old.side), paper, ease)
    new = replace(new, rgb=old.rgb)
    x, y = (int(middle - extent / 2) for middle, extent in zip(old.centre, new.mask.size, strict=True))
    return moved(new, x, y)


def _what_changed(rng: Random, split: str, ease: float, changed: Change) -> Turn:
    if rng.random() < 0.3:
        return ask(rng, "which_changed", ease, split), changed.old.name
    now = {
        "missing": "missing",
        "new": "new",
        "colour": f"now {changed.new.colour}",
        "kind": f"now a {changed.new.kind}",
    }
    return ask(rng, "what_changed", ease, split), f"the {changed.old.name} is {now[changed.how]}"


def _about_unchanged(rng: Random, split: str, ease: float, changed: Change, which: int) -> list[Turn]:
    """The number of shapes of one image, and the colour of a shape that did not change."""
    scene = changed.scenes[which]
    turns = [_number(rng, split, ease, scene, which)]
    same = [shape for shape in scene.shapes if shape not in (changed.old, changed.new)]
    if same:
        shape = rng.choice(same)
        turns.append((ask(rng, "colour_in_one", ease, split, kind=shape.kind, which=ORDINALS[which]), shape.colour))
    return turns


def _number(rng: Random, split: str, ease: float, scene: Scene, which: int) -> Turn:
    things = rng.choice(("shapes", "objects", "things"))
    question = ask(rng, "number_in_one", ease, split, things=things, which=ORDINALS[which])
    return question, str(len(scene.shapes))


def _two_scenes(rng: Random, split: str, ease: float) -> tuple[Sequence[Scene], list[Turn]]:
    """Two scenes that may share a name; questions are about one, or compare them."""
    most = 2 + round(2 * (1 - ease))
    scenes = [named_scene(rng, ease, _unlike(rng, rng.randint(1, most)), _small(rng, ease)) for _ in ORDINALS]
    turns: list[Turn] = []
    for which, scene in enumerate(scenes):
        shape = rng.choice(scene.shapes)
        turns.append((ask(rng, "colour_in_one", ease, split, kind=shape.kind, which=ORDINALS[which]), shape.colour))
    turns += _which_of_two(rng, split, ease, scenes)
    turns = rng.sample(turns, 1 if rng.random() < 1 / 6 else min(len(turns), rng.randint(3, 4)))
    if rng.random() < 0.4:  # last, because two numbers tell which is larger
        which = rng.randrange(2)
        turns.append(_number(rng, split, ease, scenes[which], which))
    return scenes, turns


def _which_of_two(rng: Random, split: str, ease: float, scenes: Sequence[Scene]) -> list[Turn]:
    turns: list[Turn] = []
    kinds = [{shape.kind: shape for shape in scene.shapes} for scene in scenes]
    counts = [len(scene.shapes) for scene in scenes]
    if counts[0] != counts[1]:
        question = ask(rng, "which_fuller", ease, split, things=rng.choice(("shapes", "objects", "things")))
        turns.append((question, ORDINALS[counts[1] > counts[0]]))
    both, one = sorted(kinds[0].keys() & kinds[1].keys()), sorted(kinds[0].keys() ^ kinds[1].keys())
    if one:
        kind = rng.choice(one)
        turns.append((ask(rng, "which_holds", ease, split, thing=article(kind)), ORDINALS[kind in kinds[1]]))
    if both and one:
        yes = rng.random() < 0.5
        question = ask(rng, "kind_in_both", ease, split, kind=rng.choice(both if yes else one))
        turns.append((question, "yes" if yes else "no"))
    pairs = [(kind, kinds[0][kind], kinds[1][kind]) for kind in both]
    pairs = [(kind, a, b) for kind, a, b in pairs if clearly_larger(a, b) or clearly_larger(b, a)]
    if pairs:
        kind, a, b = rng.choice(pairs)
        word = rng.choice(LABELS["larger_words"])
        second = clearly_larger(b, a) != (word == "smaller")
        turns.append((ask(rng, "larger_in_one", ease, split, kind=kind, larger=word), ORDINALS[second]))
    return turns


def _unlike(rng: Random, number: int) -> Callable[[Sequence[str]], list[Name]]:
    """Picks up to `number` names of which no two share a colour or a kind."""
    return lambda colours: list(
        zip(rng.sample(colours, min(number, len(colours))), rng.sample(shapes.KINDS, number), strict=False)
    )


def _small(rng: Random, ease: float) -> Size | None:
    """A size that leaves room for a second image; None, with probability `ease`, for a scene in visual tokens."""
    if rng.random() < ease:
        return None
    width, height = random_size(rng, ease)
    share = min(1, LARGEST_SIDE / max(width, height))
    return max(84, round(width * share)), max(84, round(height * share))


TASKS = (Task("pair_talk", pair_talk, "multi_image", lesson=True, needs_fonts=False),)
