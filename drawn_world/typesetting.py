"""Text in a style, and sheets to write it on: what lines, scattered words and documents are drawn with.

A style has one of three forms, from easy to full:

    aligned   fixed-width letters, one per 14-pixel column (one patch) of a 28-pixel row, dark on light
    plain     a few common faces, dark on light
    full      every face of the split, free colours, dark on light or light on dark, uneven paper, damage

`ease` 1 gives only aligned, 0.5 only plain, 0 only full, and values between give a mixture. A line is a mask (coverage
0..255), so that it can be turned before it is put on its paper. Not here: which text is written (reading, documents).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any

from PIL import Image, ImageDraw

from drawn_world import palette
from drawn_world.damage import damaged, uneven
from drawn_world.fonts import SIZES, Face, faces
from drawn_world.item import Box, Item
from drawn_world.palette import Rgb
from qwen2vl.spec.config import FACTOR

COLUMN = 14
"""Pixels from one aligned letter to the next: one patch."""
COLUMNS = 12
"""Letters across an aligned image of the easiest size: 6 visual tokens."""
PLAIN_FAMILIES = ("DejaVu Sans", "DejaVu Sans Mono", "Liberation Sans", "Open Sans")
MAX_SIDE = 224
"""Largest width and height of an image, in pixels."""
MARGIN = 2
MIN_TEXT_PX = 12
"""Letter size in pixels; images are made wide enough for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStyle:
    """Form, face and colours of all text on an image."""

    form: str
    """aligned, plain or full."""
    face: Face
    ink: Rgb
    paper: Rgb

    def line_mask(self, size: int, text: str) -> Image.Image:
        """Coverage of one line, as wide as its ink and as high as a line of the face.

        In the aligned form it is as wide as its columns and 28 pixels high, whatever the size.
        """
        if self.form != "aligned":
            return self.face.line_mask(size, text)
        mask = Image.new("L", (COLUMN * len(text), FACTOR))
        for index, letter in enumerate(text):
            mask.paste(_aligned_letter(self.face, letter), (index * COLUMN, 0))
        return mask


@lru_cache(maxsize=4096)
def _aligned_letter(face: Face, letter: str) -> Image.Image:
    """One letter in the middle of its column. All letters of a face have the size at which the widest one fits."""
    cell = Image.new("L", (COLUMN, FACTOR))
    if letter != " ":
        widest = "mW" if letter.isascii() else "mжщыю"
        mask = face.line_mask(min(face.fit_size(each, COLUMN - 1, 24) for each in widest), letter)
        cell.paste(mask, ((COLUMN - mask.width) // 2, (FACTOR - mask.height) // 2))
    return cell


def choose_form(rng: Random, ease: float) -> str:
    """Sample one of the three forms."""
    easier, harder, share = ("aligned", "plain", ease * 2 - 1) if ease > 0.5 else ("plain", "full", ease * 2)
    return easier if rng.random() < share else harder


def choose_style(
    rng: Random, split: str, form: str, *, coloured: float = 0.7, among: tuple[Face, ...] | None = None
) -> TextStyle:
    """Sample a style of a form.

    coloured: probability of free colours in the full form. among: the faces that have all letters of the text; by default
    all faces of the split.
    """
    known = among or faces(split)
    mono, common = [face for face in known if face.mono], [face for face in known if face.family in PLAIN_FAMILIES]
    ink, paper = dark_on_light(rng)
    if form == "aligned":
        return TextStyle(form=form, face=rng.choice(mono or known), ink=ink, paper=paper)
    if form == "plain":
        return TextStyle(form=form, face=rng.choice(common or known), ink=ink, paper=paper)
    if rng.random() < coloured:
        ink, paper = palette.contrasting(rng)
    else:
        ink, paper = palette.jitter(rng, ink, 25), palette.jitter(rng, paper)
        ink, paper = (paper, ink) if rng.random() < 0.15 else (ink, paper)
    return TextStyle(form=form, face=rng.choice(known), ink=ink, paper=paper)


def dark_on_light(rng: Random) -> tuple[Rgb, Rgb]:
    """Ink and paper of the easier forms, both grey."""
    dark, light = rng.randint(0, 40), rng.randint(225, 255)
    return (dark, dark, dark), (light, light, light)


def choose_size(rng: Random, low: int, high: int) -> int:
    """Sample a letter size in pixels from low to high."""
    return rng.choice([size for size in SIZES if low <= size <= high])


def random_start(rng: Random, side: int, length: int) -> int:
    """Sample where something of a length starts on a side: a margin away from both ends if there is room."""
    spare = side - length
    return rng.randint(MARGIN, spare - MARGIN) if spare >= 2 * MARGIN else max(0, spare // 2)


def whole_tokens(side: int) -> int:
    """The side in pixels, rounded up to a whole number of visual tokens."""
    return -(-side // FACTOR) * FACTOR


class Sheet:
    """An image to write on: paper first, then letters and rules, and damage at the end."""

    def __init__(self, rng: Random, style: TextStyle, size: tuple[int, int]) -> None:
        self.style = style
        self.image = Image.new("RGB", size, style.paper)
        self.uneven = style.form == "full" and rng.random() < 0.3
        if self.uneven:
            self.image = uneven(rng, self.image, rng.randint(8, 28))
        self.pen = ImageDraw.Draw(self.image)
        self.written: list[dict[str, Any]] = []
        self.rules: list[Box] = []

    def put(self, mask: Image.Image, corner: tuple[int, int], ink: Rgb | None = None) -> Box:
        """Put letters with their upper left corner at a pixel; returns their box."""
        self.image.paste(ink or self.style.ink, corner, mask)
        return corner[0], corner[1], corner[0] + mask.width, corner[1] + mask.height

    def write(
        self, size: int, text: str, corner: tuple[int, int], ink: Rgb | None = None, style: TextStyle | None = None
    ) -> Box:
        """Write one line and note its text and box; an empty text writes nothing. Returns the box.

        ink, style: other than those of the sheet; of the style only form and face matter.
        """
        if not text:
            return *corner, *corner
        box = self.put((style or self.style).line_mask(size, text), corner, ink)
        self.written.append({"text": text, "box_px": list(box)})
        return box

    def rule(self, box: Box, gap: int = 0) -> None:
        """Draw a line that fills the box, or with a gap in pixels a row of dots or dashes that are as long as it is thick."""
        left, top, right, bottom = box
        step = bottom - top + gap if gap else right - left
        for x in range(left, right, max(1, step)):
            self.pen.rectangle((x, top, min(right, x + step - gap) - 1, bottom - 1), fill=self.style.ink)
        self.rules.append(box)

    def frame(self, box: Box) -> None:
        """Draw an outline one pixel wide just inside the box."""
        left, top, right, bottom = box
        for side in ((left, top, right, top + 1), (left, bottom - 1, right, bottom)):
            self.rule(side)
        for side in ((left, top, left + 1, bottom), (right - 1, top, right, bottom)):
            self.rule(side)

    def finish(self, rng: Random, letter_size: int) -> tuple[Image.Image, dict[str, Any]]:
        """The image with its damage, and a description for JSON of how it was made."""
        image, damage = self.image, list[str]()
        if self.style.form == "full":
            image, damage = damaged(rng, image, letter_size)
        made = {"form": self.style.form, "family": self.style.face.family, "uneven": self.uneven, "damage": damage}
        if self.written:
            made |= {"written": self.written, "rules": [list(box) for box in self.rules]}
        return image, made


def with_scene(item: Item, scene: dict[str, Any]) -> Item:
    """The item with the description of its image in its truth."""
    return replace(item, truth=item.truth | {"scene": scene})
