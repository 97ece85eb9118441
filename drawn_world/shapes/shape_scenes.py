"""Scenes of shapes. A scene describes a background and placed shapes; images and truths both come from it.

Not here: questions about scenes (shape_tasks, shape_lessons, pairs), and how shapes move (videos).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from PIL import Image

from drawn_world import palette
from drawn_world.item import Box, Size
from drawn_world.palette import Rgb
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes import looks
from drawn_world.shapes.looks import Paper, ShapeLook
from qwen2vl.spec.config import FACTOR

OPPOSITE_RELATION = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
RELATIONS = tuple(OPPOSITE_RELATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One shape at its place in an image."""

    kind: str
    """One of kinds.KINDS."""
    colour: str
    """Name of the colour, one of palette.COLOURS."""
    rgb: Rgb
    """The colour as it is drawn, near the named one."""
    side: int
    """Longer side in pixels."""
    turn: int
    """Rotation in degrees."""
    x: int
    """Left edge in pixels."""
    y: int
    """Top edge in pixels."""
    look: ShapeLook | None = None
    """How it differs from the plain form, whose rotation is `turn`."""

    @property
    def mask(self) -> Image.Image:
        """Coverage of the shape, 8 bits a pixel, cropped to the shape."""
        if self.look:
            return looks.mask(self.kind, self.side, self.look)
        return shapes.mask(self.kind, self.side, self.turn)

    @property
    def box_px(self) -> Box:
        """The box that encloses the shape tightly."""
        width, height = self.mask.size
        return self.x, self.y, self.x + width, self.y + height

    @property
    def name(self) -> str:
        """Colour and kind, for example "red circle"."""
        return f"{self.colour} {self.kind}"

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box."""
        x1, y1, x2, y2 = self.box_px
        return (x1 + x2) / 2, (y1 + y2) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The description of one image of shapes."""

    size: Size
    ground: Rgb
    shapes: tuple[Placed, ...]
    paper: Paper | None = None
    """The background where it is more than one colour; `ground` is then a colour of it."""

    def described(self) -> dict[str, Any]:
        """The JSON form, complete enough to draw the scene again."""
        placed = [
            {"kind": s.kind, "colour": s.colour, "rgb": list(s.rgb), "side": s.side, "turn": s.turn, "x": s.x, "y": s.y}
            | ({"look": asdict(s.look)} if s.look else {})
            for s in self.shapes
        ]
        described = {"size": list(self.size), "ground": list(self.ground), "shapes": placed}
        return described | ({"paper": asdict(self.paper)} if self.paper else {})


def article(name: str) -> str:
    """The name with its article: "a red circle", "an apple"."""
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def name_truths(name: str) -> tuple[str, str, str]:
    """The ways to name a thing that count as right: "a red circle", "red circle", "the red circle"."""
    return article(name), name, f"the {name}"


def image_size(rng: Random, low: int, high: int, ease: float = 0.0) -> Size:
    """Width and height between low and high visual tokens a side; about one in seven is not a multiple of 28 pixels.

    With probability `ease` always 4 x 4 tokens: answers give boxes as shares of the size, which is easier to learn where
    the size is always the same.
    """
    if ease and rng.random() < ease:
        return 4 * FACTOR, 4 * FACTOR
    if rng.random() < 0.15:
        return rng.randint(low * FACTOR, high * FACTOR), rng.randint(low * FACTOR, high * FACTOR)
    return rng.randint(low, high) * FACTOR, rng.randint(low, high) * FACTOR


def make_shape(rng: Random, kind: str, colour: str, side: int) -> Placed:
    """A shape of this kind and colour at the upper left corner, to be moved afterwards."""
    turn = rng.choice(shapes.TURNS.get(kind, (0,)))
    rgb = palette.jitter(rng, palette.COLOURS[colour])
    return Placed(kind=kind, colour=colour, rgb=rgb, side=side, turn=turn, x=0, y=0)


def moved(shape: Placed, x: int, y: int) -> Placed:
    """The same shape at another place (dataclasses.replace costs three times as much)."""
    return Placed(
        kind=shape.kind, colour=shape.colour, rgb=shape.rgb, side=shape.side, turn=shape.turn, x=x, y=y, look=shape.look
    )


