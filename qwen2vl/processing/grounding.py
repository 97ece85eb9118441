"""Boxes and points as text, and back: `<|object_ref_start|>the lamp<|object_ref_end|><|box_start|>(176,106),(232,160)<|box_end|>`.

Coordinates in text are whole thousandths of the original image, 0..999 [paper 5.2]. One pair in a box is a point, two
are left-top and right-bottom, four in a quad are corners. Coordinates that a model wrote beyond the edges are moved to the
edge, and fractions are rounded; `raw` keeps what it wrote. `drawing` draws them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from qwen2vl.spec.tokens import BOX_END, BOX_START, GROUNDING_TOKENS, QUAD_END, QUAD_START, REF_END, REF_START

Size = tuple[int, int]
"""Width and height in pixels."""
Pair = tuple[int, int]

FRAME = 1000
"""Width and height, in units of the model's coordinates, of every image, whatever its size in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle that an answer names."""

    label: str
    """Name of the object in the answer; may be empty."""
    image_index: int
    """Number of the image, from 0, in the order of the images of the conversation."""
    xyxy_px: tuple[float, float, float, float]
    """Left, top, right, bottom in pixels of the original image."""
    xyxy_1000: tuple[int, int, int, int]
    """Left, top, right, bottom in whole thousandths within the image, 0..1000, sorted if they were swapped."""
    quad: tuple[tuple[float, float], ...] | None = None
    """Four corners (x, y) in pixels of the original image, if the answer has corners; the rectangle then encloses them."""
    raw: str = field(default="", compare=False)
    """The pairs as the model wrote them, "(970,200),(1040,500)"; they may lie beyond the edges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point that an answer names."""

    label: str
    image_index: int
    xy_px: tuple[float, float]
    """x, y in pixels of the original image."""
    xy_1000: tuple[int, int]
    """x, y in whole thousandths within the image, 0..1000."""
    raw: str = field(default="", compare=False)
    """The pair as the model wrote it; it may lie beyond the edges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """All boxes and points of one text, in textual order."""

    boxes: tuple[Box, ...]
    points: tuple[Point, ...]


def to_thousandths(coordinates_px: Sequence[float], size: Size) -> tuple[int, ...]:
    """Pixel coordinates (x, y, x, y, ...) of an image as whole thousandths, rounded down, 0..999.

    (320, 120, 640, 480) on an image of 640x480 gives (500, 250, 999, 999).
    """
    # The tiny addend makes thousandths -> pixels -> thousandths exact in floating point.
    scaled = (int(value * FRAME / size[axis % 2] + 1e-6) for axis, value in enumerate(coordinates_px))
    return tuple(min(max(value, 0), FRAME - 1) for value in scaled)


def to_pixels(thousandths: Sequence[float], size: Size) -> tuple[float, ...]:
    """Coordinates (x, y, x, y, ...) in thousandths as pixels of an image of this size."""
    return tuple(value * size[axis % 2] / FRAME for axis, value in enumerate(thousandths))


def box_markup(box_1000: Sequence[int], label: str = "") -> str:
    """Text for a box (left, top, right, bottom) in thousandths."""
    left, top, right, bottom = box_1000
    return _ref(label) + f"{BOX_START}({left},{top}),({right},{bottom}){BOX_END}"


def point_markup(point_1000: Sequence[int], label: str = "") -> str:
    """Text for a point (x, y) in thousandths: a box with one pair."""
    x, y = point_1000
    return _ref(label) + f"{BOX_START}({x},{y}){BOX_END}"


def quad_markup(quad_1000: Sequence[int], label: str = "") -> str:
    """Text for four corners (x, y, x, y, x, y, x, y) in thousandths."""
    corners = ",".join(f"({x},{y})" for x, y in zip(quad_1000[::2], quad_1000[1::2], strict=True))
    return _ref(label) + f"{QUAD_START}{corners}{QUAD_END}"


def _ref(label: str) -> str:
    return f"{REF_START}{label}{REF_END}" if label else ""


def parse_places(text: str, sizes: Sequence[Size], default_index: int = -1) -> Places:
    """Boxes and points in an answer, on images of these original sizes.

    Markup does not name an image. "Picture 2" or "image 2" in the words before it decides, otherwise `default_index`, by default the
    last image. Several boxes may follow one label. Unfinished or malformed markup is ignored, because models can write
    anything; no text raises an error.
    """
    boxes: list[Box] = []
    points: list[Point] = []
    if not sizes:
        return Places(boxes=(), points=())
    for markup in _markups(text):
        image = markup.image
        index = image - 1 if image is not None and 0 < image <= len(sizes) else default_index % len(sizes)
        size, pairs = sizes[index], markup.pairs
        if markup.is_quad:
            boxes += [markup.box(pairs, index, size)] if len(pairs) == 4 else []
        elif len(pairs) == 1:
            points.append(markup.point(pairs[0], index, size))
        elif len(pairs) % 2 == 0:
            boxes += [markup.box(pairs[i : i + 2], index, size) for i in range(0, len(pairs), 2)]
    return Places(boxes=tuple(boxes), points=tuple(points))


MARKERS = re.compile("(" + "|".join(map(re.escape, GROUNDING_TOKENS)) + ")")
"""Finds the grounding tokens of a text; `MARKERS.split` gives texts at even places and tokens at odd ones."""

_NUMBER = r"[-+]?\d{1,9}(?:\.\d{1,9})?"
_PAIR = re.compile(rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)", re.ASCII)
_PAIRS = re.compile(rf"\s*{_PAIR.pattern}(?:\s*(?:,\s*)?{_PAIR.pattern})*\s*", re.ASCII)

_NAMED = re.compile(r"\b(?:picture|image)\s?(\d{1,4})\b", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _WrittenPair:
    """A pair as the model wrote it, and the nearest one of whole thousandths within the image."""

    raw: str
    xy: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class _Markup:
    """The text of one box or quad, parsed."""

    label: str
    image: int | None
    """Number of the image that the words before it name, from 1; None when they name none."""
    pairs: list[_WrittenPair]
    is_quad: bool

    def point(self, pair: _WrittenPair, image_index: int, size: Size) -> Point:
        """A pair as a point."""
        x, y = to_pixels(pair.xy, size)
        return Point(label=self.label, image_index=image_index, xy_px=(x, y), xy_1000=pair.xy, raw=pair.raw)

    def box(self, pairs: Sequence[_WrittenPair], image_index: int, size: Size) -> Box:
        """The rectangle that encloses these pairs, which are two corners, or the four corners of a quad."""
        xs, ys = zip(*(pair.xy for pair in pairs), strict=True)
        box_1000 = (min(xs), min(ys), max(xs), max(ys))
        left, top, right, bottom = to_pixels(box_1000, size)
        corners = tuple((x, y) for x, y in (to_pixels(pair.xy, size) for pair in pairs))
        return Box(
            label=self.label,
            image_index=image_index,
            xyxy_px=(left, top, right, bottom),
            xyxy_1000=box_1000,
            quad=corners if self.is_quad else None,
            raw=",".join(pair.raw for pair in pairs),
        )


def _markups(text: str) -> Iterator[_Markup]:
    """Every well-formed box or quad of a text, in linear time."""
    label, image, opened, content, used = "", None, "", "", False
    for i, piece in enumerate(MARKERS.split(text)):
        if i % 2 == 0:
            content = piece
            if not opened:
                named = _NAMED.findall(piece)
                image = int(named[-1]) if named else image
                if used and any(character.isalpha() for character in piece):
                    label = ""  # words after a box end the scope of its label, a comma does not
        elif piece in (REF_START, BOX_START, QUAD_START):
            opened = piece
            label = "" if piece == REF_START else label
        else:
            if (opened, piece) == (REF_START, REF_END):
                label, used = content.strip(), False
            elif (opened, piece) in ((BOX_START, BOX_END), (QUAD_START, QUAD_END)):
                pairs = _pairs(content)
                if pairs:
                    used = True
                    yield _Markup(label=label, image=image, pairs=pairs, is_quad=opened == QUAD_START)
            opened = ""


def _pairs(content: str) -> list[_WrittenPair]:
    """The (x, y) pairs of a segment; none when it contains anything else."""
    if not _PAIRS.fullmatch(content):
        return []
    return [_WrittenPair(found[0], (_within(found[1]), _within(found[2]))) for found in _PAIR.finditer(content)]


def pairs_of(content: str) -> list[Pair]:
    """The (x, y) pairs of a segment; none when it contains anything but pairs of whole numbers in 0..1000."""
    pairs = _pairs(content)
    written = [float(number) for pair in pairs for number in re.findall(_NUMBER, pair.raw)]
    is_exact = "." not in content and written == [value for pair in pairs for value in pair.xy]
    return [pair.xy for pair in pairs] if is_exact else []


def _within(number: str) -> int:
    return min(max(round(float(number)), 0), FRAME)
