"""The looks of charts: sizes, margins, fonts, grids, axes, colours, marks and legends, all sampled from ranges.

A few values belong to one split each (PARTS, GROUNDS, SERIES); training's colours are free, but never those of another split.
Not here: what a chart shows (chart_data), and where its parts are on the image (chart_drawing).
"""

from collections.abc import Sequence
from colorsys import hls_to_rgb
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from PIL import Image, ImageDraw

from drawn_world import palette
from drawn_world.charts.chart_data import COLOUR_NAMES, Chart, steps_of
from drawn_world.fonts import Face, faces
from drawn_world.palette import Rgb
from qwen2vl.spec.config import FACTOR

MAX_CHART_SIDE = 12 * FACTOR
"""Largest width and height of an image, in pixels."""
NO_GRID = "none"

PARTS = {
    "grid": {"train": ("solid", NO_GRID, "both"), "val": ("dashed",), "test": ("dotted",)},
    "spines": {"train": ("corner", "box", "open"), "val": ("base",), "test": ("ticks",)},
    "mark": {"train": ("disc", "square", "triangle", "point"), "val": ("diamond",), "test": ("ring",)},
    "legend": {"train": ("right", "around", "above"), "val": ("below",), "test": ("left",)},
}
"""Values of some fields of a `Look` by split; the first is the easy one."""
GROUNDS: dict[str, tuple[tuple[Rgb, Rgb], ...]] = {  # ground, ink
    "train": (
        ((255, 255, 255), (20, 20, 20)),
        ((240, 240, 240), (40, 40, 40)),
        ((250, 245, 230), (60, 45, 30)),
        ((232, 240, 248), (20, 40, 80)),
        ((30, 32, 40), (235, 235, 235)),
    ),
    "val": (((246, 240, 248), (50, 30, 60)), ((44, 36, 34), (245, 238, 230))),
    "test": (((238, 246, 238), (20, 50, 35)), ((22, 42, 52), (230, 240, 240))),
}
SERIES: dict[str, tuple[tuple[Rgb, ...], ...]] = {
    "train": (
        ((36, 72, 208), (214, 32, 36), (34, 150, 58), (246, 136, 20), (126, 38, 160), (20, 160, 170)),
        ((110, 150, 220), (235, 130, 110), (120, 185, 120), (230, 180, 70), (175, 130, 205), (90, 180, 185)),
        ((30, 50, 90), (150, 40, 50), (40, 100, 60), (175, 110, 20), (90, 45, 115), (70, 70, 70)),
        ((0, 120, 200), (240, 100, 60), (0, 170, 120), (250, 190, 40), (160, 90, 180), (230, 90, 140)),
    ),
    "val": (((70, 90, 160), (200, 80, 90), (90, 160, 90), (220, 160, 60), (140, 90, 150), (90, 170, 180)),),
    "test": (((45, 110, 140), (225, 85, 80), (120, 170, 60), (250, 170, 70), (110, 80, 170), (150, 120, 90)),),
}
"""Colours of bars, lines and slices by split; training also uses free ones."""
OF_OTHERS = tuple(ground for split in ("val", "test") for ground, _ in GROUNDS[split]) + tuple(
    colour for split in ("val", "test") for table in SERIES[split] for colour in table
)
"""Colours that training never uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a chart is drawn."""

    size: tuple[int, int]
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Empty pixels at the left, top, right and bottom edge, beside those that every chart has."""
    face: Face
    text_px: int
    ground: Rgb
    panel: Rgb
    """Colour of the plot between the axes."""
    ink: Rgb
    colours: tuple[Rgb, ...]
    """One colour per category; all are equal if the series has one colour."""
    outline: Rgb | None = None
    """Colour of the outlines of bars and slices."""
    step: int
    """Difference between two ticks."""
    room: float = 0.0
    """How far the value axis continues beyond its last number, as a share of that number."""
    grid: str
    grid_share: float = 0.25
    """How strong grid lines are, from 0 (ground) to 1 (ink)."""
    tick: int = 3
    """Length of ticks in pixels."""
    spines: str
    mark: str
    stroke: int = 5
    """Width of a line in thirds of a pixel."""
    radius: int = 2
    """Distance of the edge of a mark from its middle, in pixels."""
    legend: str
    turn: float = 0.0
    """Degrees clockwise from the top to the start of the first slice of a pie."""
    backwards: bool = False
    """Whether slices follow each other against the clock."""
    hole: float = 0.0
    """Radius of the hole in a pie, as a share of its radius."""
    horizontal: bool
    """Whether bars extend to the right, with the first category at the top."""
    axis_right: bool
    """Whether the value axis is on the right."""
    title_left: bool = False
    """Whether the title starts above the left end of the plot; else it is in the middle."""
    share: float
    """Width of a bar as a share of its band, the part of the axis that one category has."""
    inside: bool
    """Whether values are written inside their bars if these are long enough."""
    aligned: bool
    """Whether the plot is `chart_drawing.EASY_PLOT`."""

    def width_of(self, text: str) -> int:
        """Width of a text in pixels."""
        return stencil(self.face, self.text_px, text).width

    @property
    def line(self) -> int:
        """Height of a line of text."""
        top, bottom = self.face.line_edges(self.text_px)
        return bottom - top

    @property
    def digit_edges(self) -> tuple[int, int]:
        """Top and bottom edge of the digit zero below the top of its line."""
        box = self.face.at(self.text_px).getbbox("0")
        top, _ = self.face.line_edges(self.text_px)
        return int(box[1]) - top, int(box[3]) - top


def pick_look(rng: Random, split: str, ease: float, chart: Chart) -> Look:
    """Sample a look of the split; with probability `ease` each field takes its easy value."""

    def part(name: str) -> str:
        return PARTS[name][split][0] if rng.random() < ease else rng.choice(PARTS[name][split])

    def hard(probability: float) -> bool:
        return rng.random() >= ease and rng.random() < probability

    ground, ink = _grounds(rng, split, ease)
    easy_size, size = _size(rng, ease)
    face = faces(split)[0] if rng.random() < ease else rng.choice(faces(split, mono=False))
    digits = 8 if rng.random() < ease else rng.randint(7, 9 + max(0, min(size) - 140) // 40)
    horizontal = chart.kind == "bar" and hard(0.35)
    steps = steps_of(chart.top)[:-1]
    colours = _colours(rng, split, ease, chart, ground)
    look = Look(
        size=size,
        pad=tuple(rng.randint(0, min(size) // 10) for _ in range(4)) if hard(0.5) else (0, 0, 0, 0),  # type: ignore[arg-type]
        face=face,
        text_px=size_of_digits(face, digits),
        ground=ground,
        panel=mixed(ground, ink, rng.uniform(0.03, 0.12)) if hard(0.15) else ground,
        ink=ink,
        colours=colours,
        outline=mixed(ink, ground, rng.choice((0.0, 0.5, 1.0))) if hard(0.2) else None,
        step=steps[0] if rng.random() < ease else rng.choice(steps),
        room=rng.uniform(0, 0.2) if hard(0.35) else 0.0,
        grid=part("grid"),
        grid_share=rng.uniform(0.12, 0.4) if hard(1) else 0.25,
        tick=rng.randint(0, 4) if hard(0.6) else 3,
        spines=part("spines"),
        mark=part("mark"),
        stroke=rng.randint(3, 9) if hard(0.7) else 5,
        radius=3 if split != "train" or hard(0.3) else 2,
        legend=part("legend"),
        horizontal=horizontal,
        axis_right=hard(0.15) and not horizontal,
        title_left=hard(0.3),
        share=0.72 if rng.random() < ease else rng.uniform(0.35, 0.95),
        inside=hard(0.5),
        aligned=False,
    )
    if chart.kind == "pie":
        turn = rng.choice((rng.uniform(0, 360), 90.0)) if hard(0.4) else 0.0
        look = replace(look, turn=turn, backwards=hard(0.25), hole=rng.uniform(0.3, 0.6) if hard(0.25) else 0.0)
    plain = not chart.title and not any(look.pad) and not look.room
    may_align = easy_size and plain and not horizontal and not look.axis_right and chart.kind != "pie"
    return replace(look, aligned=may_align and rng.random() < ease)


def _size(rng: Random, ease: float) -> tuple[bool, tuple[int, int]]:
    """Whether the size is the easy one, and the size: small ones are more frequent, and half are whole visual tokens."""
    if rng.random() < ease:
        return True, (5 * FACTOR, 6 * FACTOR)
    most = rng.choice((7, 7, 9, MAX_CHART_SIDE // FACTOR))
    width, height = (rng.randint(4 * FACTOR, most * FACTOR) for _ in range(2))
    if rng.random() < 0.5:
        width, height = (round(side / FACTOR) * FACTOR for side in (width, height))
    return False, (width, height)


def mixed(one: Rgb, other: Rgb, share: float) -> Rgb:
    """The first colour with a share, from 0 to 1, of the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def free_colour(rng: Random, lightness: tuple[float, float], strength: float = 1.0) -> Rgb:
    """A colour of any hue with a lightness in a range, away from those of other splits. strength: largest saturation."""
    while True:
        parts = hls_to_rgb(rng.random(), rng.uniform(*lightness), rng.uniform(0.0, strength))
        red, green, blue = (round(255 * part) for part in parts)
        if all(palette.distance((red, green, blue), other) > 12 for other in OF_OTHERS):
            return red, green, blue


