"""Dialogues about two to four images of glyphs: which picture shows a thing, what is in one, what is in both. For training only.

Not here: pairs of images of shapes (shapes.pairs).
"""

from collections.abc import Sequence
from random import Random

from drawn_world.glyphs.emoji import names_at, pick_names, stands_out
from drawn_world.glyphs.glyph_quiz import NAMING, PLACING
from drawn_world.glyphs.glyph_scenes import GlyphScene, place, render
from drawn_world.glyphs.grounds import pick_ground
from drawn_world.item import MAX_TURNS, Item, Turn, images_part, talk
from drawn_world.shapes.shape_scenes import article
from drawn_world.task import Task
from drawn_world.wording import LABELS, ask

ORDINALS = ("first", "second", "third", "fourth")


def picture_talk(rng: Random, split: str, ease: float) -> Item:
    """Three to six questions about two to four images. Ease 1: two images of one glyph each."""
    count = 2 if rng.random() < ease else rng.randint(2, 4)
    scenes: list[GlyphScene] = []
    for _ in range(count):
        number = 1 if rng.random() < max(ease, 0.4) else rng.randint(1, 4)
        ground = pick_ground(rng, split, ease)
        names = pick_names(rng, number, ease, ground.colours)
        if scenes and rng.random() < 0.5:  # half of the later images share a thing with the first
            shared = scenes[0].glyphs[0].name
            names = (
                list(dict.fromkeys([shared, *names]))[:number]
                if all(stands_out(shared, colour) for colour in ground.colours)
                else names
            )
        scenes.append(place(rng, split, ease, names, ground, NAMING if number == 1 else PLACING))
    turns = _about_all(rng, split, ease, scenes)
    if rng.random() < 0.5:
        turns += _about_one(rng, split, ease, scenes)
    elif len(scenes) == 2:
        turns += _about_both(rng, split, ease, scenes)
    else:
        turns += _where_is(rng, split, ease, scenes)
    turns = rng.sample(turns, min(len(turns), rng.randint(3, MAX_TURNS)))
    images = [render(rng, scene) for scene in scenes]
    return talk("picture_talk", images_part(images), turns, scene={"images": [scene.facts() for scene in scenes]})


def _about_one(rng: Random, split: str, ease: float, scenes: Sequence[GlyphScene]) -> list[Turn]:
    """The names in one image from left to right, and the place of a thing of another one."""
    first, second = rng.sample(range(len(scenes)), 2)
    turns = _where_is(rng, split, ease, scenes, second)
    if ordered := scenes[first].in_order():
        question = ask(rng, "picture_what", ease, split, which=ORDINALS[first])
        turns.append((question, ", ".join(article(glyph.name) for glyph in ordered)))
    return turns


def _where_is(
    rng: Random, split: str, ease: float, scenes: Sequence[GlyphScene], only: int | None = None
) -> list[Turn]:
    """Which image shows a thing, for one or two things that one image alone shows; only: its number, or None for any."""
    shown = [{glyph.name for glyph in scene.glyphs} for scene in scenes]
    alone = sorted(
        (name, index)
        for index, names in enumerate(shown)
        for name in names
        if only in (None, index) and sum(name in other for other in shown) == 1
    )
    picked = rng.sample(alone, min(1 if only is not None else 2, len(alone)))
    return [(ask(rng, "picture_which", ease, split, thing=article(name)), ORDINALS[index]) for name, index in picked]


def _about_both(rng: Random, split: str, ease: float, scenes: Sequence[GlyphScene]) -> list[Turn]:
    """What two images have in common, or whether it is the same thing in both."""
    one, two = ({glyph.name for glyph in scene.glyphs} for scene in scenes)
    shared = sorted(one & two)
    if len(one) == len(two) == 1 and (not shared or rng.random() < 0.5):
        return [(ask(rng, "picture_equal", ease, split), "yes" if shared else "no")]
    return [(ask(rng, "picture_shared", ease, split), article(shared[0]))] if len(shared) == 1 else []


def _about_all(rng: Random, split: str, ease: float, scenes: Sequence[GlyphScene]) -> list[Turn]:
    """The number of images, of things in one of them, which has the most, and where a thing is that none shows."""
    numbers, which = [len(scene.glyphs) for scene in scenes], rng.randrange(len(scenes))
    turns = [
        (ask(rng, "picture_number", ease, split), str(len(scenes))),
        (ask(rng, "picture_count", ease, split, which=ORDINALS[which]), str(numbers[which])),
    ]
    if numbers.count(max(numbers)) == 1:
        turns.append((ask(rng, "picture_most", ease, split), ORDINALS[numbers.index(max(numbers))]))
    if rng.random() < 0.4:
        shown = {glyph.name for scene in scenes for glyph in scene.glyphs}
        name = rng.choice([name for name in names_at(ease) if name not in shown])
        turns.append((ask(rng, "picture_which", ease, split, thing=article(name)), LABELS["cannot_tell"][0]))
    return turns


TASKS: tuple[Task, ...] = (Task("picture_talk", picture_talk, "multi_image", lesson=True),)
