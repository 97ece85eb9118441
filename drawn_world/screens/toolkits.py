"""The looks of training's windows, sampled from ranges: how bars, buttons, boxes, fields, tabs, options and rows are drawn.

Not here: where controls are (window_layouts), and the windows of the other splits, which have looks of their own (windows).
"""

from colorsys import hls_to_rgb
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from drawn_world.fonts import Face, faces
from drawn_world.item import Box
from drawn_world.palette import Rgb, distance, luma
from drawn_world.screens.windows import THEMES, Control, Widget

SELECTED = "selected"
"""State of the tab, option or row that is chosen."""
OF_OTHERS = tuple(colour for split in ("val", "test") for theme in THEMES[split] for colour in theme)
"""Colours that training never uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolkit:
    """How the controls of one window are drawn."""

    face: Face
    text_px: int
    ground: Rgb
    accent: Rgb
    """Colour of the title bar, and of what is chosen or checked."""
    fill: Rgb
    """Colour of buttons."""
    paper: Rgb
    """Colour of fields and boxes."""
    button: str
    """flat, outline, bevel or shadow."""
    rounding: float
    """Radius of the corners of buttons and fields as a share of half their height."""
    pad: tuple[int, int]
    """Pixels between the text of a button and its edge, across and down."""
    check: str
    """hook, cross, fill or switch."""
    check_right: bool
    """Whether the square of a checkbox follows its label."""
    field: str
    """box, line or filled."""
    label_above: bool
    """Whether the label of a field is above it."""
    field_width: int
    tab: str
    """box, line or pill."""
    bar: str
    """Title bar: cross, dots, squares (in it, at the right), left (dots at the left), plain or none."""
    title_middle: bool
    bar_pad: int

    @classmethod
    def sample(cls, rng: Random, split: str) -> "Toolkit":
        """A look, with a font of the split."""
        light = rng.random() < 0.75
        ground = _colour(rng, (0.85, 1.0) if light else (0.08, 0.22), 0.5)
        accent = _colour(rng, (0.2, 0.6) if light else (0.3, 0.65), 0.9)
        plain = _colour(rng, (0.78, 1.0) if light else (0.25, 0.4), 0.4)
        return cls(
            face=rng.choice(faces(split, mono=False)),
            text_px=rng.randint(11, 18),
            ground=ground,
            accent=accent,
            fill=rng.choice((plain, plain, accent, _colour(rng, (0.3, 0.8), 0.8))),
            paper=rng.choice(((255, 255, 255), _colour(rng, (0.92, 1.0), 0.3)))
            if light or rng.random() < 0.4
            else plain,
            button=rng.choice(("flat", "outline", "bevel", "shadow")),
            rounding=rng.choice((0.0, 0.0, 1.0, rng.random())),
            pad=(rng.randint(4, 14), rng.randint(2, 7)),
            check=rng.choice(("hook", "hook", "cross", "fill", "switch")),
            check_right=rng.random() < 0.25,
            field=rng.choice(("box", "box", "line", "filled")),
            label_above=rng.random() < 0.3,
            field_width=rng.randint(56, 130),
            tab=rng.choice(("box", "line", "pill")),
            bar=rng.choice(("cross", "cross", "dots", "squares", "left", "plain", "none")),
            title_middle=rng.random() < 0.3,
            bar_pad=rng.randint(2, 8),
        )

    @property
    def line(self) -> int:
        """Height of a line of text in pixels."""
        top, bottom = self.face.line_edges(self.text_px)
        return bottom - top

    @property
    def bar_height(self) -> int:
        """Bottom edge of the title bar."""
        return 2 if self.bar == "none" else self.line + 2 * self.bar_pad

    def width_of(self, text: str) -> int:
        """Width of a text in pixels."""
        return self.face.ink_size(self.text_px, text)[0] if text else 0

    def extent(self, widget: Widget) -> tuple[int, int]:
        """Width and height of a control in pixels."""
        text, line, (across, down) = self.width_of(widget.label), self.line, self.pad
        if widget.kind == "button":
            return text + 2 * across, line + 2 * down
        if widget.kind in ("checkbox", "option"):
            return text + self._mark_width(widget) + 7, line + 2
        if widget.kind == "field":
            inner = max(self.field_width, self.width_of(widget.state) + 12)
            return (max(text, inner), 2 * line + 10) if self.label_above else (text + 6 + inner, line + 8)
        return text + 12, line + 2 + down

    def holds(self, field: Control, text: str) -> bool:
        """Whether a field is wide enough for a text."""
        before = 0 if self.label_above else self.width_of(field.label) + 6
        return self.width_of(text) + 12 <= field.box_px[2] - field.box_px[0] - before

    def _mark_width(self, widget: Widget) -> int:
        return round(self.line * 1.8) if widget.kind == "checkbox" and self.check == "switch" else self.line

    def draw_bar(self, image: Image.Image, title: str) -> Box | None:
        """Draw the title bar; returns the box of the cross that closes the window, if there is one."""
        if self.bar == "none":
            return None
        height, pen = self.bar_height, ImageDraw.Draw(image)
        colour = self.ground if self.bar == "plain" else self.accent
        pen.rectangle((0, 0, image.width - 1, height - 1), fill=colour)
        pen.line((0, height - 1, image.width, height - 1), fill=self._edge(self.ground))
        side, middle, ink = max(6, self.line * 2 // 3), height // 2, ink_on(colour)
        left = 6 + (3 * (side + 4) if self.bar == "left" else 0)
        spare = image.width - self.width_of(title) - left - 3 * (side + 5)
        self.face.write(
            image, self.text_px, title, (left + (max(0, spare) // 2 if self.title_middle else 0), self.bar_pad), ink
        )
        if self.bar in ("plain", "left"):
            for place in range(3 if self.bar == "left" else 0):
                x, shade = 6 + place * (side + 4), ((230, 90, 80), (235, 190, 60), (90, 190, 90))[place]
                pen.ellipse((x, middle - side // 2, x + side - 1, middle - side // 2 + side - 1), fill=shade)
            return None
        x, y = image.width - side - 6, middle - side // 2
        if self.bar != "cross":
            for place in (1, 2):
                box = (x - place * (side + 5), y, x - place * (side + 5) + side - 1, y + side - 1)
                (pen.ellipse if self.bar == "dots" else pen.rectangle)(box, outline=ink)
        pen.line((x, y, x + side - 1, y + side - 1), fill=ink, width=1 + (side > 9))
        pen.line((x, y + side - 1, x + side - 1, y), fill=ink, width=1 + (side > 9))
        return (x, y, x + side, y + side)

    def draw(self, image: Image.Image, control: Control) -> None:
        """Draw one control in its box."""
        pen = ImageDraw.Draw(image)
        if control.kind == "button":
            self._draw_button(image, pen, control)
        elif control.kind in ("checkbox", "option"):
            self._draw_check(image, pen, control)
        elif control.kind == "field":
            self._draw_field(image, pen, control)
        else:
            self._draw_entry(image, pen, control)

    def _write(self, image: Image.Image, text: str, x: int, y: int, ground: Rgb) -> None:
        if text:
            self.face.write(image, self.text_px, text, (x, y), ink_on(ground))

    @staticmethod
    def _edge(ground: Rgb) -> Rgb:
        """Colour of lines on a ground: halfway to its ink."""
        red, green, blue = ((a + b) // 2 for a, b in zip(ink_on(ground), ground, strict=True))
        return red, green, blue

    def _radius(self, height: int) -> int:
        return round(self.rounding * height / 2)

    def _draw_button(self, image: Image.Image, pen: ImageDraw.ImageDraw, control: Control) -> None:
        x1, y1, x2, y2 = control.box_px
        box, radius = (x1, y1, x2 - 1, y2 - 1), self._radius(y2 - y1)
        fill = self.ground if self.button == "outline" else self.fill
        if self.button == "shadow":
            pen.rounded_rectangle(box, radius, fill=self._edge(self.ground))
            pen.rounded_rectangle((x1, y1, x2 - 2, y2 - 3), radius, fill=fill)
        elif self.button == "bevel":
            pen.rectangle(box, fill=fill)
            light, dark = (tuple((c + level) // 2 for c in fill) for level in (255, 0))
            pen.line((x1, y2 - 1, x1, y1, x2 - 1, y1), fill=light)
            pen.line((x2 - 1, y1, x2 - 1, y2 - 1, x1, y2 - 1), fill=dark)
        else:
            outlined = self.button == "outline" or distance(fill, self.ground) < 60
            pen.rounded_rectangle(box, radius, fill=fill, outline=self._edge(self.ground) if outlined else None)
        text = self.width_of(control.label)
        self._write(image, control.label, (x1 + x2 - text) // 2, (y1 + y2 - self.line) // 2, fill)

    def _draw_check(self, image: Image.Image, pen: ImageDraw.ImageDraw, control: Control) -> None:
        """A square with a mark, a switch, or the circle of an option, beside the label."""
        x1, y1, x2, y2 = control.box_px
        wide, high, on = self._mark_width(control), self.line, control.state in ("yes", SELECTED)
        left, top = (x2 - wide - 1 if self.check_right else x1), (y1 + y2 - high) // 2
        box, edge = (left, top, left + wide - 1, top + high - 1), self._edge(self.ground)
        self._write(image, control.label, x1 if self.check_right else x1 + wide + 6, top, self.ground)
        if control.kind == "option":
            pen.ellipse(box, fill=self.paper, outline=edge)
            if on:
                inset = max(2, high // 4)
                pen.ellipse((left + inset, top + inset, box[2] - inset, box[3] - inset), fill=ink_on(self.paper))
        elif self.check == "switch":
            track = self.accent if on else (150, 150, 150)
            pen.rounded_rectangle(box, high // 2, fill=track, outline=edge)
            start = box[2] - high + 1 if on else left
            pen.ellipse((start + 2, top + 2, start + high - 3, box[3] - 2), fill=(250, 250, 250))
        else:
            filled = on and self.check == "fill"
            pen.rounded_rectangle(
                box, self._radius(high) // 3, fill=self.accent if filled else self.paper, outline=edge
            )
            ink = ink_on(self.accent if filled else self.paper)
            if on and self.check == "cross":
                pen.line((left + 3, top + 3, box[2] - 3, box[3] - 3), fill=ink, width=2)
                pen.line((left + 3, box[3] - 3, box[2] - 3, top + 3), fill=ink, width=2)
            elif on:
                pen.line(
                    [(left + 3, top + high // 2), (left + high * 2 // 5, box[3] - 3), (box[2] - 3, top + 3)], ink, 2
                )

    def _draw_field(self, image: Image.Image, pen: ImageDraw.ImageDraw, control: Control) -> None:
        """A label, and a box or line with its content."""
        x1, y1, x2, y2 = control.box_px
        left, top = (x1, y1 + self.line + 2) if self.label_above else (x1 + self.width_of(control.label) + 6, y1)
        self._write(image, control.label, x1, y1 if self.label_above else y1 + 4, self.ground)
        box, paper = (left, top, x2 - 1, y2 - 1), self.paper
        if self.field == "line":
            paper = self.ground
            pen.line((left, y2 - 1, x2 - 1, y2 - 1), fill=self._edge(self.ground))
        else:
            edge = self._edge(self.ground) if self.field == "box" or distance(paper, self.ground) < 40 else None
            pen.rounded_rectangle(box, self._radius(y2 - top) // 2, fill=paper, outline=edge)
        self._write(image, control.state, left + 6, top + 4, paper)

    def _draw_entry(self, image: Image.Image, pen: ImageDraw.ImageDraw, control: Control) -> None:
        """A tab, an entry of a menu or a row of a list; the chosen one stands out."""
        x1, y1, x2, y2 = control.box_px
        chosen, ground, edge = control.state == SELECTED, self.ground, self._edge(self.ground)
        box, top = (x1, y1, x2 - 1, y2 - 1), (y1 + y2 - self.line) // 2
        if control.kind == "row" or (control.kind == "tab" and self.tab == "pill"):
            ground = self.accent if chosen else ground
            if chosen or control.kind == "tab":
                pen.rounded_rectangle(box, 0 if control.kind == "row" else (y2 - y1) // 3, fill=ground, outline=edge)
            else:
                pen.line((x1, y2 - 1, x2 - 1, y2 - 1), fill=edge)
        elif control.kind == "tab" and self.tab == "line":
            pen.line((x1, y2 - 1, x2 - 1, y2 - 1), fill=self.accent if chosen else edge, width=1)
            if chosen:
                pen.rectangle((x1, y2 - 3, x2 - 1, y2 - 1), fill=self.accent)
        elif control.kind == "tab":
            ground = self.paper if chosen else ground
            pen.rectangle(box, fill=ground, outline=edge)
            if chosen:
                pen.rectangle((x1, y1, x2 - 1, y1 + 1), fill=self.accent)
        self._write(image, control.label, x1 + 6, top, ground)


def ink_on(ground: Rgb) -> Rgb:
    """Black on light grounds, white on dark ones."""
    return (15, 15, 15) if luma(ground) > 125 else (245, 245, 245)


def _colour(rng: Random, lightness: tuple[float, float], strength: float) -> Rgb:
    """A colour of any hue, away from those of other splits. strength: largest saturation."""
    while True:
        parts = hls_to_rgb(rng.random(), rng.uniform(*lightness), rng.uniform(0.0, strength))
        red, green, blue = (round(255 * part) for part in parts)
        if all(distance((red, green, blue), other) > 12 for other in OF_OTHERS):
            return red, green, blue
