"""Articles: text and images in turn, each image followed by what it shows. A lesson of pre-training, without a question.

Records of them are documents, supervised in all of their text. They came when nano's vocabulary was settled: what they
say besides is spelled.
"""

from random import Random
from typing import Any

from drawn_world.glyphs.emoji import pick_names, plural
from drawn_world.glyphs.glyph_scenes import GlyphScene, pick_ground, place, render
from drawn_world.glyphs.glyph_tasks import PLACING
from drawn_world.item import Item, text_truth
from drawn_world.shapes.shape_scenes import article
from drawn_world.task import Task
from drawn_world.wording import phrase, read_wordings

QUESTIONS = read_wordings("articles")
"""Its sentences: not questions, but worded by split like those."""
MOST_IMAGES, MOST_THINGS = 4, 3
NUMBERS = ("no", "one", "two", "three")


def glyph_article(rng: Random, split: str, ease: float) -> Item:
    """Two to four images of one to three things of a kind; the last sentence tells how many there were in all."""
    count = 2 if rng.random() < ease else rng.randint(2, MOST_IMAGES)
    scenes = [_of_one_kind(rng, split, ease) for _ in range(count)]
    content: list[dict[str, Any]] = []
    for scene in scenes:
        sentence = _told(rng, split, ease, scene)
        content += [{"type": "image", "image": render(rng, scene)}, {"type": "text", "text": f"{sentence}\n"}]
    total = str(sum(len(scene.glyphs) for scene in scenes))
    answer = phrase(rng, QUESTIONS["in_all"], ease, split, number=total)
    truth = text_truth(answer, scene={"images": [scene.facts() for scene in scenes]})
    return Item(task="glyph_article", messages=[{"role": "user", "content": content}], answer=answer, truth=truth)


def _of_one_kind(rng: Random, split: str, ease: float) -> GlyphScene:
    ground = pick_ground(rng, split, ease)
    (name,) = pick_names(rng, 1, ease, (ground.first, ground.second))
    number = 1 if rng.random() < ease else rng.randint(1, MOST_THINGS)
    return place(rng, split, ease, [name] * number, ground, PLACING)


def _told(rng: Random, split: str, ease: float, scene: GlyphScene) -> str:
    name, number = scene.glyphs[0].name, len(scene.glyphs)
    if number == 1:
        return phrase(rng, QUESTIONS["one"], ease, split, thing=article(name))
    return phrase(rng, QUESTIONS["several"], ease, split, number=NUMBERS[number], things=plural(name))


TASKS = (Task("glyph_article", glyph_article, "interleaved", lesson=True),)
