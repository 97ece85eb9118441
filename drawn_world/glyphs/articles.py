"""Articles: images and sentences in turn, each sentence about the image before it. A lesson without a question.

Their records are documents; all of the text is supervised. This lesson was added after nano's vocabulary was fixed, so
it adds no words; a tokenizer spells new ones in parts.
"""

from random import Random
from typing import Any

from drawn_world.glyphs.emoji import pick_names, plural
from drawn_world.glyphs.glyph_quiz import PLACING
from drawn_world.glyphs.glyph_scenes import GlyphScene, place, render
from drawn_world.glyphs.grounds import pick_ground
from drawn_world.item import Item, text_truth
from drawn_world.shapes.shape_scenes import article
from drawn_world.task import Task
from drawn_world.wording import ask


def glyph_article(rng: Random, split: str, ease: float) -> Item:
    """Two to four images of one to three things of a kind; the last sentence gives the number of things in all."""
    count = 2 if rng.random() < ease else rng.randint(2, 4)
    scenes = [_one_kind(rng, split, ease) for _ in range(count)]
    content: list[dict[str, Any]] = []
    for scene in scenes:
        name, number = scene.glyphs[0].name, len(scene.glyphs)
        if number == 1:
            sentence = ask(rng, "one", ease, split, thing=article(name))
        else:
            parts = {"number": {2: "two", 3: "three"}[number], "things": plural(name)}
            sentence = ask(rng, "several", ease, split, **parts)
        content += [{"type": "image", "image": render(rng, scene)}, {"type": "text", "text": f"{sentence}\n"}]
    total = str(sum(len(scene.glyphs) for scene in scenes))
    answer = ask(rng, "in_all", ease, split, number=total)
    truth = text_truth(answer, scene={"images": [scene.facts() for scene in scenes]})
    return Item(task="glyph_article", messages=[{"role": "user", "content": content}], answer=answer, truth=truth)


def _one_kind(rng: Random, split: str, ease: float) -> GlyphScene:
    ground = pick_ground(rng, split, ease)
    (name,) = pick_names(rng, 1, ease, ground.colours)
    number = 1 if rng.random() < ease else rng.randint(1, 3)
    return place(rng, split, ease, [name] * number, ground, PLACING)


TASKS = (Task("glyph_article", glyph_article, "interleaved", lesson=True),)
