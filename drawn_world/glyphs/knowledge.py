"""Questions about a thing whose answer is not visible: its class, whether it flies, its number of legs. For training only.

This lesson was added after nano's vocabulary was fixed, so it adds no words; a tokenizer spells new ones in parts.
"""

from random import Random

from drawn_world.glyphs.emoji import names_at, stands_out
from drawn_world.glyphs.glyph_quiz import NAMING
from drawn_world.glyphs.glyph_scenes import place, render
from drawn_world.glyphs.grounds import pick_ground
from drawn_world.item import Item, image_item, text_truth
from drawn_world.shapes.shape_scenes import name_truths
from drawn_world.task import Task
from drawn_world.wording import FILES, ask

ANSWERS: dict[str, dict[str, list[str]]] = FILES["knowledge"]["answers"]
"""Question to its answers, each with the names of the things for which it is right."""


def glyph_know(rng: Random, split: str, ease: float) -> Item:
    """One thing, and one question whose answer cannot be seen. Ease 1: it fills an image of four visual tokens."""
    form, ground = rng.choice(tuple(FILES["knowledge"]["questions"])), pick_ground(rng, split, ease)
    answers_of = ANSWERS["kind" if form == "is_a" else form]
    known = [name for name in names_at(ease) if any(name in names for names in answers_of.values())]
    clear = [name for name in known if all(stands_out(name, colour) for colour in ground.colours)]
    # Every answer equally often: most animals have four legs.
    groups = [[name for name in clear if name in names] for names in answers_of.values()]
    name = rng.choice(rng.choice([group for group in groups if group]))
    scene = place(rng, split, ease, [name], ground, NAMING)
    answer = next(answer for answer, names in answers_of.items() if name in names)
    answers: tuple[str, ...] = (answer,)
    kind = ""
    if form == "is_a":
        yes = rng.random() >= 0.5
        kind = answer if yes else rng.choice([other for other in answers_of if other != answer])
        kind, answers = name_truths(kind)[0], ("yes" if yes else "no",)
    elif form == "kind":
        answers = name_truths(answer)
    question = ask(rng, form, ease, split, kind=kind)
    truth = text_truth(*answers, scene=scene.facts())
    return image_item("glyph_know", [render(rng, scene)], question, answers[0], truth)


TASKS = (Task("glyph_know", glyph_know, "knowledge", lesson=True),)
