"""Questions about images of glyphs, one an image: name, caption, box, point, count, neighbour.

The kinds of glyphs are the same in all splits; sizes, backgrounds, arrangements and wordings are held out.
`truth["scene"]` of every item describes its image. How images are made is in glyph_scenes, the table of kinds in emoji,
the questions in glyph_quiz. Not here: lessons (glyph_lessons) and several images (picture_tasks).
"""

from random import Random

from drawn_world.glyphs.emoji import pick_names, plural
from drawn_world.glyphs.glyph_quiz import ALL_THINGS, NAMING, PLACING, RELATING, Quiz, different
from drawn_world.glyphs.glyph_scenes import Form, place
from drawn_world.glyphs.grounds import pick_ground
from drawn_world.item import Item, box_answer, place_truth, point_answer, text_truth
from drawn_world.shapes.shape_scenes import RELATIONS, article, name_truths
from drawn_world.task import Task
from qwen2vl.spec.config import FACTOR


def glyph_name(rng: Random, split: str, ease: float) -> Item:
    """The name of the only glyph. Ease 1: it fills an image of four visual tokens."""
    quiz = different(rng, split, ease, 1, NAMING)
    accept = name_truths(quiz.scene.glyphs[0].name)
    return quiz.item("glyph_name", accept[0], text_truth(*accept))


def glyph_caption(rng: Random, split: str, ease: float) -> Item:
    """Two to four glyphs from left to right: "a dog, a key". Ease 1: three of equal size in a row."""
    count = 3 if rng.random() < ease else rng.randint(2, 4)
    form = Form(cells=(count, 1), cell=2 * FACTOR, tokens=(4, 7), sides=(20, 47))
    while True:
        quiz = different(rng, split, ease, count, form)
        ordered = quiz.scene.in_order()
        if ordered:
            break
    answer = ", ".join(article(glyph.name) for glyph in ordered)
    return quiz.item("glyph_caption", answer, text_truth(answer, ", ".join(glyph.name for glyph in ordered)))


def glyph_ground(rng: Random, split: str, ease: float) -> Item:
    """The box of one of one to four glyphs."""
    quiz = different(rng, split, ease, rng.randint(1, 4), PLACING)
    box_px, size, label = quiz.scene.glyphs[0].box_px, quiz.scene.size, f"the {quiz.scene.glyphs[0].name}"
    truth = place_truth("box", box_px, size, label)
    return quiz.item("glyph_ground", box_answer(label, box_px, size), truth, label=label)


def glyph_point(rng: Random, split: str, ease: float) -> Item:
    """The centre of one of one to four glyphs."""
    quiz = different(rng, split, ease, rng.randint(1, 4), PLACING)
    box_px, size, label = quiz.scene.glyphs[0].box_px, quiz.scene.size, f"the {quiz.scene.glyphs[0].name}"
    truth = place_truth("point", box_px, size, label)
    return quiz.item("glyph_point", point_answer(box_px, size), truth, label=label)


def glyph_count(rng: Random, split: str, ease: float) -> Item:
    """The number of glyphs of one kind among others, or of all; one to nine, equally often."""
    ground, number = pick_ground(rng, split, ease), rng.randint(1, 9)
    kind, *others = pick_names(rng, 3, ease, ground.colours)
    if rng.random() < 0.65:
        extra = rng.randint(0, min(4, 10 - number))
        names, things = [kind] * number + rng.choices(others, k=extra), plural(kind)
    else:
        names, things = rng.choices([kind, *others], k=number), rng.choice(ALL_THINGS)
    form = Form(cells=(4, 4), cell=FACTOR, tokens=(5, 7), sides=(20, 34))
    quiz = Quiz(rng, split, ease, place(rng, split, ease, names, ground, form))
    return quiz.item("glyph_count", str(number), text_truth(str(number), counted=things), things=things)


def glyph_look_up(rng: Random, split: str, ease: float) -> Item:
    """The glyph left of, right of, above or below another one; the scene is made again until only one is there."""
    relation = rng.choice(RELATIONS)
    while True:
        quiz = different(rng, split, ease, 4 if rng.random() < ease else rng.randint(2, 4), RELATING)
        scene = quiz.scene
        clear = [(a, b) for b in scene.glyphs if (a := scene.neighbour(b, relation)) and not a[1]]
        if clear:
            break
    (target, _), b = rng.choice(clear)
    truth = text_truth(target.name, *name_truths(target.name), relation=relation, of=b.name)
    return quiz.item("glyph_look_up", target.name, truth, relation=relation, b=b.name)


TASKS = (
    Task("glyph_name", glyph_name, "vqa", in_exam=True),
    Task("glyph_caption", glyph_caption, "caption"),
    Task("glyph_ground", glyph_ground, "grounding", in_exam=True),
    Task("glyph_point", glyph_point, "grounding"),
    Task("glyph_count", glyph_count, "vqa"),
    Task("glyph_look_up", glyph_look_up, "vqa"),
)