def _grounds(rng: Random, split: str, ease: float) -> tuple[Rgb, Rgb]:
    """Colours of the ground and of texts: of the split's table or, for half of training's harder charts, free ones."""
    if rng.random() < ease:
        return palette.EASY_GROUND, (20, 20, 20)
    if split != "train" or rng.random() < 0.5:
        return rng.choice(GROUNDS[split])
    light, dark = free_colour(rng, (0.88, 1.0), 0.6), free_colour(rng, (0.0, 0.22), 0.6)
    return (light, dark) if rng.random() < 0.75 else (dark, light)


def _colours(rng: Random, split: str, ease: float, chart: Chart, ground: Rgb) -> tuple[Rgb, ...]:
    """One colour per category. Bars and slices named after colours have these colours."""
    count = len(chart.labels)
    if set(chart.labels) <= palette.COLOURS.keys() and chart.kind != "line":
        return tuple(palette.COLOURS[label] for label in chart.labels)
    if chart.kind == "pie" or (chart.kind == "bar" and rng.random() >= ease and rng.random() < 0.3):
        return _different(rng, split, ease, count, ground)
    tables = _tables(split, ground)
    if rng.random() < ease:
        return (tables[0][0],) * count
    if split == "train" and rng.random() < 0.5:
        return _different(rng, split, ease, 1, ground) * count
    return (palette.jitter(rng, rng.choice(rng.choice(tables))),) * count


