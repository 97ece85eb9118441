"""Scenes from a procedure: images of 84 to 448 pixels a side, shapes of 12 to 200 pixels, any look and background.

With rising `ease` every property nears one fixed form independently: a 4 x 4 grid of visual tokens, in each of which one
plain shape fits, on nearly white. Not here: scenes of one fixed layout (shape_scenes), questions (places, scene_talk).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from random import Random

from PIL import Image

from drawn_world import palette
from drawn_world.damage import damaged
from drawn_world.item import Size
from drawn_world.palette import Rgb
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.looks import Paper, random_look
from drawn_world.shapes.shape_scenes import Placed, Scene, in_cell, make_shape, moved, render, try_place
from qwen2vl.spec.config import FACTOR

COMMON_SIZES = (
    (224, 224),
    (224, 224),
    (128, 128),
    (100, 100),
    (200, 200),
    (256, 256),
    (300, 300),
    (320, 240),
    (400, 300),
    (448, 448),
)
"""Sizes in pixels that people choose."""
Name = tuple[str, str]
"""Colour and kind."""


def free_scene(rng: Random, ease: float, low: int = 2, high: int = 8) -> Scene:
    """A scene of `low` to `high` shapes with different names; at ease 1 of `low` shapes."""
    count = low + int(rng.random() * (1 + (high - low) * (1 - ease)))
    return named_scene(rng, ease, lambda colours: distinct_names(rng, colours, min(count, high), ease))


def named_scene(
    rng: Random,
    ease: float,
    choose: Callable[[Sequence[str]], Sequence[Name]],
    size: Size | None = None,
    paper: Paper | None = None,
) -> Scene:
    """A scene of the names that `choose` picks from colours that stand out.

    size, paper: None chooses them at random.
    """
    paper = paper or random_paper(rng, ease)
    names = choose(colours_on(paper))
    aligned = rng.random() < ease and size is None
    if aligned:
        size = _grid_size(rng, ease, len(names))
        placed = _in_cells(rng, size, names, paper, ease)
    else:
        size = size or random_size(rng, ease)
        placed = _anywhere(rng, size, names, paper, ease)
    plain = paper.top == paper.bottom and not paper.noise
    return Scene(size=size, ground=paper.top, shapes=tuple(placed), paper=None if plain else paper)


def render_free(rng: Random, scene: Scene, ease: float) -> Image.Image:
    """The image of a scene; some have light noise, some are blurred, scaled or went through JPEG."""
    image = render(rng, scene)
    if rng.random() < ease or rng.random() < 0.8:
        return image
    return damaged(rng, image, rng.randint(12, 20))[0]  # as strongly as small letters would stand it


def distinct_names(rng: Random, colours: Sequence[str], count: int, ease: float) -> list[Name]:
    """Different names, no more than exist; with probability `ease` no colour and no kind twice.

    In half of the others names share few colours or few kinds, so that both must be seen.
    """
    if rng.random() < ease and count <= min(len(colours), len(shapes.KINDS)):
        return list(zip(rng.sample(colours, count), rng.sample(shapes.KINDS, count), strict=True))
    few = rng.random()
    num_colours = rng.randint(2, 3) if few < 0.25 else len(colours)
    num_kinds = rng.randint(2, 3) if 0.25 <= few < 0.5 else len(shapes.KINDS)
    pool = list(product(rng.sample(colours, min(num_colours, len(colours))), rng.sample(shapes.KINDS, num_kinds)))
    return rng.sample(pool, min(count, len(pool)))


def random_size(rng: Random, ease: float) -> Size:
    """Width and height in pixels; with probability `ease` 4 x 4 visual tokens."""
    if rng.random() < ease:
        return 4 * FACTOR, 4 * FACTOR
    most = 112 + round(336 * (1 - ease))
    if rng.random() < 0.3:
        return rng.choice([size for size in COMMON_SIZES if max(size) <= max(most, 128)])
    width = rng.randint(84, most)
    height = min(most, max(84, round(width * rng.choice((1, rng.uniform(0.6, 1.6))))))
    if rng.random() < 0.4:
        return width // FACTOR * FACTOR, height // FACTOR * FACTOR
    return width, height


def random_paper(rng: Random, ease: float) -> Paper:
    """A background on which at least four colours stand out; with probability `ease` the easiest one."""
    if rng.random() < ease:
        return Paper(top=palette.EASY_GROUND, bottom=palette.EASY_GROUND)
    while True:
        top = _ground(rng)
        bottom = palette.jitter(rng, top, rng.randint(15, 50)) if rng.random() < 0.2 else top
        noise = rng.randint(2, 24) if rng.random() < 0.2 else 0
        seed = rng.getrandbits(32) if noise else 0
        paper = Paper(top=top, bottom=bottom, turned=rng.random() < 0.5, noise=noise, seed=seed)
        if len(colours_on(paper)) >= 4:
            return paper


def _ground(rng: Random) -> Rgb:
    kind = rng.random()
    if kind < 0.35:
        return (255, 255, 255)
    if kind < 0.65:
        return palette.background(rng)
    if kind < 0.72:
        return (0, 0, 0)
    if kind < 0.88:  # pale and tinted
        return rng.randint(190, 255), rng.randint(190, 255), rng.randint(190, 255)
    return rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255)


def colours_on(paper: Paper) -> list[str]:
    """Names of the colours that stand out from all of a background."""
    below = palette.colours_on(paper.bottom)
    return [name for name in palette.colours_on(paper.top) if name in below]


def look_of(rng: Random, shape: Placed, paper: Paper, ease: float) -> Placed:
    """The shape in a random shade and look; with probability `ease` unchanged."""
    if rng.random() < ease:
        return shape
    rgb = palette.shade(rng, shape.colour, paper.top, paper.bottom)
    return replace(shape, rgb=rgb, turn=0, look=random_look(rng, shape.kind, shape.side, rgb, paper))


def _grid_size(rng: Random, ease: float, count: int) -> Size:
    columns, rows = 4, 4
    if rng.random() >= ease:
        most = 4 + round(6 * (1 - ease))
        columns, rows = rng.randint(3, most), rng.randint(max(3, -(-count // 3)), most)
    return columns * FACTOR, rows * FACTOR


def _in_cells(rng: Random, size: Size, names: Sequence[Name], paper: Paper, ease: float) -> list[Placed]:
    """Every shape in a visual token of its own; with probability `ease` it fills it."""
    columns, rows = size[0] // FACTOR, size[1] // FACTOR
    placed = []
    for (colour, kind), cell in zip(names, rng.sample(range(columns * rows), len(names)), strict=True):
        side = FACTOR - 3 if rng.random() < ease else rng.randint(16, FACTOR - 1)
        shape = look_of(rng, make_shape(rng, kind, colour, side), paper, ease)
        shape = in_cell(shape, cell % columns, cell // columns)
        if rng.random() >= ease:
            width, height = shape.mask.size
            corner = cell % columns * FACTOR, cell // columns * FACTOR
            shape = moved(
                shape, corner[0] + rng.randint(0, FACTOR - width), corner[1] + rng.randint(0, FACTOR - height)
            )
        placed.append(shape)
    return placed


def _anywhere(rng: Random, size: Size, names: Sequence[Name], paper: Paper, ease: float) -> list[Placed]:
    """Shapes that do not touch, at random places; they shrink until they fit."""
    low = max(12 + round(12 * ease), min(size) // 20)
    high = min(200, round(min(size) * min(0.75, 1.2 / len(names) ** 0.5)))
    shares = [rng.random()] * len(names) if rng.random() < 0.3 else [rng.random() for _ in names]
    while True:
        made = []
        for (colour, kind), share in zip(names, shares, strict=True):
            side = round(low * max(1, high / low) ** share)  # small ones as often as large ones
            made.append(look_of(rng, make_shape(rng, kind, colour, side), paper, ease))
        order = sorted(
            range(len(made)), key=lambda index: -made[index].side
        )  # large ones find a place while there is room
        placed = try_place(rng, size, [made[index] for index in order])
        if placed is not None:
            return [placed[order.index(index)] for index in range(len(made))]
        low, high = max(12, round(low * 0.9)), max(12, round(high * 0.8))
