"""Lessons about images of glyphs: rows, places, and dialogues. For training only."""

from dataclasses import replace
from random import Random

from drawn_world.glyphs.emoji import pick_names
from drawn_world.glyphs.glyph_quiz import PLACING, RELATING, Asked, Quiz, different
from drawn_world.glyphs.glyph_scenes import GlyphScene, in_cell, place
from drawn_world.glyphs.grounds import pick_ground
from drawn_world.item import MAX_TURNS, Item, Turn
from drawn_world.task import Task
from qwen2vl.spec.config import FACTOR


def glyph_rows(rng: Random, split: str, ease: float) -> Item:
    """The names of a grid of glyphs, row by row. Ease 1: 4 x 4 tokens, where each glyph fills one or four."""
    ground = pick_ground(rng, split, ease)
    cell = rng.choice((FACTOR, 2 * FACTOR)) if rng.random() < ease else rng.randint(FACTOR, 2 * FACTOR)
    columns, rows = (4 * FACTOR // cell,) * 2
    if rng.random() >= ease:
        columns, rows = (rng.randint(2, max(2, 5 * FACTOR // cell)) for _ in range(2))
    glyphs = [
        in_cell(rng, ease, pick_names(rng, 1, ease, ground.colours)[0], cell, row, column)
        for row in range(rows)
        for column in range(columns)
    ]
    scene = GlyphScene(size=(columns * cell, rows * cell), ground=ground, layout="cells", glyphs=tuple(glyphs))
    names = [glyph.name for glyph in glyphs]
    answer = "\n".join(", ".join(names[row * columns : (row + 1) * columns]) for row in range(rows))
    quiz = Quiz(rng, split, ease, scene)
    return quiz.dialogue("glyph_rows", [(quiz.ask("glyph_rows"), answer)])


def glyph_places(rng: Random, split: str, ease: float) -> Item:
    """The box or the centre of each of one to four glyphs. Ease 1: each fills 2 x 2 tokens of 4 x 4."""
    quiz = different(rng, split, ease, rng.randint(1, 4), PLACING)
    return quiz.dialogue("glyph_places", [quiz.place(glyph) for glyph in quiz.scene.glyphs])


def glyph_one(rng: Random, split: str, ease: float) -> Item:
    """The box or the centre of one of two to four glyphs. Ease 1: two, each of which fills 2 x 2 tokens of 4 x 4."""
    quiz = different(rng, split, ease, 2 if rng.random() < ease else rng.randint(2, 4), PLACING)
    return quiz.dialogue("glyph_one", [quiz.place(quiz.scene.glyphs[0])])


def glyph_talk(rng: Random, split: str, ease: float) -> Item:
    """Up to six questions of all kinds about one to six glyphs; a list of all comes last, as it answers the others.

    One question in eight asks where something is that the image does not show. Ease 1: one to four glyphs in 2 x 2 cells.
    """
    ground = pick_ground(rng, split, ease)
    count = rng.randint(1, 4) if rng.random() < ease else rng.randint(1, 6)
    names = pick_names(rng, count, ease, ground.colours)
    if count > 2 and rng.random() < 0.3:  # one kind several times, else every count would be one
        names = [names[0] if rng.random() < 0.5 else name for name in names]
    form = PLACING if count <= 4 else replace(RELATING, cells=(3, 2))
    quiz = Quiz(rng, split, ease, place(rng, split, ease, names, ground, form))
    single = [glyph for glyph in quiz.scene.glyphs if names.count(glyph.name) == 1]
    rng.shuffle(single)  # no glyph is asked for in two ways: its name, its box, its side
    by_box, by_name, by_side = single[:1], single[1:3], single[3:]
    if len(single) < 3 and rng.random() < 0.5:
        by_box, by_side = by_side, by_box
    sides, sizes = [turn for glyph in by_side for turn in quiz.region(glyph)], quiz.sizes()
    turns = [
        *(sides or quiz.corners()[:1]),
        *quiz.neighbours()[:1],
        *(quiz.counts() if rng.random() < 0.7 else quiz.more()),
        *rng.sample(sizes, min(1, len(sizes))),
        *map(quiz.place, by_name),
        *([quiz.absent()] if rng.random() < 0.7 else []),
    ]
    asked = [_plain(turn) for turn in turns] + [quiz.in_box(glyph) for glyph in by_box]
    asked = rng.sample(asked, min(len(asked), rng.randint(2, MAX_TURNS - 2)))
    first = [_plain(quiz.presence())] if rng.random() < 0.5 else []  # later questions would answer it
    return quiz.parts_dialogue("glyph_talk", [*first, *asked, _plain(quiz.listing())])


def _plain(turn: Turn) -> Asked:
    """A question of one text part."""
    return [{"type": "text", "text": turn[0]}], turn[1]


TASKS = (
    Task("glyph_rows", glyph_rows, "caption", lesson=True),
    Task("glyph_places", glyph_places, "grounding", lesson=True),
    Task("glyph_one", glyph_one, "grounding", lesson=True),
    Task("glyph_talk", glyph_talk, "grounding", lesson=True),
)
