"""Text in styles and on sheets: what lines, scattered words and documents are drawn with.

A style has one of three forms, from easy to full:

    aligned   fixed-width letters, one per 14-pixel column (one patch) of a 28-pixel row, dark on light
    plain     a few common faces, dark on light
    full      every face of the split, free colours, both polarities, uneven paper, damage

`ease` 1 is all aligned, 0.5 all plain, 0 all full, and a mixture between. Lines are masks (coverage 0..255), so that they
can be turned before they meet their paper. Not here: what is written (paragraphs, placed_words, documents).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any

from PIL import Image, ImageDraw

from drawn_world import palette
from drawn_world.damage import damaged, uneven
from drawn_world.fonts import Face, faces, font
from drawn_world.item import Box, Item
from drawn_world.lettering import SIZES, fit_size, line_height
from drawn_world.palette import Rgb
from qwen2vl.spec.config import FACTOR

COLUMN = 14
"""Pixels from one aligned letter to the next: one patch."""
PLAIN_FAMILIES = ("DejaVu Sans", "DejaVu Sans Mono", "Liberation Sans", "Open Sans")
MAX_SIDE = 224
"""Of an image, in pixels."""
COLUMNS = 12
"""Letters across an aligned image of the easiest size: 6 visual tokens."""
MARGIN = 2
SMALLEST = 12
"""Letter size in pixels that images are made wide enough for."""
Corner = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How an image is written."""

    form: str
    face: Face
    ink: Rgb
    paper: Rgb


def fixed(rng: Random, ease: float) -> bool:
    """Whether a free choice takes its one easy value."""
    return rng.random() < ease


def choose_form(rng: Random, ease: float) -> str:
    """One of the three forms."""
    easier, harder, share = ("aligned", "plain", ease * 2 - 1) if ease > 0.5 else ("plain", "full", ease * 2)
    return easier if rng.random() < share else harder


def choose_style(
    rng: Random, split: str, form: str, *, coloured: float = 0.7, among: tuple[Face, ...] | None = None
) -> Style:
    """A style of a form. coloured: how often the full form has free colours; among: faces that can write the text."""
    known = among or faces(split)
    mono, common = [face for face in known if face.mono], [face for face in known if face.family in PLAIN_FAMILIES]
    ink, paper = dark_on_light(rng)
    if form == "aligned":
        return Style(form=form, face=rng.choice(mono or known), ink=ink, paper=paper)
    if form == "plain":
        return Style(form=form, face=rng.choice(common or known), ink=ink, paper=paper)
    if rng.random() < coloured:
        ink, paper = palette.contrasting(rng)
    else:
        ink, paper = palette.jitter(rng, ink, 25), palette.jitter(rng, paper)
        ink, paper = (paper, ink) if rng.random() < 0.15 else (ink, paper)
    return Style(form=form, face=rng.choice(known), ink=ink, paper=paper)


def dark_on_light(rng: Random) -> tuple[Rgb, Rgb]:
    """Ink and paper of the easier forms, both grey."""
    dark, light = rng.randint(0, 40), rng.randint(225, 255)
    return (dark, dark, dark), (light, light, light)


def choose_size(rng: Random, low: int, high: int) -> int:
    """A letter size in pixels out of those that lettering keeps loaded."""
    return rng.choice([size for size in SIZES if low <= size <= high])


def line_mask(style: Style, size: int, text: str) -> Image.Image:
    """Coverage of one line: as wide as its ink and as high as a line of the face.

    Of an aligned style: as wide as its columns, 28 pixels high, whatever the size.
    """
    if style.form == "aligned":
        mask = Image.new("L", (COLUMN * len(text), FACTOR))
        for index, letter in enumerate(text):
            mask.paste(_letter(style.face, letter), (index * COLUMN, 0))
        return mask
    return _line(style.face, size, text)


def _line(face: Face, size: int, text: str) -> Image.Image:
    left, top, right, bottom = (int(edge) for edge in font(face, size).getbbox(text))
    line_top, line_bottom = line_height(face, size)
    top, bottom = min(top, line_top), max(bottom, line_bottom)  # a sign may be higher or deeper than every letter
    mask = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), text, font=font(face, size), fill=255)
    inked = mask.getbbox() or (0, 0, right - left, 0)  # the font's box counts the room beside the letters
    return mask.crop((inked[0], 0, inked[2], bottom - top))


