"""Questions about images of glyphs: name, caption, box, point, count, neighbour; and lessons on the same.

Kinds of glyphs are the same in all splits; sizes, grounds, arrangements and wordings are held out. `truth["scene"]` of
every item describes its image. Drawing is in scenes, the table of kinds in emoji.
"""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

from drawn_world.glyphs import emoji
from drawn_world.glyphs.emoji import names_at, pick_names, plural
from drawn_world.glyphs.glyph_scenes import (
    Form,
    Glyph,
    GlyphScene,
    Ground,
    in_cell,
    pick_ground,
    place,
    render,
)
from drawn_world.item import (
    MAX_TURNS,
    Item,
    Turn,
    box_answer,
    dialogue_item,
    image_item,
    place_truth,
    point_answer,
    text_truth,
)
from drawn_world.shapes.shape_scenes import RELATIONS, article, name_truths
from drawn_world.task import Task
from drawn_world.wording import phrase, read_wordings, texts_of
from qwen2vl.spec.config import FACTOR

QUESTIONS = read_wordings("glyphs")
CORNERS = ("upper left", "upper right", "lower left", "lower right")
ALL_THINGS = ("things", "objects")
WORDS = (*emoji.NAMES, *map(plural, emoji.NAMES), *ALL_THINGS, "upper", "lower", "just", *texts_of(QUESTIONS))
"""Names and plurals of all kinds, and what answers and questions say besides the wordings."""
MAX_COUNTED = 9
CLEAR_STEP = FACTOR // 2  # one patch: middles closer than that have no clear order

NAMING = Form(cells=(1, 1), cell=2 * FACTOR, tokens=(3, 5), sides=(20, 84))
PLACING = Form(cells=(2, 2), cell=2 * FACTOR, tokens=(3, 6), sides=(20, 58))
COUNTING = Form(cells=(4, 4), cell=FACTOR, tokens=(5, 7), sides=(20, 34))
RELATING = Form(cells=(2, 2), cell=2 * FACTOR, tokens=(4, 6), sides=(20, 47))
RELATING_MORE = replace(RELATING, cells=(3, 2))


def _row_of(count: int) -> Form:
    return Form(cells=(count, 1), cell=2 * FACTOR, tokens=(4, 7), sides=(20, 47))


def _ask(rng: Random, wording: str, ease: float, split: str, /, **parts: str) -> str:
    return phrase(rng, QUESTIONS[wording], ease, split, **parts)


def _item(rng: Random, task: str, scene: GlyphScene, question: str, answer: str, truth: dict[str, Any]) -> Item:
    return image_item(task, [render(rng, scene)], question, answer, truth | {"scene": scene.facts()})


def _dialogue(rng: Random, task: str, scene: GlyphScene, turns: list[Turn]) -> Item:
    item = dialogue_item(task, render(rng, scene), turns)
    return replace(item, truth=item.truth | {"scene": scene.facts()})


def _pick(rng: Random, count: int, ease: float, ground: Ground) -> list[str]:
    return pick_names(rng, count, ease, (ground.first, ground.second))


def _different(rng: Random, split: str, ease: float, count: int, form: Form) -> GlyphScene:
    ground = pick_ground(rng, split, ease)
    return place(rng, split, ease, _pick(rng, count, ease, ground), ground, form)


def glyph_name(rng: Random, split: str, ease: float) -> Item:
    """Which one it is. Ease 1: it fills an image of four visual tokens."""
    scene = _different(rng, split, ease, 1, NAMING)
    accept = name_truths(scene.glyphs[0].name)
    return _item(rng, "glyph_name", scene, _ask(rng, "glyph_name", ease, split), accept[0], text_truth(*accept))


