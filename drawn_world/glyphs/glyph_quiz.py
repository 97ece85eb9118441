"""The questions that can be asked about a scene of glyphs, each with its answer.

Not here: the items that ask them (glyph_tasks, glyph_lessons, picture_tasks).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from random import Random
from typing import Any

from drawn_world.glyphs.emoji import names_at, pick_names, plural
from drawn_world.glyphs.glyph_scenes import Form, Glyph, GlyphScene, place, render
from drawn_world.glyphs.grounds import pick_ground
from drawn_world.item import Item, Turn, box_answer, dialogue_item, image_item, images_part, point_answer, text_truth
from drawn_world.shapes.shape_scenes import RELATIONS, article
from drawn_world.wording import LABELS, ask
from qwen2vl.processing.grounding import to_thousandths
from qwen2vl.spec.config import FACTOR

ALL_THINGS = ("things", "objects")
CORNERS = ("upper left", "upper right", "lower left", "lower right")
OFF_CENTRE = 0.12
"""Share of a side by which a glyph on the left is away from the middle."""
CLEAR = 1.6
"""Ratio of the areas of two boxes from which one is clearly the larger."""
Asked = tuple[list[dict[str, Any]], str]
"""A question as the parts of a message, and its answer."""

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

    def parts_dialogue(self, task: str, turns: Sequence[Asked]) -> Item:
        """An item with several questions, of which some hold a box."""
        messages: list[dict[str, Any]] = []
        for question, answer in turns:
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        messages[0]["content"] = [*images_part([render(self.rng, self.scene)]), *messages[0]["content"]]
        answer = messages.pop()["content"]
        return Item(task=task, messages=messages, answer=answer, truth=text_truth(answer, scene=self.scene.facts()))

    def in_box(self, glyph: Glyph) -> Asked:
        """A question about what is in the box of a glyph."""
        before, after = self.ask("glyph_in_box", box="\n").split("\n")
        box: dict[str, Any] = {"type": "box", "box": list(to_thousandths(glyph.box_px, self.scene.size))}
        texts: list[dict[str, Any]] = [{"type": "text", "text": text} for text in (before, after)]
        parts = [texts[0], box, texts[1]] if before else [box, texts[1]]
        return (parts if after else parts[:-1]), glyph.name

    def listing(self) -> Turn:
        """A question about all glyphs: their names from left to right, or their boxes in reading order."""
        ordered = self.scene.in_order()
        if ordered and self.rng.random() < 0.65:
            plain = self.rng.random() < 0.6  # "What do you see?" is answered in the order of a caption
            answer = ", ".join(article(glyph.name) for glyph in ordered)
            return self.ask("glyph_name" if plain else "glyph_caption"), answer
        size = self.scene.size
        boxes = [box_answer(glyph.name, glyph.box_px, size) for glyph in self.scene.in_reading_order()]
        return self.ask("glyph_boxes"), "\n".join(boxes)

    def sizes(self) -> list[Turn]:
        """Questions about the larger of two glyphs and the largest or smallest of all; sizes differ by a third or more."""
        kinds = Counter(glyph.name for glyph in self.scene.glyphs)
        by_side = sorted(self.scene.glyphs, key=lambda glyph: glyph.area)
        pairs = [
            (a.name, b.name, a if a.area > b.area else b)
            for a, b in permutations(by_side, 2)
            if kinds[a.name] == kinds[b.name] == 1 and max(a.area, b.area) >= CLEAR * min(a.area, b.area)
        ]
        turns = [
            (self.ask("glyph_larger", a=a, b=b), larger.name)
            for a, b, larger in self.rng.sample(pairs, min(1, len(pairs)))
        ]
        if len(by_side) > 1 and by_side[-1].area >= CLEAR * by_side[-2].area:
            turns.append((self.ask("glyph_largest"), by_side[-1].name))
        if len(by_side) > 1 and by_side[1].area >= CLEAR * by_side[0].area:
            turns.append((self.ask("glyph_smallest"), by_side[0].name))
        return turns

    def region(self, glyph: Glyph) -> list[Turn]:
        """A question about the corner or the side at which a glyph of a single name lies, unless it is near the middle."""
        corners = [corner for corner in CORNERS if self.scene.in_corner(corner) is glyph]
        across, down = (middle / side for middle, side in zip(glyph.centre, self.scene.size, strict=True))
        turns = [(self.ask("glyph_which_corner", b=glyph.name), corner) for corner in corners]
        if abs(across - 0.5) > OFF_CENTRE:
            turns.append((self.ask("glyph_left_right", b=glyph.name), "left" if across < 0.5 else "right"))
        if abs(down - 0.5) > OFF_CENTRE:
            turns.append((self.ask("glyph_top_bottom", b=glyph.name), "top" if down < 0.5 else "bottom"))
        return self.rng.sample(turns, min(1, len(turns)))

    def absent(self) -> Turn:
        """A question about the place of a thing that is not shown, and the reply that the image does not tell."""
        shown = {glyph.name for glyph in self.scene.glyphs}
        name = self.rng.choice([name for name in names_at(self.ease) if name not in shown])
        question = self.rng.choice(("glyph_ground", "glyph_point"))
        return self.ask(question, label=f"the {name}"), LABELS["cannot_tell"][0]

    def more(self) -> list[Turn]:
        """A question whether there are more of one kind or of another, unless their numbers are equal."""
        kinds = Counter(glyph.name for glyph in self.scene.glyphs).most_common(2)
        if len(kinds) < 2 or kinds[0][1] == kinds[1][1]:
            return []
        a, b = self.rng.sample([plural(name) for name, _ in kinds], 2)
        return [(self.ask("glyph_more", a=a, b=b), plural(kinds[0][0]))]

    def corners(self) -> list[Turn]:
        """Up to three questions about what is in a corner."""
        found = [(corner, glyph) for corner in CORNERS if (glyph := self.scene.in_corner(corner))]
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


def different(rng: Random, split: str, ease: float, count: int, form: Form) -> Quiz:
    """A scene of glyphs of different kinds."""
    ground = pick_ground(rng, split, ease)
    names = pick_names(rng, count, ease, ground.colours)
    return Quiz(rng, split, ease, place(rng, split, ease, names, ground, form))
