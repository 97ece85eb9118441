"""Dialogues about free scenes: all that people ask about a plain picture, and counting up to twelve. For training only.

Not here: the questions about one scene (scene_questions), dialogues about pairs of images (pair_talk).
"""

from collections import Counter
from collections.abc import Sequence
from random import Random

from drawn_world import palette
from drawn_world.item import Item, Turn, images_part, talk
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.free_scenes import Name, free_scene, named_scene, render_free
from drawn_world.shapes.scene_questions import GROUPS, About, about_names, about_presence
from drawn_world.shapes.shape_scenes import Scene
from drawn_world.task import Task
from drawn_world.wording import ask

MOST_COUNTED = 12


def scene_talk(rng: Random, split: str, ease: float) -> Item:
    """One to six shapes and four to six questions of all groups; in one of six items only one question.

    Ease 1: one or two plain shapes, each in a visual token.
    """
    scene = free_scene(rng, ease, *((1, 1) if rng.random() < 0.2 else (2, 6)))
    about = About(rng=rng, split=split, ease=ease, scene=scene)
    skipped = rng.choice((about_names, about_presence)) if len(scene.shapes) == 1 else None
    by_group = [(number, turn) for number, group in enumerate(GROUPS) if group is not skipped for turn in group(about)]
    wanted = 1 if rng.random() < 1 / 6 else rng.randint(4, 6)
    chosen = sorted(rng.sample(by_group, min(wanted, len(by_group))), key=lambda each: each[0])
    turns = [turn for _, turn in chosen]
    return talk("scene_talk", images_part([render_free(rng, scene, ease)]), turns, scene=scene.described())


def count_talk(rng: Random, split: str, ease: float) -> Item:
    """Up to twelve shapes, many of them alike; questions ask for the numbers of some kinds, colours and names, and of all.

    Ease 1: at most four shapes of one name, each in a visual token.
    """
    number = rng.randint(1, 4 + round((MOST_COUNTED - 4) * (1 - ease)))
    scene = named_scene(rng, ease, lambda colours: _crowd(rng, colours, number, ease))
    turns = _counts(rng, split, ease, scene)
    return talk("count_talk", images_part([render_free(rng, scene, ease)]), turns, scene=scene.described())


def _crowd(rng: Random, colours: Sequence[str], number: int, ease: float) -> list[Name]:
    """Names with repeats: one to four different ones, at ease 1 one."""
    different = 1 + int(rng.random() * 4 * (1 - ease))
    pool = [(rng.choice(colours), rng.choice(shapes.KINDS)) for _ in range(different)]
    if rng.random() < 0.3:
        pool = [(colour, pool[0][1]) for colour, _ in pool]
    return [rng.choice(pool) for _ in range(number)]


def _counts(rng: Random, split: str, ease: float, scene: Scene) -> list[Turn]:
    """Four to six questions in random order; one kind that is there is left out, so that no number is what remains."""
    kinds, colours, names = (Counter(getattr(s, what) for s in scene.shapes) for what in ("kind", "colour", "name"))
    some_kinds = rng.sample(sorted(kinds), max(1, len(kinds) - 1))[:2]
    some_kinds += rng.sample([kind for kind in shapes.KINDS if kind not in kinds], rng.randint(0, 1))
    some_colours = rng.sample(sorted(colours), max(1, len(colours) - 1))[:1]
    some_colours += rng.sample([colour for colour in palette.COLOURS if colour not in colours], rng.randint(0, 1))
    wanted = [(shapes.PLURALS[kind], kinds[kind]) for kind in some_kinds]
    wanted += [(f"{colour} {rng.choice(('shapes', 'objects', 'things'))}", colours[colour]) for colour in some_colours]
    wanted += [(rng.choice(("shapes", "objects", "things")), len(scene.shapes))]
    if len(names) > 2:
        name = rng.choice(sorted(names))
        wanted += [(_plural(name), names[name])]
    asked = rng.sample(wanted, 1 if rng.random() < 1 / 6 else min(len(wanted), rng.randint(4, 6)))
    turns = [(ask(rng, "count_things", ease, split, things=things), str(number)) for things, number in asked]
    absent = [name for name in (f"{c} {k}" for c in sorted(colours) for k in sorted(kinds)) if name not in names]
    if absent and len(turns) < 6 and rng.random() < 0.3:
        turns.append((ask(rng, "count_things", ease, split, things=_plural(rng.choice(absent))), "0"))
    return turns


def _plural(name: str) -> str:
    colour, kind = name.split()
    return f"{colour} {shapes.PLURALS[kind]}"


TASKS = (
    Task("scene_talk", scene_talk, "vqa", lesson=True, needs_fonts=False),
    Task("count_talk", count_talk, "vqa", lesson=True, needs_fonts=False),
)