def glyph_caption(rng: Random, split: str, ease: float) -> Item:
    """Two to four of them from left to right, "a dog, a key". Ease 1: three of equal size in a row."""
    count = 3 if rng.random() < ease else rng.randint(2, 4)
    while True:
        scene = _different(rng, split, ease, count, _row_of(count))
        ordered = in_order(scene)
        if ordered:
            break
    answer = ", ".join(article(glyph.name) for glyph in ordered)
    truth = text_truth(answer, ", ".join(glyph.name for glyph in ordered))
    return _item(rng, "glyph_caption", scene, _ask(rng, "glyph_caption", ease, split), answer, truth)


def in_order(scene: GlyphScene) -> list[Glyph] | None:
    """Glyphs from left to right, or None where two middles are less than a patch apart across."""
    ordered = sorted(scene.glyphs, key=lambda glyph: glyph.centre[0])
    clear = all(b.centre[0] - a.centre[0] >= CLEAR_STEP for a, b in pairwise(ordered))
    return ordered if clear else None


def glyph_ground(rng: Random, split: str, ease: float) -> Item:
    """The box of one of one to four."""
    scene = _different(rng, split, ease, rng.randint(1, 4), PLACING)
    target, label = scene.glyphs[0], f"the {scene.glyphs[0].name}"
    answer, truth = box_answer(label, target.box_px, scene.size), place_truth("box", target.box_px, scene.size, label)
    return _item(rng, "glyph_ground", scene, _ask(rng, "glyph_ground", ease, split, label=label), answer, truth)


def glyph_point(rng: Random, split: str, ease: float) -> Item:
    """The middle of one of one to four."""
    scene = _different(rng, split, ease, rng.randint(1, 4), PLACING)
    target, label = scene.glyphs[0], f"the {scene.glyphs[0].name}"
    answer, truth = point_answer(target.box_px, scene.size), place_truth("point", target.box_px, scene.size, label)
    return _item(rng, "glyph_point", scene, _ask(rng, "glyph_point", ease, split, label=label), answer, truth)


def glyph_count(rng: Random, split: str, ease: float) -> Item:
    """How many of one kind among others, or of all; one to nine, all equally often."""
    ground, number = pick_ground(rng, split, ease), rng.randint(1, MAX_COUNTED)
    kind, *others = _pick(rng, 3, ease, ground)
    if rng.random() < 0.65:
        extra = rng.randint(0, min(4, MAX_COUNTED + 1 - number))
        names, things = [kind] * number + rng.choices(others, k=extra), plural(kind)
    else:
        names, things = rng.choices([kind, *others], k=number), rng.choice(ALL_THINGS)
    scene = place(rng, split, ease, names, ground, COUNTING)
    truth = text_truth(str(number), counted=things)
    question = _ask(rng, "glyph_count", ease, split, things=things)
    return _item(rng, "glyph_count", scene, question, str(number), truth)


def glyph_look_up(rng: Random, split: str, ease: float) -> Item:
    """What is left of, right of, above or below another one; drawn again until only one is."""
    relation = rng.choice(RELATIONS)
    while True:
        scene = _different(rng, split, ease, 4 if rng.random() < ease else rng.randint(2, 4), RELATING)
        clear = [(a, b) for b in scene.glyphs if (a := neighbour(scene, b, relation)) and not a[1]]
        if clear:
            break
    (target, _), b = rng.choice(clear)
    question = _ask(rng, "glyph_look_up", ease, split, relation=relation, b=b.name)
    truth = text_truth(target.name, *name_truths(target.name), relation=relation, of=b.name)
    return _item(rng, "glyph_look_up", scene, question, target.name, truth)


def neighbour(scene: GlyphScene, b: Glyph, relation: str) -> tuple[Glyph, bool] | None:
    """Which glyph is so related to b, and whether others farther off are too; None where that is in doubt.

    It must be level with b to half a glyph, and whatever else lies on that side must be half as far again.
    """
    ahead = sorted(
        (along + aside, aside, along, number)
        for number, a in enumerate(scene.glyphs)
        for along, aside in [_offset(a, b, relation)]
        if aside < 2 * along
    )
    if not ahead:
        return None
    (distance, aside, _, number), *others = ahead
    nearest = scene.glyphs[number]
    clear = aside <= min(nearest.side, b.side) / 2 and all(other[0] >= 1.5 * distance for other in others)
    return (nearest, any(off < 0.95 * along for _, off, along, _ in others)) if clear else None


