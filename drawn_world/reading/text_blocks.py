"""Blocks of text: the masks of several lines put together in a layout, turned, and put on an image of a free size.

Here: geometry from ranges, for any letters. Not here: which text is written, and on what (line_stacks, pictures, languages).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from PIL import Image

from drawn_world.item import Size
from drawn_world.typesetting import random_start, whole_tokens
from qwen2vl.spec.config import FACTOR

LARGEST_SIDE = 448
"""Largest width and height of an image, in pixels: 16 visual tokens."""
LONGEST_LINE = 416
"""Largest width of a line of text: edges of letters, damage and a picture need room beside it."""
ALIGNED, RIGHT = "aligned", "right"
LAYOUTS = {"train": ("left", "left", "centre", "indent", "loose"), "val": (RIGHT,), "test": ("left",)}
"""How lines are aligned: "indent" moves the first line in, "loose" puts every line anywhere. Only read_paragraph has test's own."""

REDUCING = (Image.Resampling.BOX, Image.Resampling.HAMMING, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)
WEIGHTS = [[round(255 * (value / 255) ** power) for value in range(256)] for power in (0.7, 0.85, 1.0, 1.0, 1.2)]
"""Tables from coverage to coverage: below 1 strokes look bolder, above 1 thinner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Lines of text without paper."""

    mask: Image.Image
    """Coverage, 0 to 255."""
    layout: str
    angle: float
    """Degrees by which the lines are turned, counter-clockwise."""

    @property
    def scene(self) -> dict[str, Any]:
        """Description for JSON."""
        return {"layout": self.layout, "angle": self.angle}


class LineStyle(Protocol):
    """What draws lines: TextStyle, or a style of one language."""

    def line_mask(self, size: int, text: str) -> Image.Image: ...


def smooth_masks(rng: Random, style: LineStyle, size: int, lines: Sequence[str]) -> list[Image.Image]:
    """The lines as renderers without hinting draw them: of any size between whole pixels, slightly wide or narrow, thin or bold.

    They are drawn larger and reduced: Pillow fits letters to whole pixels, which PDF viewers and browsers do not.
    """
    nominal = next((each for each in (32, 64, 96) if each >= 1.5 * size), 96)
    masks = [style.line_mask(nominal, line) for line in lines]
    scale = size / nominal * rng.uniform(0.94, 1.06)
    longest = LONGEST_LINE / max(mask.width for mask in masks)
    across, down = min(scale * rng.uniform(0.88, 1.14), longest), min(scale, 1.1 * longest)
    way, table = rng.choice(REDUCING), rng.choice(WEIGHTS)
    sizes = [(max(1, round(mask.width * across)), max(1, round(mask.height * down))) for mask in masks]
    return [mask.resize(to, way).point(table) for mask, to in zip(masks, sizes, strict=True)]


def stack_masks(rng: Random, masks: Sequence[Image.Image], layout: str, gap: int) -> Image.Image:
    """One mask of all lines, `gap` pixels below each other."""
    width = max(mask.width for mask in masks)
    room = max(0, LONGEST_LINE + 8 - width)
    indent = min(room, rng.randint(4, 1 + masks[0].height)) if layout == "indent" else 0
    if layout == "loose":
        width += min(room, rng.randint(0, 2 * masks[0].height))
    block = Image.new("L", (width + indent, sum(mask.height for mask in masks) + gap * (len(masks) - 1)))
    top = 0
    for row, mask in enumerate(masks):
        spare = width - mask.width
        left = {"centre": spare // 2, RIGHT: spare, "indent": indent * (row == 0)}.get(layout, 0)
        left = rng.randint(0, spare) if layout == "loose" else left
        block.paste(255, (left, top), mask)
        top += mask.height + gap
    return block


def make_block(rng: Random, masks: Sequence[Image.Image], layout: str, *, turn: float) -> Block:
    """The lines with a random distance, turned by at most `turn` degrees where the image has room for it."""
    if layout == ALIGNED:
        return Block(mask=stack_masks(rng, masks, layout, 0), layout=layout, angle=0.0)
    room = (LARGEST_SIDE - 16 - sum(mask.height for mask in masks)) // max(1, len(masks) - 1)
    gap = max(0, min(room, int(masks[0].height * rng.choice((0.05, 0.2, 0.2, 0.5, 1.2)) * rng.random()) + 1))
    mask = stack_masks(rng, masks, layout, gap)
    angle = round(rng.uniform(-turn, turn), 1)
    if angle:
        turned = mask.rotate(angle, Image.Resampling.BICUBIC, expand=True)
        turned = turned.crop(turned.getbbox())
        if max(turned.size) <= LARGEST_SIDE - 16:
            return Block(mask=turned, layout=layout, angle=angle)
    return Block(mask=mask.crop(mask.getbbox()), layout=layout, angle=0.0)


def place_block(rng: Random, extent: Size, layout: str, ease: float) -> tuple[Size, tuple[int, int]]:
    """Size of an image for a block of this extent, and the block's upper left corner.

    Aligned blocks fill whole visual tokens, and begin at the left edge at ease 1, at any patch below. All others have margins
    and begin at any pixel; most of their images are of whole visual tokens too.
    """
    if layout == ALIGNED:
        wide = whole_tokens(extent[0])
        spare = (wide - extent[0]) // (FACTOR // 2)
        return (wide, extent[1]), (rng.randint(0, spare) * FACTOR // 2 if rng.random() >= ease else 0, 0)
    sides = []
    for length in extent:
        margin = 4 if rng.random() < ease else rng.randint(2, 12) + int(rng.random() ** 5 * length)
        side = min(LARGEST_SIDE, length + 2 * margin)
        sides.append(min(LARGEST_SIDE, whole_tokens(side) if rng.random() < max(0.8, ease) else max(FACTOR, side)))
    corner = random_start(rng, sides[0], extent[0]), random_start(rng, sides[1], extent[1])
    return (sides[0], sides[1]), corner
