"""Images of bar, line and pie charts.

A value is a whole number of pixels: a bar of `value` covers round(value * length / end) of the plot's `length`, and the tick
of `value` is drawn on the last of them; `end` is the value at which the axis ends, the chart's `top` or a little more.
Not here: data (chart_data) and looks (chart_looks).
"""

from dataclasses import dataclass, replace
from math import cos, pi, sin
from typing import Any

from PIL import Image, ImageDraw

from drawn_world import palette
from drawn_world.charts.chart_data import Chart, steps_of
from drawn_world.charts.chart_looks import MAX_CHART_SIDE, NO_GRID, Look, mixed, stencil
from drawn_world.item import Box
from drawn_world.palette import Rgb
from qwen2vl.spec.config import FACTOR

EASY_PLOT: Box = (28, 14, 140, 154)
"""Plot of four bars, each in its own column of visual tokens; a tenth of the axis is a patch of 14 pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnChart:
    """The image of a chart, and where its parts are."""

    image: Image.Image
    chart: Chart
    look: Look
    plot: Box
    """The box between the ends of both axes, or the square around a pie."""
    marks: tuple[Box, ...]
    """Boxes of the bars or of the marks on a line; empty for a pie."""

    @property
    def end(self) -> float:
        """The value at the end of the plot."""
        return self.chart.top * (1 + self.look.room)

    def described(self) -> dict[str, Any]:
        """Description for JSON: what the chart shows, and the pixels of its plot, bars and points."""
        return self.chart.described() | {
            "horizontal": self.look.horizontal,
            "plot_px": list(self.plot),
            "end": self.end,
            "step": self.look.step,
            "marks_px": [list(mark) for mark in self.marks],
            "colours": [list(colour) for colour in self.look.colours],
        }


def draw_chart(chart: Chart, look: Look) -> DrawnChart:
    """The image of a chart that fits its look (see `fitted`)."""
    canvas = PieCanvas(chart, look) if chart.kind == "pie" else AxesCanvas(chart, look)
    marks = canvas.draw()
    return DrawnChart(image=canvas.image, chart=chart, look=look, plot=canvas.plot, marks=marks)


def fitted(chart: Chart, look: Look) -> tuple[Chart, Look]:
    """Chart and look changed until nothing overlaps: a larger image, then fewer categories, and steps between ticks."""
    if look.width_of(chart.title) > look.size[0] - 8:
        chart = replace(chart, title="")
    while True:
        narrow, low = _is_too_small(chart, look)
        if not narrow and not low:
            break
        width, height = (
            min(max(MAX_CHART_SIDE, side), side + FACTOR) if short else side
            for side, short in zip(look.size, (narrow, low), strict=True)
        )
        if (width, height) == look.size:
            chart = chart.without_last()
        look = replace(look, size=(width, height), aligned=False, pad=(0, 0, 0, 0))
    look = replace(look, colours=look.colours[: len(chart.labels)])
    if chart.kind == "pie":
        return chart, look
    x1, y1, x2, y2 = AxesCanvas.plot_of(chart, look)
    length, needed = (x2 - x1, look.width_of(str(chart.top)) + 4) if look.horizontal else (y2 - y1, look.line - 1)
    end = chart.top * (1 + look.room)
    wide = [step for step in steps_of(chart.top) if step >= look.step and step * length >= needed * end]
    return chart, replace(look, step=wide[0] if wide else chart.top)


def _is_too_small(chart: Chart, look: Look) -> tuple[bool, bool]:
    """Whether the image is too narrow, and whether it is too low."""
    x1, y1, x2, y2 = (PieCanvas if chart.kind == "pie" else AxesCanvas).plot_of(chart, look)
    width, height, count = x2 - x1, y2 - y1, len(chart.labels)
    if chart.kind == "pie":
        short = width < (72 if count < 6 else 96)
        return short and look.size[0] <= look.size[1], short and look.size[0] >= look.size[1]
    shortest_axis = round(84 * (1 + look.room))  # pixels, so that a twentieth of it is four pixels
    if look.horizontal:
        return width < shortest_axis, height < count * (look.line + 2)
    texts = [*chart.labels, *(map(str, chart.values) if chart.written else ())]
    return width < count * max(10, 3 + max(map(look.width_of, texts))), height < shortest_axis


class Canvas:
    """The image of one chart while it is drawn."""

    def __init__(self, chart: Chart, look: Look, plot: Box) -> None:
        self.chart, self.look, self.plot = chart, look, plot
        self.image = Image.new("RGB", look.size, look.ground)
        self.pen = ImageDraw.Draw(self.image)
        self._draw_title()

    @staticmethod
    def _inner(chart: Chart, look: Look) -> Box:
        """The image without its empty edges and without the row of the title."""
        left, top, right, bottom = look.pad
        title = look.line + 4 if chart.title else 0
        return left, top + title, look.size[0] - right, look.size[1] - bottom

    def _draw_title(self) -> None:
        """Write the title above the plot, inside the image."""
        title, width = self.chart.title, self.look.size[0]
        if title:
            across = self.look.width_of(title)
            left = self.plot[0] if self.look.title_left else (width - across) // 2
            self.put(title, (min(left, width - across - 3), self.look.pad[1] + 3))

    def put(self, text: str, at: tuple[float, float], anchor: str = "lt", ink: Rgb | None = None) -> Box:
        """Write a text and return its box.

        anchor: which point of the text is put at the pixel: left, middle or right (l, m, r), and top, middle of the digits
        or bottom (t, m, b).
        """
        mask = stencil(self.look.face, self.look.text_px, text)
        x = round(at[0]) - {"l": 0, "m": mask.width // 2, "r": mask.width}[anchor[0]]
        y = round(at[1]) - {"t": 0, "m": sum(self.look.digit_edges) // 2, "b": mask.height}[anchor[1]]
        self.image.paste(ink or self.look.ink, (x, y), mask)
        return x, y, x + mask.width, y + mask.height

    @staticmethod
    def ink_on(colour: Rgb) -> Rgb:
        """Black on light colours, white on dark ones."""
        return (15, 15, 15) if palette.luma(colour) > 135 else (250, 250, 250)


class AxesCanvas(Canvas):
    """A chart of bars or of a line."""

    def __init__(self, chart: Chart, look: Look) -> None:
        super().__init__(chart, look, self.plot_of(chart, look))

    @staticmethod
    def plot_of(chart: Chart, look: Look) -> Box:
        """The plot: what the texts leave of the image."""
        if look.aligned:
            return EASY_PLOT
        x1, y1, x2, y2 = AxesCanvas._inner(chart, look)
        ticks = look.width_of(str(chart.top)) + 6
        if look.horizontal:
            left = max(map(look.width_of, chart.labels)) + 6
            right = ticks if chart.written else ticks // 2 + 1
            return x1 + left, y1 + 4, x2 - right, y2 - look.line - 4
        bottom = look.line + 4 if any(chart.labels) else look.line // 2 + 2
        top = look.line + 3 if chart.written else look.line // 2 + 2
        left, right = (4, ticks) if look.axis_right else (ticks, 4)
        return x1 + left, y1 + top, x2 - right, y2 - bottom

    def draw(self) -> tuple[Box, ...]:
        """Draw the chart; returns the boxes of its bars, or of the marks on its line."""
        if self.look.panel != self.look.ground:
            self.image.paste(self.look.panel, self.plot)
        self._draw_ticks()
        marks = self._draw_bars() if self.chart.kind == "bar" else self._draw_line()
        self._draw_spines()
        self._draw_labels()
        if self.chart.written:
            for value, mark, colour in zip(self.chart.values, marks, self.look.colours, strict=True):
                self._write_value(str(value), mark, colour)
        return marks

    def _reach(self, value: int) -> int:
        """Pixels of the value axis that a value covers."""
        x1, y1, x2, y2 = self.plot
        return round(value * (x2 - x1 if self.look.horizontal else y2 - y1) / (self.chart.top * (1 + self.look.room)))

    def _bands(self) -> list[tuple[float, float]]:
        """Start and end of every category's part of its axis."""
        start, end = self.plot[1::2] if self.look.horizontal else self.plot[0::2]
        band = (end - start) / len(self.chart.labels)
        return [(start + index * band, start + (index + 1) * band) for index in range(len(self.chart.labels))]

    def _draw_ticks(self) -> None:
        """Draw the grid, the ticks outside the axis, and their numbers."""
        pen, look, (x1, y1, x2, y2) = self.pen, self.look, self.plot
        if look.grid == "both":
            for start, end in self._bands():
                middle = round((start + end) / 2)
                ends = ((x1, middle), (x2 - 1, middle)) if look.horizontal else ((middle, y1), (middle, y2 - 1))
                self._draw_grid_line(*ends)
        for value in range(0, self.chart.top + 1, look.step):
            if look.horizontal:
                x = x1 + self._reach(value) - 1
                self._draw_grid_line((x, y1), (x, y2 - 1))
                self.put(str(value), (x, y2 + 3), "mt")
                tick = (x, y2, x, y2 + min(2, look.tick - 1))
            else:
                y, outside = y2 - self._reach(value), min(3, look.tick)
                self._draw_grid_line((x1, y), (x2 - 1, y))
                self.put(str(value), (x2 + 4, y) if look.axis_right else (x1 - 4, y), "lm" if look.axis_right else "rm")
                tick = (x2, y, x2 + outside - 1, y) if look.axis_right else (x1 - outside, y, x1 - 1, y)
            if look.tick:
                pen.line(tick, fill=look.ink)

    def _draw_grid_line(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Draw a grid line across or down."""
        grid = self.look.grid
        grey = mixed(self.look.ground, self.look.ink, self.look.grid_share)
        if grid in ("solid", "both"):
            self.pen.line((*start, *end), fill=grey)
        elif grid != NO_GRID:
            dash, pitch = (3, 5) if grid == "dashed" else (1, 3)
            across = start[1] == end[1]
            for offset in range(0, max(end[0] - start[0], end[1] - start[1]), pitch):
                x, y = (start[0] + offset, start[1]) if across else (start[0], start[1] + offset)
                self.pen.line((x, y, x + dash - 1, y) if across else (x, y, x, y + dash - 1), fill=grey)

    def _draw_spines(self) -> None:
        """Draw the lines of the axes, just outside the plot."""
        pen, look, (x1, y1, x2, y2) = self.pen, self.look, self.plot
        if look.spines == "open":
            return
        if look.spines == "box":
            pen.rectangle((x1 - 1, y1 - 1, x2, y2), outline=look.ink)
            return
        below, beside = (x1 - 1, y2, x2, y2), ((x2, y1, x2, y2) if look.axis_right else (x1 - 1, y1, x1 - 1, y2))
        if look.spines == "corner":
            pen.line(below, fill=look.ink)
            pen.line(beside, fill=look.ink)
        else:  # only the line from which the bars start
            pen.line(beside if look.horizontal else below, fill=look.ink)

    def _draw_labels(self) -> None:
        """Write the names of the categories."""
        for label, (start, end) in zip(self.chart.labels, self._bands(), strict=True):
            middle = (start + end) / 2
            if label and self.look.horizontal:
                self.put(label, (self.plot[0] - 4, middle), "rm")
            elif label:
                self.put(label, (middle, min(self.plot[3] + 2, self.look.size[1] - self.look.line)), "mt")

    def _draw_bars(self) -> tuple[Box, ...]:
        """Draw the bars and return their boxes."""
        boxes = []
        for value, colour, (start, end) in zip(self.chart.values, self.look.colours, self._bands(), strict=True):
            reach = max(1, self._reach(value))
            breadth = max(4, round((end - start) * self.look.share))
            low = round((start + end - breadth) / 2)
            box = (self.plot[0], low, self.plot[0] + reach, low + breadth)
            if not self.look.horizontal:
                box = (low, self.plot[3] - reach, low + breadth, self.plot[3])
            outline = self.look.outline if min(reach, breadth) > 4 else None  # else it would be all of the bar
            self.pen.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=colour, outline=outline)
            boxes.append(box)
        return tuple(boxes)

    def _draw_line(self) -> tuple[Box, ...]:
        """Draw line and marks at three times the size, for smooth edges, and return the boxes of the marks."""
        look, middles = self.look, [int((start + end) / 2) for start, end in self._bands()]
        points = [(x, self.plot[3] - self._reach(value)) for x, value in zip(middles, self.chart.values, strict=True)]
        mask = Image.new("L", (look.size[0] * 3, look.size[1] * 3))
        pen = ImageDraw.Draw(mask)
        pen.line([(3 * x + 1, 3 * y + 1) for x, y in points], fill=255, width=look.stroke)
        radius = look.radius
        large = 3 * radius + 1
        for x, y in ((3 * x + 1, 3 * y + 1) for x, y in points):
            box = (x - large, y - large, x + large, y + large)
            if look.mark == "point":
                pen.ellipse(
                    (x - look.stroke // 2, y - look.stroke // 2, x + look.stroke // 2, y + look.stroke // 2), fill=255
                )
            elif look.mark == "triangle":
                pen.polygon(((x - large, y + large), (x, y - large), (x + large, y + large)), fill=255)
            elif look.mark == "square":
                pen.rectangle(box, fill=255)
            elif look.mark == "diamond":
                pen.polygon(((x - large, y), (x, y - large), (x + large, y), (x, y + large)), fill=255)
            else:
                pen.ellipse(box, fill=255)
            if look.mark == "ring":
                pen.ellipse((box[0] + 5, box[1] + 5, box[2] - 5, box[3] - 5), fill=0)
        self.image.paste(look.colours[0], (0, 0), mask.reduce(3))
        return tuple((x - radius, y - radius, x + radius + 1, y + radius + 1) for x, y in points)

    def _write_value(self, text: str, mark: Box, colour: Rgb) -> None:
        """Write a number at the end of a bar, or above a point on a patch of ground."""
        look, (x1, y1, x2, y2) = self.look, mark
        across = look.width_of(text)
        if self.chart.kind == "line":
            left, bottom = (x1 + x2 - across) // 2, y1 - 1
            digits = look.digit_edges
            patch = (left - 1, bottom - (digits[1] - digits[0]) - 1, left + across + 1, bottom + 1)
            self.image.paste(look.panel, patch)
            self.put(text, (left, bottom - digits[1]))
        elif look.horizontal:
            inside = look.inside and x2 - x1 >= across + 5 and y2 - y1 >= look.line - 3
            x, anchor = (x2 - 3, "rm") if inside else (x2 + 3, "lm")
            self.put(text, (x, (y1 + y2) / 2), anchor, self.ink_on(colour) if inside else None)
        else:
            inside = look.inside and y2 - y1 >= look.line + 2 and x2 - x1 >= across + 2
            y, anchor = (y1 + 1, "mt") if inside else (y1, "mb")
            self.put(text, ((x1 + x2) / 2, y), anchor, self.ink_on(colour) if inside else None)


class PieCanvas(Canvas):
    """A pie chart."""

    def __init__(self, chart: Chart, look: Look) -> None:
        super().__init__(chart, look, self.plot_of(chart, look))

    @staticmethod
    def plot_of(chart: Chart, look: Look) -> Box:
        """The square around the pie: what the legend leaves of the image."""
        x1, y1, x2, y2 = PieCanvas._inner(chart, look)
        width, height = x2 - x1, y2 - y1
        widest, row = max(map(look.width_of, chart.labels)), look.line + 3
        left = right = top = bottom = 4
        if look.legend == "around":
            left = right = widest + 8
            top = bottom = look.line + 6
        elif look.legend == "below":
            bottom += row * -(-len(chart.labels) // 2) + 2
        elif look.legend == "above":
            top += row * -(-len(chart.labels) // 2) + 2
        elif look.legend == "left":
            left += widest + 16
        else:
            right += widest + 16
        side = max(0, min(width - left - right, height - top - bottom))
        x, y = x1 + left + (width - left - right - side) // 2, y1 + top + (height - top - bottom - side) // 2
        return x, y, x + side, y + side

    def draw(self) -> tuple[Box, ...]:
        """Draw the slices clockwise from the top, at three times the size for smooth edges, and the legend."""
        chart, look, side = self.chart, self.look, self.plot[2] - self.plot[0]
        large = Image.new("RGB", (side * 3, side * 3), look.ground)
        pen, turn = ImageDraw.Draw(large), look.turn - 90.0
        for value, colour in zip(chart.values, look.colours, strict=True):
            after = turn + (-3.6 if look.backwards else 3.6) * value
            whole = (0, 0, side * 3 - 1, side * 3 - 1)
            pen.pieslice(whole, min(turn, after), max(turn, after), fill=colour, outline=look.outline)
            turn = after
        inner = round(side * 3 * (1 - look.hole) / 2)
        if look.hole:
            pen.ellipse((inner, inner, side * 3 - 1 - inner, side * 3 - 1 - inner), fill=look.ground)
        self.image.paste(large.reduce(3), self.plot[:2])
        if chart.written:
            for value, colour, angle in zip(chart.values, look.colours, self._middles(), strict=True):
                text = f"{value}%" if look.inside else str(value)
                self.put(text, self._on_circle(angle, max(0.68, (1 + look.hole) / 2)), "mm", self.ink_on(colour))
        if look.legend == "around":
            self._label_slices()
        else:
            self._draw_legend()
        return ()

    def _middles(self) -> list[float]:
        """Angle of the middle of every slice, clockwise from the top, in radians."""
        values, sense = self.chart.values, -1 if self.look.backwards else 1
        shares = [(sum(values[:index]) + value / 2) / 100 for index, value in enumerate(values)]
        return [2 * pi * (self.look.turn / 360 + sense * share) % (2 * pi) for share in shares]

    def _on_circle(self, angle: float, share: float) -> tuple[float, float]:
        """The pixel at a share of the radius, in the direction of an angle clockwise from the top."""
        left, top, right, _ = self.plot
        radius = (right - left) / 2
        return left + radius + share * radius * sin(angle), top + radius - share * radius * cos(angle)

    def _label_slices(self) -> None:
        """Write the names around the pie."""
        for label, angle in zip(self.chart.labels, self._middles(), strict=True):
            across = "m" if abs(sin(angle)) < 0.2 else "l" if sin(angle) > 0 else "r"
            down = "b" if cos(angle) > 0.8 else "t" if cos(angle) < -0.8 else "m"
            self.put(label, self._on_circle(angle, 1 + 10 / (self.plot[2] - self.plot[0])), across + down)

    def _draw_legend(self) -> None:
        """Write the names beside or below the pie, each after a square of its colour."""
        chart, look = self.chart, self.look
        widest, row = max(map(look.width_of, chart.labels)), look.line + 3
        columns = 2 if look.legend in ("below", "above") else 1
        rows, inner = -(-len(chart.labels) // columns), self._inner(chart, look)
        middle = (inner[0] + inner[2] - 2 * (widest + 18)) // 2
        left = {"left": inner[0] + 4, "right": self.plot[2] + 5, "below": middle, "above": middle}[look.legend]
        beside = (inner[1] + inner[3] - rows * row) // 2
        top = {"below": self.plot[3] + 4, "above": self.plot[1] - 2 - rows * row}.get(look.legend, beside)
        for index, (label, colour) in enumerate(zip(chart.labels, look.colours, strict=True)):
            x, y = left + index % columns * (widest + 20), top + index // columns * row
            self.put(label, (x + 11, y))
            middle = y + sum(look.digit_edges) // 2
            self.pen.rectangle((x, middle - 4, x + 7, middle + 3), fill=colour)
