"""Drawing the boxes and points of an answer onto the image, legible from 56 to 4,000 pixels and over any colours."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from qwen2vl.processing.grounding import Box, Point

Colour = tuple[int, int, int]
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont

PALETTE: tuple[Colour, ...] = (
    (230, 25, 75),
    (0, 130, 200),
    (60, 160, 60),
    (245, 130, 48),
    (145, 30, 180),
    (0, 128, 128),
    (240, 50, 230),
    (170, 110, 40),
)
"""Colours that most people can distinguish, dark enough for white letters."""
WHITE: Colour = (255, 255, 255)
MIN_FONT = 8
PADDING = 2
"""Pixels between the letters and the edge of their background."""


def draw(image: Image.Image, boxes: Sequence[Box] = (), points: Sequence[Point] = ()) -> Image.Image:
    """An RGB copy of the image with every box and point drawn and labelled; the image itself is not changed.

    All boxes and points are drawn, for any `image_index`. The font of Pillow has Latin letters only; others appear as
    empty frames. The width of lines grows with the image, and they have a white outline. Labels stay inside the image: a
    long one gets a smaller font, then an ellipsis. Equal labels have the same colour.
    """
    canvas = image.convert("RGB") if image.mode != "RGB" else image.copy()
    pen = ImageDraw.Draw(canvas)
    line = max(1, round(min(canvas.size) / 160))
    places: tuple[Box | Point, ...] = (*boxes, *points)
    labels = list(dict.fromkeys(place.label for place in places))
    colours = {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(labels)}
    for place in places:
        if isinstance(place, Box):
            _draw_box(pen, canvas.size, place, line, colours[place.label])
        else:
            _draw_point(pen, place, line, colours[place.label])
    for place in places:  # last, so that no line crosses a label
        if place.label:
            _draw_label(pen, canvas.size, place, line, colours[place.label])
    return canvas


def _draw_box(pen: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, line: int, colour: Colour) -> None:
    left, top, right, bottom = box.xyxy_px
    corners = box.quad or ((left, top), (right, top), (right, bottom), (left, bottom))
    corners = tuple((_within(x, size[0], line), _within(y, size[1], line)) for x, y in corners)
    closed = [*corners, *corners[:2]]  # one edge twice, so that the last corner is joined too
    pen.line(closed, fill=WHITE, width=line + 2 * max(1, line // 2), joint="curve")
    pen.line(closed, fill=colour, width=line, joint="curve")


def _within(value: float, size: int, line: int) -> float:
    """A coordinate moved inwards by half a line, so that a box on the edge of the image is not cut off."""
    return max(min(value, size - 1 - line / 2), line / 2)


def _draw_point(pen: ImageDraw.ImageDraw, point: Point, line: int, colour: Colour) -> None:
    x, y = point.xy_px
    radius = 3 * line
    for reach, fill in ((radius + max(1, line // 2), WHITE), (radius, colour), (line / 2, WHITE)):
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill)


def _draw_label(pen: ImageDraw.ImageDraw, size: tuple[int, int], place: Box | Point, line: int, colour: Colour) -> None:
    """Draw white letters on the colour of the box: above it, else below its top edge, or beside the point; inside the image."""
    text, font = _fitted(pen, " ".join(place.label.split()), size)
    width, height = _extent(pen, text, font)
    if isinstance(place, Box):
        x, y = place.xyxy_px[:2]
        y = y - height if y >= height else y
    else:  # beside the point, on the side with enough room
        x, y = place.xy_px[0] + 4 * line, place.xy_px[1] - height / 2
        x = x if x + width <= size[0] else place.xy_px[0] - 4 * line - width
    left = round(min(max(x, 0), max(size[0] - width, 0)))
    top = round(min(max(y, 0), max(size[1] - height, 0)))
    pen.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
    begin_x, begin_y = pen.textbbox((0, 0), text, font=font)[:2]
    pen.text((left + PADDING - begin_x, top + PADDING - begin_y), text, fill=WHITE, font=font)


def _fitted(pen: ImageDraw.ImageDraw, text: str, size: tuple[int, int]) -> tuple[str, Font]:
    """The text, shortened if necessary, and the font in which it fits into the width."""
    wanted = max(min(14, min(size) // 5), min(size) // 28, MIN_FONT)
    font = ImageFont.load_default(wanted)
    while wanted > MIN_FONT and _extent(pen, text, font)[0] > size[0]:
        wanted = max(MIN_FONT, wanted * 3 // 4)
        font = ImageFont.load_default(wanted)
    if _extent(pen, text, font)[0] <= size[0]:
        return text, font
    shortest, longest = 0, len(text)  # bisection: a label can be as long as an answer
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        fits = _extent(pen, text[:middle] + "...", font)[0] <= size[0]
        shortest, longest = (middle, longest) if fits else (shortest, middle - 1)
    return text[:shortest] + "...", font


def _extent(pen: ImageDraw.ImageDraw, text: str, font: Font) -> tuple[int, int]:
    """Width and height of the background of a label."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    return int(right - left) + 2 * PADDING + 1, int(bottom - top) + 2 * PADDING + 1
