"""Questions about one free scene in people's own words, grouped by what their answers tell.

A dialogue asks the groups in the order of GROUPS, so that no answer follows from the text of an earlier turn. Not here:
boxes and points (places), the dialogues (scene_talk), which wording is answered how (wording/scenes.toml).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from random import Random

from PIL import ImageStat

from drawn_world import palette
from drawn_world.item import Turn
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.places import ask_where, box_lines
from drawn_world.shapes.shape_scenes import OPPOSITE_RELATION, RELATIONS, Placed, Scene, article
from drawn_world.shapes.shape_tasks import holds
from drawn_world.wording import LABELS, ask

SIDES = {"left": "left of", "right": "right of", "top": "above", "bottom": "below"}
"""Side of an image to the relation that the shape next to it has to all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What questions are drawn from."""

    rng: Random
    split: str
    ease: float
    scene: Scene

    @property
    def shapes(self) -> tuple[Placed, ...]:
        return self.scene.shapes

    def ask(self, question: str, /, **parts: str) -> str:
        """A wording of a question."""
        return ask(self.rng, question, self.ease, self.split, **parts)

    def some(self, turns: Sequence[Turn], most: int) -> list[Turn]:
        """Up to `most` of these turns."""
        return self.rng.sample(turns, min(most, len(turns)))

    def label(self, shape: Placed) -> str:
        """A name that only this shape has: colour and kind or, below ease 1, one of the two where that is enough."""
        if self.rng.random() < max(self.ease, 0.6):
            return shape.name
        kinds, colours = (Counter(getattr(each, what) for each in self.shapes) for what in ("kind", "colour"))
        short = [shape.kind] if kinds[shape.kind] == 1 else []
        short += [f"{shape.colour} shape", f"{shape.colour} one"] if colours[shape.colour] == 1 else []
        return self.rng.choice(short or [shape.name])


def about_number(about: About) -> list[Turn]:
    """How many of all, of a kind, of a colour, of a name; about one in five answers is 0."""
    rng, placed = about.rng, about.shapes
    kind, colour = rng.choice(placed).kind, rng.choice(placed).colour
    kind = rng.choice(shapes.KINDS) if rng.random() < 0.25 else kind
    colour = rng.choice(list(palette.COLOURS)) if rng.random() < 0.25 else colour
    name = rng.choice(placed).name if rng.random() < 0.5 else f"{colour} {kind}"
    wanted = [
        (rng.choice(("shapes", "objects", "things")), len(placed)),
        (shapes.PLURALS[kind], sum(shape.kind == kind for shape in placed)),
        (f"{colour} {rng.choice(('shapes', 'objects', 'things'))}", sum(shape.colour == colour for shape in placed)),
        (f"{name.split()[0]} {shapes.PLURALS[name.split()[1]]}", sum(shape.name == name for shape in placed)),
    ]
    return [(about.ask("count_things", things=things), str(number)) for things, number in wanted]


def about_names(about: About) -> list[Turn]:
    """The colour of a kind or the kind of a colour, of half of the shapes; of a single shape also without naming it."""
    if len(about.shapes) == 1:
        (shape,) = about.shapes
        form = about.rng.random()
        turns = [(about.ask("its_colour"), shape.colour), (about.ask("its_kind"), shape.kind)]
        if form < 0.3:
            return [(about.ask("colour_of", kind=shape.kind), shape.colour)]
        return [(about.ask("kind_of", colour=shape.colour), shape.kind)] if form < 0.5 else about.some(turns, 2)
    turns = []
    kinds, colours = (Counter(getattr(shape, what) for shape in about.shapes) for what in ("kind", "colour"))
    for shape in _asked_by_name(about):
        if kinds[shape.kind] == 1 and (colours[shape.colour] > 1 or about.rng.random() < 0.5):
            turns.append((about.ask("colour_of", kind=shape.kind), shape.colour))
        elif colours[shape.colour] == 1:
            turns.append((about.ask("kind_of", colour=shape.colour), shape.kind))
    return turns


def _asked_by_name(about: About) -> tuple[Placed, ...]:
    """The shapes that `about_names` may ask for; `about_presence` asks for the others."""
    return about.shapes[: (len(about.shapes) + 1) // 2]


def about_presence(about: About) -> list[Turn]:
    """Whether there is a shape of a name or of a kind; yes and no equally often.

    An absent name shares its colour or its kind with a shape that is there.
    """
    rng, yes = about.rng, about.rng.random() < 0.5
    others = about.shapes[len(_asked_by_name(about)) :] or about.shapes
    there = rng.choice(others)
    if rng.random() < 0.3:
        kinds = {shape.kind for shape in about.shapes}
        thing = there.kind if yes else rng.choice([kind for kind in shapes.KINDS if kind not in kinds] or [""])
    elif yes:
        thing = there.name
    else:
        near = [f"{there.colour} {kind}" for kind in shapes.KINDS] + [
            f"{colour} {there.kind}" for colour in palette.COLOURS
        ]
        thing = rng.choice(sorted({*near} - {shape.name for shape in about.shapes}))
    return [(about.ask("is_there", thing=article(thing)), "yes" if yes else "no")] if thing else []


def about_absent(about: About) -> list[Turn]:
    """Seldom, the colour or the place of a shape that is not there; the answer says so."""
    rng, kinds = about.rng, {shape.kind for shape in about.shapes}
    absent = [kind for kind in shapes.KINDS if kind not in kinds]
    if not absent or rng.random() < 0.7:
        return []
    kind, reply = rng.choice(absent), LABELS["cannot_tell"][0]
    if rng.random() < 0.4:
        return [(about.ask("colour_of", kind=kind), reply)]
    label = rng.choice((kind, f"{rng.choice(about.shapes).colour} {kind}"))
    return [(about.ask(rng.choice(("where", "point_to")), label=f"the {label}"), reply)]


def about_relation(about: About) -> list[Turn]:
    """How two shapes lie to each other, in one of five forms; at most one question about a pair."""
    rng, turns = about.rng, []
    pairs = [pair for pair in permutations(about.shapes, 2) if _relations(*pair)]
    rng.shuffle(pairs)
    done: set[frozenset[str]] = set()
    for a, b in pairs:
        if frozenset((a.name, b.name)) in done or len(done) == 2:
            continue
        done.add(frozenset((a.name, b.name)))
        turns.append(_one_relation(about, a, b))
    return turns


def _relations(a: Placed, b: Placed) -> list[str]:
    return [relation for relation in RELATIONS if holds(relation, a, b)]


def _one_relation(about: About, a: Placed, b: Placed) -> Turn:
    rng = about.rng
    relation, form = rng.choice(_relations(a, b)), rng.random()
    rivals = [
        shape for shape in about.shapes if shape not in (a, b) and not holds(OPPOSITE_RELATION[relation], shape, b)
    ]
    if form < 0.25 and not rivals:
        return about.ask("what_beside", relation=relation, b=b.name), a.name
    names = {"a": about.label(a), "b": about.label(b)}
    if form < 0.45 and len(_relations(a, b)) == 1:
        return about.ask("seen_from", **names), relation.removesuffix(" of")
    if form < 0.6:
        axis = "left_or_right" if relation in ("left of", "right of") else "above_or_below"
        return about.ask(axis, **names), relation.removesuffix(" of")
    yes = rng.random() < 0.5
    said = relation if yes else OPPOSITE_RELATION[relation]
    return about.ask("is_beside", relation=said, **names), "yes" if yes else "no"


def about_side(about: About) -> list[Turn]:
    """Which shape is furthest to a side or, of two, the colour of the one on a side."""
    side = about.rng.choice(list(SIDES))
    first = [a for a in about.shapes if all(a is b or holds(SIDES[side], a, b) for b in about.shapes)]
    if not first or len(about.shapes) < 2:
        return []
    if len(about.shapes) == 2 and side in ("left", "right") and about.rng.random() < 0.5:
        return [(about.ask("colour_at", side=side), first[0].colour)]
    return [(about.ask("furthest", side=side), first[0].name)]


def about_size(about: About) -> list[Turn]:
    """Which of two or of all is larger or smaller, where the difference is clear."""
    rng = about.rng
    pairs = [(a, b) for a, b in permutations(about.shapes, 2) if clearly_larger(a, b)]
    if not pairs:
        return []
    a, b = rng.choice(pairs)
    word, form = rng.choice(LABELS["larger_words"]), rng.random()
    winner, loser = (b, a) if word == "smaller" else (a, b)
    if form < 0.4:
        both = rng.sample([winner, loser], 2)
        return [(about.ask("larger_of", larger=word, a=both[0].name, b=both[1].name), winner.name)]
    if form < 0.7:
        yes = rng.random() < 0.5
        one, other = (winner, loser) if yes else (loser, winner)
        question = about.ask("is_larger", larger=word, a=about.label(one), b=about.label(other))
        return [(question, "yes" if yes else "no")]
    word = rng.choice(LABELS["largest_words"])
    top = [
        s
        for s in about.shapes
        if all(s is o or clearly_larger(*((o, s) if word == "smallest" else (s, o))) for o in about.shapes)
    ]
    return [(about.ask("largest", largest=word), top[0].name)] if top else []


def clearly_larger(a: Placed, b: Placed) -> bool:
    """Whether a is larger by a fifth in extent and by two fifths in area, so that both ways to compare agree."""
    extents = [max(shape.mask.size) for shape in (a, b)]
    return extents[0] >= 1.2 * extents[1] and _area(a) >= 1.4 * _area(b)


def _area(shape: Placed) -> float:
    """Covered area in pixels; of a ring or an outline, with what it encloses."""
    width, height = shape.mask.size
    hollow = shape.kind == "ring" or (shape.look and shape.look.line)
    return width * height * 0.6 if hollow else ImageStat.Stat(shape.mask).sum[0] / 255


def about_part(about: About) -> list[Turn]:
    """In which ninth of the image shapes lie, as words; not for shapes near the border between two ninths."""
    turns = []
    for shape in about.shapes:
        words = part_words(shape, about.scene)
        if words:
            turns.append((about.ask("part_of", label=f"the {about.label(shape)}"), words))
    return about.some(turns, 2)


def part_words(shape: Placed, scene: Scene) -> str:
    """The ninth of the image, for example "top left", "right" or "middle"; "" where the centre is near a border of it."""
    shares = [middle / side for middle, side in zip(shape.centre, scene.size, strict=True)]
    if any(abs(share - border) < 0.05 for share in shares for border in (1 / 3, 2 / 3)):
        return ""
    across, down = (int(share * 3) for share in shares)
    return " ".join(filter(None, (("top", "", "bottom")[down], ("left", "", "right")[across]))) or "middle"


def about_place(about: About) -> list[Turn]:
    """Boxes and centres; of a single shape seldom, because its box is that of all that is drawn.

    Of a kind that several shapes have, sometimes all boxes at once.
    """
    rng, scene = about.rng, about.scene
    if len(about.shapes) == 1 and rng.random() < 0.7:
        return []
    asked = rng.sample(about.shapes, min(3, len(about.shapes)))
    turns = [ask_where(rng, about.split, about.ease, scene, shape, f"the {about.label(shape)}") for shape in asked]
    several = [shape for shape in about.shapes if shape.kind == asked[0].kind]
    if len(several) > 1 and rng.random() < 0.4:
        turns = [turn for shape, turn in zip(asked, turns, strict=True) if shape not in several]
        turns.append((about.ask("where_all", things=shapes.PLURALS[asked[0].kind]), box_lines(several, scene)))
    return turns


def about_all(about: About) -> list[Turn]:
    """All shapes from left to right, or their colours, where the order is clear."""
    ordered = sorted(about.shapes, key=lambda shape: shape.centre[0])
    if any(b.centre[0] - a.centre[0] < max(8, about.scene.size[0] // 28) for a, b in pairwise(ordered)):
        return []
    if len(ordered) > 1 and about.rng.random() < 0.2:
        return [(about.ask("which_colours"), ", ".join(dict.fromkeys(shape.colour for shape in ordered)))]
    return [(about.ask("describe"), ", ".join(article(shape.name) for shape in ordered))]


GROUPS: tuple[Callable[[About], list[Turn]], ...] = (
    about_number,
    about_names,
    about_presence,
    about_absent,
    about_side,
    about_size,
    about_relation,
    about_part,
    about_place,
    about_all,
)
"""In the order of a dialogue. Names come after numbers, because they only tell what is there; questions that say whole names
come after those that ask for a part of a name; boxes come after the relations that follow from them."""
