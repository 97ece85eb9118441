"""How shapes and backgrounds look beyond the plain form: renderers, proportions, outlines, borders, gradients, paper.

Other programs draw other edges, so masks come from three renderers: Pillow without and with supersampling, and aggdraw
(Anti-Grain Geometry). A mask is cropped to its own pixels, so that its box is tight. Not here: the plain form (kinds),
which shape has which look (free_scenes).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, sin
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from drawn_world.item import Size
from drawn_world.palette import Rgb, distance
from qwen2vl.common.errors import Qwen2VLError

INSTALL_LINE = "pip install aggdraw"
RENDERERS = ("hard", "smooth2", "smooth4", "vector")
"""Pillow as it draws by default, Pillow at 2 or 4 times the size and reduced, and aggdraw."""
TURNS = {"square": 7, "cross": 10, "diamond": 5, "star": 180, "triangle": 180}
"""Largest rotation in degrees in either direction: a square at 45 degrees would be a diamond."""
PROPORTIONS = {
    "ring": (0.14, 0.3),
    "cross": (0.22, 0.42),
    "star": (0.36, 0.55),
    "diamond": (0.6, 0.95),
    "triangle": (-1.0, 1.0),
}
"""Range of the one number that the form of a kind depends on: the band of a ring and the arm of a cross as shares of the
side, the inner radius of a star, the width of a diamond, and how far the tip of a triangle lies off the middle."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
Primitive = tuple[str, list[float], int]
"""Ellipse or polygon, its coordinates, and the coverage that it sets, 0 to 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeLook:
    """The form and the filling of one shape."""

    renderer: str
    """One of RENDERERS."""
    turn: int = 0
    """Rotation in degrees."""
    proportion: float = 0.0
    """Within PROPORTIONS of the kind; of no effect for circles and squares."""
    line: int = 0
    """Width in pixels of the outline; 0 for a filled shape."""
    border: int = 0
    """Width in pixels of a border in another colour around a filled shape."""
    second: Rgb | None = None
    """Colour of the border, or of the lower end of a gradient where there is no border."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A background: one colour, or a gradient between two, with or without noise."""

    top: Rgb
    bottom: Rgb
    turned: bool = False
    """Whether the gradient runs from left to right."""
    noise: int = 0
    """Largest change of a channel by noise."""
    seed: int = 0
    """Seed of the noise."""

    def draw(self, size: Size) -> Image.Image:
        """The empty image."""
        even = self.top == self.bottom
        image = Image.new("RGB", size, self.top) if even else _gradient(size, self.top, self.bottom, self.turned)
        if not self.noise:
            return image
        source = np.random.default_rng(self.seed)
        pixels = np.asarray(image).astype(np.int16)
        pixels += source.integers(-self.noise, self.noise + 1, size=pixels.shape[:2], dtype=np.int16)[:, :, None]
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def random_look(rng: Random, kind: str, side: int, rgb: Rgb, paper: Paper) -> ShapeLook:
    """A look for a shape of this kind, longer side in pixels, and colour; its border stands out from the background.

    An outlined circle would be a ring: it has a line only where it is large, and then a thinner one than any ring.
    """
    most = TURNS.get(kind, 0)
    turn = rng.randint(-most, most) if rng.random() < 0.4 else 0
    low, high = PROPORTIONS.get(kind, (0.0, 0.0))
    proportion = rng.uniform(low, high) if kind != "triangle" or rng.random() < 0.4 else 0.0
    line = border = 0
    second = None
    style = rng.random()
    if style < 0.12 and kind != "ring" and side >= (60 if kind == "circle" else 28):
        line = rng.randint(2, max(2, side // (20 if kind == "circle" else 12)))
    elif style < 0.24 and kind != "ring" and side >= 24:
        visible = [rgb for rgb in (BLACK, WHITE, _blend(rgb, BLACK, 0.5)) if _visible(rgb, paper)]
        border, second = (rng.randint(1, max(1, side // 16)), rng.choice(visible)) if visible else (0, None)
    elif style < 0.36:
        second = _blend(rgb, rng.choice((BLACK, WHITE)), 0.18)  # with more, red turns brown or pink
    renderer = rng.choice(RENDERERS)
    return ShapeLook(
        renderer=renderer, turn=turn, proportion=round(proportion, 2), line=line, border=border, second=second
    )


@lru_cache(maxsize=1024)
def mask(kind: str, side: int, look: ShapeLook) -> Image.Image:
    """Coverage of a shape as an 8-bit image, cropped to the shape. Cached: do not draw on it."""
    full = _coverage(look.renderer, _primitives(kind, side, look.turn, look.proportion), side)
    return ImageChops.subtract(full, eroded(full, look.line)) if look.line else full


def eroded(covered: Image.Image, width: int) -> Image.Image:
    """The coverage without a margin of this width in pixels inside its edge."""
    roomy = ImageOps.expand(covered, 1)  # the filter takes nothing away where the shape touches the edge of its image
    return roomy.filter(ImageFilter.MinFilter(2 * width + 1)).crop((1, 1, roomy.width - 1, roomy.height - 1))


def paste(image: Image.Image, corner: tuple[int, int], covered: Image.Image, rgb: Rgb, look: ShapeLook) -> None:
    """Draw a shape with this coverage into an image, its upper left pixel at a corner."""
    if look.second is None:
        image.paste(rgb, corner, covered)
    elif look.border:
        image.paste(look.second, corner, covered)
        image.paste(rgb, corner, eroded(covered, look.border))
    else:
        image.paste(_gradient(covered.size, rgb, look.second, False), corner, covered)


def _visible(rgb: Rgb, paper: Paper) -> bool:
    return all(distance(rgb, ground) >= 150 for ground in (paper.top, paper.bottom))


def _blend(rgb: Rgb, other: Rgb, share: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(rgb, other, strict=True))
    return red, green, blue


def _gradient(size: Size, top: Rgb, bottom: Rgb, turned: bool) -> Image.Image:
    length = size[0] if turned else size[1]
    shares = np.linspace(0, 1, length)[:, None]
    column = (np.array(top) + (np.array(bottom) - np.array(top)) * shares).round().astype(np.uint8)
    line = column[None] if turned else column[:, None]
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(line, (size[1], size[0], 3))))


def _primitives(kind: str, side: int, turn: int, proportion: float) -> list[Primitive]:
    """What to paint, in order, inside a square from 0 to `side`."""
    if kind == "circle":
        return [("ellipse", [0, 0, side, side], 255)]
    if kind == "ring":
        band = max(3.0, side * proportion)
        return [("ellipse", [0, 0, side, side], 255), ("ellipse", [band, band, side - band, side - band], 0)]
    angle = turn * pi / 180
    points = [(x * cos(angle) - y * sin(angle), x * sin(angle) + y * cos(angle)) for x, y in _corners(kind, proportion)]
    left, top = (min(point[axis] for point in points) for axis in (0, 1))
    extent = max(max(point[axis] for point in points) - low for axis, low in ((0, left), (1, top)))
    return [("polygon", [v for x, y in points for v in ((x - left) * side / extent, (y - top) * side / extent)], 255)]


def _corners(kind: str, proportion: float) -> list[tuple[float, float]]:
    """Corners of a kind around (0, 0), at any scale."""
    if kind == "square":
        return [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    if kind == "diamond":
        return [(0, -1), (proportion, 0), (0, 1), (-proportion, 0)]
    if kind == "triangle":
        return [(proportion, -0.87), (1, 0.87), (-1, 0.87)]
    if kind == "cross":
        arm = proportion
        quarter = [(-arm, -1.0), (arm, -1.0), (arm, -arm)]
        turns = [lambda x, y: (x, y), lambda x, y: (-y, x), lambda x, y: (-x, -y), lambda x, y: (y, -x)]
        return [turned(x, y) for turned in turns for x, y in quarter]
    angles = [(step * 36 - 90) * pi / 180 for step in range(10)]
    return [(cos(a) * r, sin(a) * r) for a, r in zip(angles, [1.0, proportion] * 5, strict=True)]


def _coverage(renderer: str, primitives: list[Primitive], side: int) -> Image.Image:
    if renderer == "vector":
        drawn = _with_aggdraw(primitives, side)
    else:
        scale = int(renderer.removeprefix("smooth")) if renderer.startswith("smooth") else 1
        drawn = Image.new("L", (side * scale, side * scale))
        pen, last = ImageDraw.Draw(drawn), side * scale - 1
        for shape, coordinates, value in primitives:
            scaled = [min(last, coordinate * scale) for coordinate in coordinates]
            (pen.ellipse if shape == "ellipse" else pen.polygon)(scaled, fill=value)
        drawn = drawn.reduce(scale) if scale > 1 else drawn
    return drawn.crop(drawn.getbbox())


def _with_aggdraw(primitives: list[Primitive], side: int) -> Image.Image:
    try:
        import aggdraw  # heavy users of the package never draw: an optional dependency
    except ImportError as error:
        raise Qwen2VLError(
            f"aggdraw was not found: shapes are drawn with it; install it with: {INSTALL_LINE}"
        ) from error
    drawn = Image.new("L", (side, side))
    pen = aggdraw.Draw(drawn)
    for shape, coordinates, value in primitives:
        (pen.ellipse if shape == "ellipse" else pen.polygon)(coordinates, None, aggdraw.Brush(value))
    pen.flush()
    return drawn