def in_cell(shape: Placed, column: int, row: int) -> Placed:
    """The shape in the middle of a visual token."""
    width, height = shape.mask.size
    return moved(shape, column * FACTOR + (FACTOR - width) // 2, row * FACTOR + (FACTOR - height) // 2)


def fill_cells(
    rng: Random, size: Size, names: Sequence[tuple[str, str]], ground: Rgb, cells: Sequence[int] | None = None
) -> Scene:
    """A scene of (colour, kind) shapes that each fill one visual token.

    cells: numbers of the tokens in reading order, one for each shape; None chooses them at random.
    """
    columns, rows = size[0] // FACTOR, size[1] // FACTOR
    cells = cells or rng.sample(range(columns * rows), len(names))
    placed = [
        in_cell(make_shape(rng, kind, colour, FACTOR - 3), cell % columns, cell // columns)
        for (colour, kind), cell in zip(names, cells, strict=True)
    ]
    return Scene(size=size, ground=ground, shapes=tuple(placed))


def turned_into(rng: Random, old: Placed, colour: str = "", kind: str = "") -> Placed:
    """The shape in another colour or of another kind ("" keeps the old one), with about the same centre."""
    rgb = palette.jitter(rng, palette.COLOURS[colour]) if colour else old.rgb
    turn = rng.choice(shapes.TURNS.get(kind, (0,))) if kind else old.turn
    kind, colour = kind or old.kind, colour or old.colour
    extent = shapes.mask(kind, old.side, turn).size
    x, y = (int(middle - length / 2) for middle, length in zip(old.centre, extent, strict=True))
    return Placed(kind=kind, colour=colour, rgb=rgb, side=old.side, turn=turn, x=x, y=y)


def fits(size: Size, shape: Placed, others: Sequence[Placed], gap: int = 1) -> bool:
    """Whether a shape lies inside the image and leaves a gap to all others."""
    x1, y1, x2, y2 = shape.box_px
    inside = x1 >= 0 and y1 >= 0 and x2 <= size[0] and y2 <= size[1]
    return inside and all(apart(shape.box_px, other.box_px, gap) for other in others)


def apart(a: Box, b: Box, gap: int = 2) -> bool:
    """Whether two boxes leave a gap between them."""
    return a[2] + gap <= b[0] or b[2] + gap <= a[0] or a[3] + gap <= b[1] or b[3] + gap <= a[1]


def try_place(rng: Random, size: Size, made: list[Placed]) -> list[Placed] | None:
    """The shapes at random free places, or None if twenty tries found no place for one of them."""
    placed: list[Placed] = []
    taken: list[Box] = []
    for shape in made:
        width, height = shape.mask.size
        for _ in range(20):
            x, y = rng.randint(0, size[0] - width), rng.randint(0, size[1] - height)
            box = (x, y, x + width, y + height)
            if all(apart(box, other) for other in taken):
                placed.append(moved(shape, x, y))
                taken.append(box)
                break
        else:
            return None
    return placed


def scatter(rng: Random, size: Size, names: Sequence[tuple[str, str]], low: int, high: int, ground: Rgb) -> Scene:
    """A scene of (colour, kind) shapes, low to high pixels wide, that do not touch. Shrinks them until they fit."""
    while True:
        high_now = max(low, min(high, min(size) - 4))
        made = [make_shape(rng, kind, colour, rng.randint(low, high_now)) for colour, kind in names]
        placed = try_place(rng, size, made)
        if placed is not None:
            return Scene(size=size, ground=ground, shapes=tuple(placed))
        low, high = max(12, low * 9 // 10), max(12, high_now * 9 // 10)


def draw_scene(scene: Scene) -> Image.Image:
    """The image of a scene, without noise."""
    image = scene.paper.draw(scene.size) if scene.paper else Image.new("RGB", scene.size, scene.ground)
    for shape in scene.shapes:
        if shape.look:
            looks.paste(image, (shape.x, shape.y), shape.mask, shape.rgb, shape.look)
        else:
            image.paste(shape.rgb, (shape.x, shape.y), shape.mask)
    return image


def render(rng: Random, scene: Scene) -> Image.Image:
    """The image of a scene; one in four has light noise."""
    image = draw_scene(scene)
    return palette.noisy(rng, image, rng.randint(2, 9)) if rng.random() < 0.25 else image


def distinct_names(rng: Random, count: int, ground: Rgb, distinct_kinds: bool = False) -> list[tuple[str, str]]:
    """Different (colour, kind) pairs; in half of the cases some share a colour or a kind, so that both must be seen."""
    colours = palette.colours_on(ground)
    if distinct_kinds:
        return [(rng.choice(colours), kind) for kind in rng.sample(shapes.KINDS, count)]
    few = rng.random() < 0.5
    colour_pool = rng.sample(colours, min(len(colours), 2 if few else len(colours)))
    kind_pool = rng.sample(shapes.KINDS, 2 if few else len(shapes.KINDS))
    pairs = [(colour, kind) for colour in colour_pool for kind in kind_pool]
    return rng.sample(pairs, count)