def _offset(a: Glyph, b: Glyph, relation: str) -> tuple[float, float]:
    """How far a's middle lies from b's in the direction of the relation, and off it to either side."""
    right, down = a.centre[0] - b.centre[0], a.centre[1] - b.centre[1]
    along, aside = {
        "left of": (-right, down),
        "right of": (right, down),
        "above": (-down, right),
        "below": (down, right),
    }[relation]
    return along, abs(aside)


def glyph_rows(rng: Random, split: str, ease: float) -> Item:
    """A grid with a glyph in every cell, named row by row. Ease 1: 4 x 4 tokens, each glyph fills one or four."""
    ground = pick_ground(rng, split, ease)
    cell = rng.choice((FACTOR, 2 * FACTOR)) if rng.random() < ease else rng.randint(FACTOR, 2 * FACTOR)
    columns, rows = (4 * FACTOR // cell,) * 2
    if rng.random() >= ease:
        columns, rows = (rng.randint(2, max(2, 5 * FACTOR // cell)) for _ in range(2))
    glyphs = [
        in_cell(rng, ease, _pick(rng, 1, ease, ground)[0], cell, row, column)
        for row in range(rows)
        for column in range(columns)
    ]
    scene = GlyphScene(size=(columns * cell, rows * cell), ground=ground, layout="cells", glyphs=tuple(glyphs))
    names = [glyph.name for glyph in glyphs]
    answer = "\n".join(", ".join(names[row * columns : (row + 1) * columns]) for row in range(rows))
    return _dialogue(rng, "glyph_rows", scene, [(_ask(rng, "glyph_rows", ease, split), answer)])


def glyph_places(rng: Random, split: str, ease: float) -> Item:
    """One to four, each asked for its box or its middle. Ease 1: each fills 2 x 2 tokens of 4 x 4."""
    scene = _different(rng, split, ease, rng.randint(1, 4), PLACING)
    turns = [_ask_place(rng, glyph, scene, split, ease) for glyph in scene.glyphs]
    return _dialogue(rng, "glyph_places", scene, turns)


def glyph_one(rng: Random, split: str, ease: float) -> Item:
    """Two to four, one of them asked for its box or its middle. Ease 1: two, each filling 2 x 2 tokens of 4 x 4."""
    scene = _different(rng, split, ease, 2 if rng.random() < ease else rng.randint(2, 4), PLACING)
    return _dialogue(rng, "glyph_one", scene, [_ask_place(rng, scene.glyphs[0], scene, split, ease)])


def _ask_place(rng: Random, glyph: Glyph, scene: GlyphScene, split: str, ease: float) -> Turn:
    label, box = f"the {glyph.name}", rng.random() < 0.6
    answer = box_answer(label, glyph.box_px, scene.size) if box else point_answer(glyph.box_px, scene.size)
    return _ask(rng, "glyph_ground" if box else "glyph_point", ease, split, label=label), answer


def glyph_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Up to six questions about three to six glyphs: corners, neighbours, counts, what is there. Ease 1: four in 2 x 2."""
    ground = pick_ground(rng, split, ease)
    count = 4 if rng.random() < ease else rng.randint(3, 6)
    names = _pick(rng, count, ease, ground)
    if rng.random() < 0.4:  # one kind twice or more, else every count would be one
        names = [names[0] if rng.random() < 0.4 else name for name in names]
    scene = place(rng, split, ease, names, ground, RELATING if count <= 4 else RELATING_MORE)
    turns = [
        *_about_corners(rng, scene, split, ease),
        *_about_neighbours(rng, scene, split, ease),
        *_about_counts(rng, scene, split, ease),
        *_about_presence(rng, scene, split, ease),
    ]
    rng.shuffle(turns)
    return _dialogue(rng, "glyph_dialogue", scene, turns[:MAX_TURNS])


def _about_corners(rng: Random, scene: GlyphScene, split: str, ease: float) -> list[Turn]:
    found = [(corner, glyph) for corner in CORNERS if (glyph := in_corner(scene, corner))]
    picked = rng.sample(found, min(3, len(found)))
    return [(_ask(rng, "glyph_corner", ease, split, corner=corner), glyph.name) for corner, glyph in picked]


def in_corner(scene: GlyphScene, corner: str) -> Glyph | None:
    """The only glyph whose middle lies in this quarter of the image, and well in it; else None."""
    (width, height), (up, left) = scene.size, (corner.startswith("upper"), corner.endswith("left"))
    shares = [(g, g.centre[0] / width, g.centre[1] / height) for g in scene.glyphs]
    toward = [(g, x if left else 1 - x, y if up else 1 - y) for g, x, y in shares]  # 0 is at the corner
    inside = [each for each in toward if max(each[1:]) < 0.55]
    return inside[0][0] if len(inside) == 1 and max(inside[0][1:]) < 0.4 else None


def _about_neighbours(rng: Random, scene: GlyphScene, split: str, ease: float) -> list[Turn]:
    """Up to three, no pair twice: of two questions on one pair the second would be answered by the text of the first."""
    kinds = Counter(glyph.name for glyph in scene.glyphs)
    clear = [
        (near[0], b, f"just {relation}" if near[1] else relation)
        for b in scene.glyphs
        for relation in RELATIONS
        if kinds[b.name] == 1 and (near := neighbour(scene, b, relation))
    ]
    rng.shuffle(clear)
    pairs = {frozenset((id(a), id(b))): (a, b, relation) for a, b, relation in clear}
    return [
        (_ask(rng, "glyph_look_up", ease, split, relation=relation, b=b.name), a.name)
        for a, b, relation in list(pairs.values())[:3]
    ]


def _about_counts(rng: Random, scene: GlyphScene, split: str, ease: float) -> list[Turn]:
    kinds = Counter(glyph.name for glyph in scene.glyphs)
    kind = max(kinds, key=kinds.__getitem__)
    return [
        (_ask(rng, "glyph_count", ease, split, things=rng.choice(ALL_THINGS)), str(len(scene.glyphs))),
        (_ask(rng, "glyph_count", ease, split, things=plural(kind)), str(kinds[kind])),
    ]


def _about_presence(rng: Random, scene: GlyphScene, split: str, ease: float) -> list[Turn]:
    """One question, yes and no equally often."""
    shown = {glyph.name for glyph in scene.glyphs}
    yes = rng.random() < 0.5
    name = rng.choice([name for name in names_at(ease) if (name in shown) == yes])
    return [(_ask(rng, "glyph_present", ease, split, thing=article(name)), "yes" if yes else "no")]


TASKS = (
    Task("glyph_name", glyph_name, "vqa", exams=("exam",), words=WORDS),
    Task("glyph_caption", glyph_caption, "caption", words=WORDS),
    Task("glyph_ground", glyph_ground, "grounding", exams=("exam",), words=WORDS),
    Task("glyph_point", glyph_point, "grounding", words=WORDS),
    Task("glyph_count", glyph_count, "vqa", words=WORDS),
    Task("glyph_look_up", glyph_look_up, "vqa", words=WORDS),
    Task("glyph_rows", glyph_rows, "caption", lesson=True, words=WORDS),
    Task("glyph_places", glyph_places, "grounding", lesson=True, words=WORDS),
    Task("glyph_one", glyph_one, "grounding", lesson=True, words=WORDS),
    Task("glyph_dialogue", glyph_dialogue, "vqa", lesson=True, words=WORDS),
)
