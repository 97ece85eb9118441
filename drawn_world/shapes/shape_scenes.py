"""A scene is a description: ground and placed shapes. Images and truths both come from it.

Not here: questions (tasks, pairs), and how shapes move (videos).
"""

from dataclasses import dataclass
from random import Random

from PIL import Image

from drawn_world import palette
from drawn_world.item import Box
from drawn_world.palette import Rgb
from drawn_world.shapes import kinds as shapes
from qwen2vl.spec.config import FACTOR

OPPOSITE_RELATION = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
RELATIONS = tuple(OPPOSITE_RELATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One shape where it stands."""

    kind: str
    colour: str
    """Its name."""
    rgb: Rgb
    side: int
    turn: int
    x: int
    """Left edge of its pixels."""
    y: int
    """Top edge of its pixels."""

    @property
    def mask(self) -> Image.Image:
        """Its coverage, cut to its pixels."""
        return shapes.mask(self.kind, self.side, self.turn)

    @property
    def box_px(self) -> Box:
        """Its pixels, right and bottom exclusive."""
        width, height = self.mask.size
        return self.x, self.y, self.x + width, self.y + height

    @property
    def name(self) -> str:
        """Colour and kind, e.g. "red circle"."""
        return f"{self.colour} {self.kind}"

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box."""
        x1, y1, x2, y2 = self.box_px
        return (x1 + x2) / 2, (y1 + y2) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is drawn."""

    size: tuple[int, int]
    ground: Rgb
    shapes: tuple[Placed, ...]


def article(name: str) -> str:
    """ "red circle" -> "a red circle"."""
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def name_truths(name: str) -> tuple[str, str, str]:
    """The ways to say a shape that count as right."""
    return article(name), name, f"the {name}"


def image_size(rng: Random, low: int, high: int, ease: float = 0.0) -> tuple[int, int]:
    """Width and height between low and high tokens a side; about one in seven is not a multiple of 28.

    With probability `ease` always 4 x 4 tokens: boxes are shares of the size, so one size is where they are learnt.
    """
    if ease and rng.random() < ease:
        return 4 * FACTOR, 4 * FACTOR
    if rng.random() < 0.15:
        return rng.randint(low * FACTOR, high * FACTOR), rng.randint(low * FACTOR, high * FACTOR)
    return rng.randint(low, high) * FACTOR, rng.randint(low, high) * FACTOR


def make_shape(rng: Random, kind: str, colour: str, side: int) -> Placed:
    """A shape of this kind and colour at the upper left corner; place it afterwards."""
    turn = rng.choice(shapes.TURNS.get(kind, (0,)))
    rgb = palette.jitter(rng, palette.COLOURS[colour])
    return Placed(kind=kind, colour=colour, rgb=rgb, side=side, turn=turn, x=0, y=0)


def moved(shape: Placed, x: int, y: int) -> Placed:
    """The same shape elsewhere (dataclasses.replace costs three times as much)."""
    return Placed(kind=shape.kind, colour=shape.colour, rgb=shape.rgb, side=shape.side, turn=shape.turn, x=x, y=y)


def in_cell(shape: Placed, column: int, row: int) -> Placed:
    """The shape in the middle of a visual token."""
    width, height = shape.mask.size
    return moved(shape, column * FACTOR + (FACTOR - width) // 2, row * FACTOR + (FACTOR - height) // 2)


def apart(a: Box, b: Box, gap: int = 2) -> bool:
    """Whether two boxes leave a gap between them."""
    return a[2] + gap <= b[0] or b[2] + gap <= a[0] or a[3] + gap <= b[1] or b[3] + gap <= a[1]


def try_place(rng: Random, size: tuple[int, int], made: list[Placed]) -> list[Placed] | None:
    """The shapes at random free places, or None when twenty tries for one of them found none."""
    placed: list[Placed] = []
    for shape in made:
        width, height = shape.mask.size
        for _ in range(20):
            x, y = rng.randint(0, size[0] - width), rng.randint(0, size[1] - height)
            box = (x, y, x + width, y + height)
            if all(apart(box, other.box_px) for other in placed):
                placed.append(moved(shape, x, y))
                break
        else:
            return None
    return placed


def scatter(
    rng: Random, size: tuple[int, int], names: list[tuple[str, str]], low: int, high: int, ground: Rgb
) -> Scene:
    """A scene of (colour, kind) shapes, low..high pixels wide, that do not touch. Shrinks them until they fit."""
    while True:
        high_now = max(low, min(high, min(size) - 4))
        made = [make_shape(rng, kind, colour, rng.randint(low, high_now)) for colour, kind in names]
        placed = try_place(rng, size, made)
        if placed is not None:
            return Scene(size=size, ground=ground, shapes=tuple(placed))
        low, high = max(12, low * 9 // 10), max(12, high_now * 9 // 10)


def draw_scene(scene: Scene) -> Image.Image:
    """The image of a scene, without noise."""
    image = Image.new("RGB", scene.size, scene.ground)
    for shape in scene.shapes:
        image.paste(shape.rgb, (shape.x, shape.y), shape.mask)
    return image


def render(rng: Random, scene: Scene) -> Image.Image:
    """The image of a scene; one in four carries light noise."""
    image = draw_scene(scene)
    return palette.noisy(rng, image, rng.randint(2, 9)) if rng.random() < 0.25 else image


def distinct_names(rng: Random, count: int, ground: Rgb, distinct_kinds: bool = False) -> list[tuple[str, str]]:
    """(colour, kind) pairs, all different, half of the time sharing a colour or a kind so that both must be seen."""
    colours = palette.colours_on(ground)
    if distinct_kinds:
        return [(rng.choice(colours), kind) for kind in rng.sample(shapes.KINDS, count)]
    few = rng.random() < 0.5
    colour_pool = rng.sample(colours, min(len(colours), 2 if few else len(colours)))
    kind_pool = rng.sample(shapes.KINDS, 2 if few else len(shapes.KINDS))
    pairs = [(colour, kind) for colour in colour_pool for kind in kind_pool]
    return rng.sample(pairs, count)
