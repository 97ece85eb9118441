"""Questions about images of glyphs: name, caption, box, point, count, neighbour; and lessons on the same.

The kinds of glyphs are the same in all splits; sizes, backgrounds, arrangements and wordings are held out.
`truth["scene"]` of every item describes its image. How images are made is in glyph_scenes, the table of kinds in emoji.
"""

from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from drawn_world.glyphs.emoji import names_at, pick_names, plural
from drawn_world.glyphs.glyph_scenes import Form, Glyph, GlyphScene, in_cell, pick_ground, place, render
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
from drawn_world.wording import ask
from qwen2vl.spec.config import FACTOR

ALL_THINGS = ("things", "objects")

NAMING = Form(cells=(1, 1), cell=2 * FACTOR, tokens=(3, 5), sides=(20, 84))
PLACING = Form(cells=(2, 2), cell=2 * FACTOR, tokens=(3, 6), sides=(20, 58))
RELATING = Form(cells=(2, 2), cell=2 * FACTOR, tokens=(4, 6), sides=(20, 47))


@dataclass(frozen=True, slots=True)
class Quiz:
    """A scene of glyphs and the questions that can be asked about it."""

    rng: Random
    split: str
    ease: float
    scene: GlyphScene

    def ask(self, question: str, **parts: str) -> str:
        """A wording of a question."""
        return ask(self.rng, question, self.ease, self.split, **parts)

    def item(self, task: str, answer: str, truth: dict[str, Any], **parts: str) -> Item:
        """An item with the question that has the name of its task."""
        question = self.ask(task, **parts)
        image = render(self.rng, self.scene)
        return image_item(task, [image], question, answer, truth | {"scene": self.scene.facts()})

    def dialogue(self, task: str, turns: list[Turn]) -> Item:
        """An item with several questions."""
        item = dialogue_item(task, render(self.rng, self.scene), turns)
        return replace(item, truth=item.truth | {"scene": self.scene.facts()})

    def place(self, glyph: Glyph) -> Turn:
        """A question about the box or the centre of a glyph."""
        label, box = f"the {glyph.name}", self.rng.random() < 0.6
        size = self.scene.size
        answer = box_answer(label, glyph.box_px, size) if box else point_answer(glyph.box_px, size)
        return self.ask("glyph_ground" if box else "glyph_point", label=label), answer

    def corners(self) -> list[Turn]:
        """Up to three questions about what is in a corner."""
        corners = ("upper left", "upper right", "lower left", "lower right")
        found = [(corner, glyph) for corner in corners if (glyph := self.scene.in_corner(corner))]
        picked = self.rng.sample(found, min(3, len(found)))
        return [(self.ask("glyph_corner", corner=corner), glyph.name) for corner, glyph in picked]

    def neighbours(self) -> list[Turn]:
        """Up to three questions about neighbours, no pair twice: the text of the first would answer the second."""
        kinds = Counter(glyph.name for glyph in self.scene.glyphs)
        clear = [
            (near[0], b, f"just {relation}" if near[1] else relation)
            for b in self.scene.glyphs
            for relation in RELATIONS
            if kinds[b.name] == 1 and (near := self.scene.neighbour(b, relation))
        ]
        self.rng.shuffle(clear)
        pairs = {frozenset((id(a), id(b))): (a, b, relation) for a, b, relation in clear}
        return [
            (self.ask("glyph_look_up", relation=relation, b=b.name), a.name)
            for a, b, relation in list(pairs.values())[:3]
        ]

    def counts(self) -> list[Turn]:
        """Questions about the number of all glyphs and of the most frequent kind."""
        kinds = Counter(glyph.name for glyph in self.scene.glyphs)
        kind = max(kinds, key=kinds.__getitem__)
        return [
            (self.ask("glyph_count", things=self.rng.choice(ALL_THINGS)), str(len(self.scene.glyphs))),
            (self.ask("glyph_count", things=plural(kind)), str(kinds[kind])),
        ]

    def presence(self) -> Turn:
        """A question whether a kind is present, yes and no equally often."""
        shown = {glyph.name for glyph in self.scene.glyphs}
        yes = self.rng.random() < 0.5
        name = self.rng.choice([name for name in names_at(self.ease) if (name in shown) == yes])
        return self.ask("glyph_present", thing=article(name)), "yes" if yes else "no"


def _different(rng: Random, split: str, ease: float, count: int, form: Form) -> Quiz:
    """A scene of glyphs of different kinds."""
    ground = pick_ground(rng, split, ease)
    names = pick_names(rng, count, ease, ground.colours)
    return Quiz(rng, split, ease, place(rng, split, ease, names, ground, form))


