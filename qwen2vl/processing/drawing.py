"""Drawing the boxes and points of an answer onto the image, legible from 56 to 4,000 pixels and over any colours."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    drawing = _Drawing(
        pen=ImageDraw.Draw(canvas),
        width=canvas.width,
        height=canvas.height,
        line=max(1, round(min(canvas.size) / 160)),
    )
    places: tuple[Box | Point, ...] = (*boxes, *points)
    labels = list(dict.fromkeys(place.label for place in places))
    colours = {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(labels)}
    for place in places:
        if isinstance(place, Box):
            drawing.add_box(place, colours[place.label])
        else:
            drawing.add_point(place, colours[place.label])
    for place in places:  # last, so that no line crosses a label
        if place.label:
            drawing.add_label(place, colours[place.label])
    return canvas


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    """An image on which boxes, points and labels are drawn. Coordinates, sizes and widths are in pixels."""

    pen: ImageDraw.ImageDraw
    width: int
    height: int
    line: int
    """Width of lines."""

    def add_box(self, box: Box, colour: Colour) -> None:
        left, top, right, bottom = box.xyxy_px
        corners = box.quad or ((left, top), (right, top), (right, bottom), (left, bottom))
        corners = tuple((self.within(x, self.width), self.within(y, self.height)) for x, y in corners)
        closed = [*corners, *corners[:2]]  # one edge twice, so that the last corner is joined too
        self.pen.line(closed, fill=WHITE, width=self.line + 2 * max(1, self.line // 2), joint="curve")
        self.pen.line(closed, fill=colour, width=self.line, joint="curve")

    def within(self, value: float, size: int) -> float:
        """A coordinate moved inwards by half a line, so that a box on the edge of the image is not cut off."""
        return max(min(value, size - 1 - self.line / 2), self.line / 2)

    def add_point(self, point: Point, colour: Colour) -> None:
        x, y = point.xy_px
        radius = 3 * self.line
        for reach, fill in ((radius + max(1, self.line // 2), WHITE), (radius, colour), (self.line / 2, WHITE)):
            self.pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill)

    def add_label(self, place: Box | Point, colour: Colour) -> None:
        """Draw white letters on the colour of the place: above a box, else below its top edge, or beside a point; inside the image."""
        text, font = self.fit(" ".join(place.label.split()))
        width, height = self.extent(text, font)
        if isinstance(place, Box):
            x, y = place.xyxy_px[:2]
            y = y - height if y >= height else y
        else:  # beside the point, on the side with enough room
            x, y = place.xy_px[0] + 4 * self.line, place.xy_px[1] - height / 2
            x = x if x + width <= self.width else place.xy_px[0] - 4 * self.line - width
        left = round(min(max(x, 0), max(self.width - width, 0)))
        top = round(min(max(y, 0), max(self.height - height, 0)))
        self.pen.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
        begin_x, begin_y = self.pen.textbbox((0, 0), text, font=font)[:2]
        self.pen.text((left + PADDING - begin_x, top + PADDING - begin_y), text, fill=WHITE, font=font)

    def fit(self, text: str) -> tuple[str, Font]:
        """The text, shortened if necessary, and the font in which it fits into the width of the image."""
        shorter_side = min(self.width, self.height)
        wanted = max(min(14, shorter_side // 5), shorter_side // 28, MIN_FONT)
        font = ImageFont.load_default(wanted)
        while wanted > MIN_FONT and self.extent(text, font)[0] > self.width:
            wanted = max(MIN_FONT, wanted * 3 // 4)
            font = ImageFont.load_default(wanted)
        if self.extent(text, font)[0] <= self.width:
            return text, font
        shortest, longest = 0, len(text)  # bisection: a label can be as long as an answer
        while shortest < longest:
            middle = (shortest + longest + 1) // 2
            fits = self.extent(text[:middle] + "...", font)[0] <= self.width
            shortest, longest = (middle, longest) if fits else (shortest, middle - 1)
        return text[:shortest] + "...", font

    def extent(self, text: str, font: Font) -> tuple[int, int]:
        """Width and height of the background of a label."""
        left, top, right, bottom = self.pen.textbbox((0, 0), text, font=font)
        return int(right - left) + 2 * PADDING + 1, int(bottom - top) + 2 * PADDING + 1
