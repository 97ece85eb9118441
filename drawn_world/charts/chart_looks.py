"""The looks of charts: size, fonts, grids, axes, colours, marks and legends, different in every split.

Not here: what a chart shows (chart_data), and where its parts are on the image (chart_drawing).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from PIL import Image, ImageDraw

from drawn_world import palette
from drawn_world.charts.chart_data import Chart
from drawn_world.fonts import Face, faces
from drawn_world.palette import Rgb
from qwen2vl.spec.config import FACTOR

MAX_CHART_SIDE = 7 * FACTOR
"""Largest width and height of an image, in pixels."""
STEPS = {10: (1, 2, 5), 20: (2, 5, 10), 50: (5, 10, 25), 100: (10, 20, 25, 50)}
"""End of the axis to the steps between ticks, the closest first; the last is used only if there is no room for the others."""

PARTS = {
    "grid": {"train": ("solid", "none"), "val": ("dashed",), "test": ("dotted",)},
    "spines": {"train": ("corner", "box"), "val": ("base",), "test": ("ticks",)},
    "mark": {"train": ("disc", "square"), "val": ("diamond",), "test": ("ring",)},
    "legend": {"train": ("right", "around"), "val": ("below",), "test": ("left",)},
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a chart is drawn."""

    size: tuple[int, int]
    face: Face
    text_px: int
    ground: Rgb
    ink: Rgb
    colours: tuple[Rgb, ...]
    """One colour per category; all are equal if the series has one colour."""
    step: int
    """Difference between two ticks."""
    grid: str
    spines: str
    mark: str
    legend: str
    horizontal: bool
    """Whether bars extend to the right, with the first category at the top."""
    axis_right: bool
    """Whether the value axis is on the right."""
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

    easy_size, easy_ground = rng.random() < ease, rng.random() < ease
    ground, ink = (palette.EASY_GROUND, (20, 20, 20)) if easy_ground else rng.choice(GROUNDS[split])
    face = faces(split)[0] if rng.random() < ease else rng.choice(faces(split, mono=False))
    horizontal = rng.random() >= ease and rng.random() < 0.35 and chart.kind == "bar"
    steps = STEPS[chart.top][:-1]
    if easy_size:
        size = 5 * FACTOR, 6 * FACTOR
    elif rng.random() < 0.15:
        size = rng.randint(4 * FACTOR, MAX_CHART_SIDE), rng.randint(4 * FACTOR, MAX_CHART_SIDE)
    else:
        size = rng.randint(4, 7) * FACTOR, rng.randint(4, 7) * FACTOR
    look = Look(
        size=size,
        face=face,
        text_px=size_of_digits(face, 8 if rng.random() < ease else rng.choice((7, 8, 9))),
        ground=ground,
        ink=ink,
        colours=_colours(rng, split, ease, chart, ground),
        step=steps[0] if rng.random() < ease else rng.choice(steps),
        grid=part("grid"),
        spines=part("spines"),
        mark=part("mark"),
        legend=part("legend"),
        horizontal=horizontal,
        axis_right=rng.random() >= ease and rng.random() < 0.15 and not horizontal,
        share=0.72 if rng.random() < ease else rng.uniform(0.5, 0.9),
        inside=rng.random() >= ease and rng.random() < 0.5,
        aligned=False,
    )
    may_align = easy_size and not horizontal and not look.axis_right and chart.kind != "pie"
    return replace(look, aligned=may_align and rng.random() < ease)


def _colours(rng: Random, split: str, ease: float, chart: Chart, ground: Rgb) -> tuple[Rgb, ...]:
    """One colour per category. Bars and slices named after colours have these colours."""
    count = len(chart.labels)
    tables = [t for t in SERIES[split] if all(palette.distance(colour, ground) > 110 for colour in t)]
    table = (tables or SERIES[split])[0] if rng.random() < ease else rng.choice(tables or SERIES[split])
    if set(chart.labels) <= palette.COLOURS.keys() and chart.kind != "line":
        return tuple(palette.COLOURS[label] for label in chart.labels)
    if chart.kind == "pie" or (chart.kind == "bar" and rng.random() >= ease and rng.random() < 0.3):
        return tuple(rng.sample(table, count))
    return (table[0] if rng.random() < ease else palette.jitter(rng, rng.choice(table)),) * count


@lru_cache(maxsize=256)
def size_of_digits(face: Face, height: int) -> int:
    """The font size in pixels at which the digit 8 has this height (a zero is lower if the face has descending digits)."""

    def reached(size: int) -> bool:
        _, top, _, bottom = face.at(size).getbbox("8")
        return bottom - top >= height

    return next(filter(reached, range(8, 24)), 24)


@lru_cache(maxsize=8192)
def stencil(face: Face, size: int, text: str) -> Image.Image:
    """Coverage of a text, as wide as its ink and as high as a line. The image is cached: never draw on it."""
    left, _, right, _ = face.at(size).getbbox(text)
    top, bottom = face.line_edges(size)
    mask = Image.new("L", (max(1, int(right - left)), bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), text, font=face.at(size), fill=255)
    return mask