def glyph_name(rng: Random, split: str, ease: float) -> Item:
    """The name of the only glyph. Ease 1: it fills an image of four visual tokens."""
    quiz = _different(rng, split, ease, 1, NAMING)
    accept = name_truths(quiz.scene.glyphs[0].name)
    return quiz.item("glyph_name", accept[0], text_truth(*accept))


def glyph_caption(rng: Random, split: str, ease: float) -> Item:
    """Two to four glyphs from left to right: "a dog, a key". Ease 1: three of equal size in a row."""
    count = 3 if rng.random() < ease else rng.randint(2, 4)
    form = Form(cells=(count, 1), cell=2 * FACTOR, tokens=(4, 7), sides=(20, 47))
    while True:
        quiz = _different(rng, split, ease, count, form)
        ordered = quiz.scene.in_order()
        if ordered:
            break
    answer = ", ".join(article(glyph.name) for glyph in ordered)
    return quiz.item("glyph_caption", answer, text_truth(answer, ", ".join(glyph.name for glyph in ordered)))


def glyph_ground(rng: Random, split: str, ease: float) -> Item:
    """The box of one of one to four glyphs."""
    quiz = _different(rng, split, ease, rng.randint(1, 4), PLACING)
    box_px, size, label = quiz.scene.glyphs[0].box_px, quiz.scene.size, f"the {quiz.scene.glyphs[0].name}"
    truth = place_truth("box", box_px, size, label)
    return quiz.item("glyph_ground", box_answer(label, box_px, size), truth, label=label)


def glyph_point(rng: Random, split: str, ease: float) -> Item:
    """The centre of one of one to four glyphs."""
    quiz = _different(rng, split, ease, rng.randint(1, 4), PLACING)
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
        quiz = _different(rng, split, ease, 4 if rng.random() < ease else rng.randint(2, 4), RELATING)
        scene = quiz.scene
        clear = [(a, b) for b in scene.glyphs if (a := scene.neighbour(b, relation)) and not a[1]]
        if clear:
            break
    (target, _), b = rng.choice(clear)
    truth = text_truth(target.name, *name_truths(target.name), relation=relation, of=b.name)
    return quiz.item("glyph_look_up", target.name, truth, relation=relation, b=b.name)


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
    quiz = _different(rng, split, ease, rng.randint(1, 4), PLACING)
    return quiz.dialogue("glyph_places", [quiz.place(glyph) for glyph in quiz.scene.glyphs])


def glyph_one(rng: Random, split: str, ease: float) -> Item:
    """The box or the centre of one of two to four glyphs. Ease 1: two, each of which fills 2 x 2 tokens of 4 x 4."""
    quiz = _different(rng, split, ease, 2 if rng.random() < ease else rng.randint(2, 4), PLACING)
    return quiz.dialogue("glyph_one", [quiz.place(quiz.scene.glyphs[0])])


def glyph_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Up to six questions about three to six glyphs: corners, neighbours, counts, presence. Ease 1: four in 2 x 2."""
    ground = pick_ground(rng, split, ease)
    count = 4 if rng.random() < ease else rng.randint(3, 6)
    names = pick_names(rng, count, ease, ground.colours)
    if rng.random() < 0.4:  # one kind twice or more, or every count would be one
        names = [names[0] if rng.random() < 0.4 else name for name in names]
    form = RELATING if count <= 4 else replace(RELATING, cells=(3, 2))
    quiz = Quiz(rng, split, ease, place(rng, split, ease, names, ground, form))
    turns = [*quiz.corners(), *quiz.neighbours(), *quiz.counts(), quiz.presence()]
    rng.shuffle(turns)
    return quiz.dialogue("glyph_dialogue", turns[:MAX_TURNS])


TASKS = (
    Task("glyph_name", glyph_name, "vqa", exams=("exam",)),
    Task("glyph_caption", glyph_caption, "caption"),
    Task("glyph_ground", glyph_ground, "grounding", exams=("exam",)),
    Task("glyph_point", glyph_point, "grounding"),
    Task("glyph_count", glyph_count, "vqa"),
    Task("glyph_look_up", glyph_look_up, "vqa"),
    Task("glyph_rows", glyph_rows, "caption", lesson=True),
    Task("glyph_places", glyph_places, "grounding", lesson=True),
    Task("glyph_one", glyph_one, "grounding", lesson=True),
    Task("glyph_dialogue", glyph_dialogue, "vqa", lesson=True),
)