def _tables(split: str, ground: Rgb) -> Sequence[tuple[Rgb, ...]]:
    """The tables of the split that stand out from the ground; all if none does."""
    fit = [each for each in SERIES[split] if all(palette.distance(colour, ground) > 110 for colour in each)]
    return fit or SERIES[split]


def _different(rng: Random, split: str, ease: float, count: int, ground: Rgb) -> tuple[Rgb, ...]:
    """Colours that differ clearly from each other and from the ground; a third of training's have names."""
    table = list(_tables(split, ground)[0] if rng.random() < ease else rng.choice(_tables(split, ground)))
    kind = rng.choice(("table", "named", "free")) if split == "train" and rng.random() >= ease else "table"
    if kind == "named":
        table = [colour for name in COLOUR_NAMES if palette.distance(colour := palette.COLOURS[name], ground) > 110]
    colours = [] if kind == "free" else rng.sample(table, min(count, len(table)))
    distance = 120.0
    while len(colours) < count:
        colour, distance = free_colour(rng, (0.2, 0.8)), distance * 0.99  # a distance that is out of reach shrinks
        if all(palette.distance(colour, other) > distance for other in (*colours, ground)):
            colours.append(colour)
    return tuple(colours)


def colour_name(colour: Rgb) -> str | None:
    """Name of a colour that is exactly one of the named ones."""
    return next((name for name in COLOUR_NAMES if palette.COLOURS[name] == colour), None)


@lru_cache(maxsize=512)
def size_of_digits(face: Face, height: int) -> int:
    """The font size in pixels at which the digit 8 has this height (a zero is lower if the face has descending digits)."""

    def reached(size: int) -> bool:
        _, top, _, bottom = face.at(size).getbbox("8")
        return bottom - top >= height

    return next(filter(reached, range(8, 32)), 32)


@lru_cache(maxsize=8192)
def stencil(face: Face, size: int, text: str) -> Image.Image:
    """Coverage of a text, as wide as its ink and as high as a line. The image is cached: never draw on it."""
    left, _, right, _ = face.at(size).getbbox(text)
    top, bottom = face.line_edges(size)
    mask = Image.new("L", (max(1, int(right - left)), bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), text, font=face.at(size), fill=255)
    return mask