@lru_cache(maxsize=4096)
def _letter(face: Face, letter: str) -> Image.Image:
    """One letter in the middle of its column; all letters of a face in one size, in which the widest fits."""
    cell = Image.new("L", (COLUMN, FACTOR))
    if letter != " ":
        widest = "mW" if letter.isascii() else "mжщыю"
        mask = _line(face, min(fit_size(face, each, COLUMN - 1, 24) for each in widest), letter)
        cell.paste(mask, ((COLUMN - mask.width) // 2, (FACTOR - mask.height) // 2))
    return cell


def readable(style: Style, texts: Sequence[str], width: int, margin: int, height: int) -> tuple[int, int]:
    """A width, this one or a larger one, and the size that fits all texts: 12 pixels or more where that can be."""
    while True:
        size = min(fit_size(style.face, text, width - 2 * margin, height) for text in texts)
        if size >= SMALLEST or width >= MAX_SIDE - FACTOR:
            return width, size
        width += FACTOR


def somewhere(rng: Random, side: int, length: int) -> int:
    """Where something of a length begins on a side: not at its very rim, unless it fills it."""
    spare = side - length
    return rng.randint(MARGIN, spare - MARGIN) if spare >= 2 * MARGIN else max(0, spare // 2)


def turned(mask: Image.Image, angle: float) -> Image.Image:
    """The mask turned by degrees, counter-clockwise, cut to its ink."""
    whole = mask.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    return whole.crop(whole.getbbox())


def whole_tokens(side: int) -> int:
    """The side, in pixels, up to the next whole number of visual tokens."""
    return -(-side // FACTOR) * FACTOR


class Sheet:
    """An image that is written on: first its paper, then letters and rules, at last its damage."""

    def __init__(self, rng: Random, style: Style, size: tuple[int, int]) -> None:
        self.style = style
        self.image = Image.new("RGB", size, style.paper)
        self.uneven = style.form == "full" and rng.random() < 0.3
        if self.uneven:
            self.image = uneven(rng, self.image, rng.randint(8, 28))
        self.pen = ImageDraw.Draw(self.image)
        self.written: list[dict[str, Any]] = []
        self.rules: list[Box] = []

    def put(self, mask: Image.Image, corner: Corner, ink: Rgb | None = None) -> Box:
        """Puts letters down with their upper left corner at a pixel; returns their box."""
        self.image.paste(ink or self.style.ink, corner, mask)
        return corner[0], corner[1], corner[0] + mask.width, corner[1] + mask.height

    def write(self, size: int, text: str, corner: Corner, ink: Rgb | None = None) -> Box:
        """Puts one line down and notes what stands where."""
        box = self.put(line_mask(self.style, size, text), corner, ink)
        self.written.append({"text": text, "box_px": list(box)})
        return box

    def rule(self, box: Box, gap: int = 0) -> None:
        """A line, or for a gap in pixels a row of dots or dashes, as long as the box and as thick as its shorter side."""
        left, top, right, bottom = box
        step = bottom - top + gap if gap else right - left
        for x in range(left, right, max(1, step)):
            self.pen.rectangle((x, top, min(right, x + step - gap) - 1, bottom - 1), fill=self.style.ink)
        self.rules.append(box)

    def frame(self, box: Box) -> None:
        """An outline of one pixel inside the box."""
        left, top, right, bottom = box
        for side in ((left, top, right, top + 1), (left, bottom - 1, right, bottom)):
            self.rule(side)
        for side in ((left, top, left + 1, bottom), (right - 1, top, right, bottom)):
            self.rule(side)

    def finish(self, rng: Random, letter_size: int) -> tuple[Image.Image, dict[str, Any]]:
        """The image, and how it was made: JSON-able."""
        image, harm = self.image, list[str]()
        if self.style.form == "full":
            image, harm = damaged(rng, image, letter_size)
        made = {"form": self.style.form, "family": self.style.face.family, "uneven": self.uneven, "damage": harm}
        if self.written:
            made |= {"written": self.written, "rules": [list(box) for box in self.rules]}
        return image, made


def with_scene(item: Item, scene: dict[str, Any]) -> Item:
    """The item with the description of its image put under its truth."""
    return replace(item, truth=item.truth | {"scene": scene})
