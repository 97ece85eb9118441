"""Images of bar, line and pie charts.

A value is a whole number of pixels: a bar of `value` covers round(value * length / top) of the plot's `length`, and
the tick of `value` is drawn on the last of them. Not here: data and looks (data, looks).
"""

from dataclasses import dataclass, replace
from math import cos, pi, sin

from PIL import Image, ImageDraw

from drawn_world import palette
from drawn_world.charts.chart_data import Chart
from drawn_world.charts.looks import LONGEST_SIDE, STEPS, Look, digit, stencil
from drawn_world.item import Box
from drawn_world.palette import Rgb
from qwen2vl.spec.config import FACTOR

EASY_PLOT: Box = (28, 14, 140, 154)  # four bars, each in its own column of tokens; a tenth of the axis is a patch of 14
SHORTEST_PLOT, SHORTEST_CIRCLE = 84, 72  # pixels: a twentieth of an axis is four of them


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnChart:
    """An image and where things stand on it."""

    image: Image.Image
    chart: Chart
    look: Look
    plot: Box
    """Between the ends of both axes; the square around a pie."""
    marks: tuple[Box, ...]
    """Bars, or the marks of a line's points; none for a pie."""


def fitted(chart: Chart, look: Look) -> tuple[Chart, Look]:
    """Chart and look so that nothing overlaps: a larger image, wider ticks, at last fewer categories."""
    while True:
        narrow, low = _lacks(chart, look)
        if not narrow and not low:
            break
        width, height = (
            min(max(LONGEST_SIDE, side), side + FACTOR) if short else side
            for side, short in zip(look.size, (narrow, low), strict=True)
        )
        if (width, height) == look.size:
            chart = chart.without_last()
        look = replace(look, size=(width, height), aligned=False)
    return chart, replace(look, colours=look.colours[: len(chart.labels)], step=_step(chart, look))


def _lacks(chart: Chart, look: Look) -> tuple[bool, bool]:
    """Whether the image is too narrow, too low."""
    x1, y1, x2, y2 = _circle(chart, look) if chart.kind == "pie" else _axes(chart, look)
    width, height, count = x2 - x1, y2 - y1, len(chart.labels)
    if chart.kind == "pie":
        short = width < SHORTEST_CIRCLE
        return short and look.size[0] <= look.size[1], short and look.size[0] >= look.size[1]
    if look.horizontal:
        return width < SHORTEST_PLOT, height < count * (look.line + 2)
    texts = [*chart.labels, *(map(str, chart.values) if chart.written else ())]
    return width < count * max(10, 3 + max(map(look.width_of, texts))), height < SHORTEST_PLOT


def _step(chart: Chart, look: Look) -> int:
    """The look's step, or the next whose labels stand apart."""
    if chart.kind == "pie":
        return look.step
    x1, y1, x2, y2 = _axes(chart, look)
    length, needed = (x2 - x1, look.width_of(str(chart.top)) + 4) if look.horizontal else (y2 - y1, look.line - 1)
    wide = [step for step in STEPS[chart.top] if step >= look.step and step * length >= needed * chart.top]
    return wide[0] if wide else STEPS[chart.top][-1]


def _put(
    image: Image.Image, look: Look, text: str, at: tuple[float, float], anchor: str = "lt", ink: Rgb | None = None
) -> Box:
    """Writes with the left, middle or right (lmr), top, digits' middle or bottom (tmb) at a pixel; returns the box."""
    mask = stencil(look.face, look.text_px, text)
    top, bottom = digit(look.face, look.text_px)
    x = round(at[0]) - {"l": 0, "m": mask.width // 2, "r": mask.width}[anchor[0]]
    y = round(at[1]) - {"t": 0, "m": (top + bottom) // 2, "b": mask.height}[anchor[1]]
    image.paste(ink or look.ink, (x, y), mask)
    return x, y, x + mask.width, y + mask.height


def mixed(one: Rgb, other: Rgb, share: float) -> Rgb:
    """`share` of one, the rest of the other."""
    red, green, blue = (round(a * share + b * (1 - share)) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _ink_on(colour: Rgb) -> Rgb:
    return (15, 15, 15) if palette.luma(colour) > 135 else (250, 250, 250)


# Bars and lines


def draw_chart(chart: Chart, look: Look) -> DrawnChart:
    """The image of a chart that fits its look (see `fitted`)."""
    image = Image.new("RGB", look.size, look.ground)
    if chart.kind == "pie":
        plot = _circle(chart, look)
        _draw_slices(image, chart, look, plot)
        _draw_legend(image, chart, look, plot)
        return DrawnChart(image=image, chart=chart, look=look, plot=plot, marks=())
    plot = _axes(chart, look)
    _draw_ticks(image, chart, look, plot)
    draw_marks = _draw_bars if chart.kind == "bar" else _draw_line
    marks = draw_marks(image, chart, look, plot)
    _draw_spines(image, look, plot)
    _draw_labels(image, chart, look, plot)
    if chart.written:
        for value, mark, colour in zip(chart.values, marks, look.colours, strict=True):
            _write_value(image, chart.kind, str(value), mark, look, colour)
    return DrawnChart(image=image, chart=chart, look=look, plot=plot, marks=marks)


def _axes(chart: Chart, look: Look) -> Box:
    """The plot: what texts leave of the image."""
    if look.aligned:
        return EASY_PLOT
    width, height = look.size
    ticks = look.width_of(str(chart.top)) + 6
    if look.horizontal:
        left = max(map(look.width_of, chart.labels)) + 6
        right = ticks if chart.written else ticks // 2 + 1
        return left, 4, width - right, height - look.line - 4
    bottom = look.line + 4 if any(chart.labels) else look.line // 2 + 2
    top = look.line + 3 if chart.written else look.line // 2 + 2
    left, right = (4, ticks) if look.axis_right else (ticks, 4)
    return left, top, width - right, height - bottom


def _reach(value: int, chart: Chart, look: Look, plot: Box) -> int:
    """Pixels that a value covers of the value axis."""
    length = plot[2] - plot[0] if look.horizontal else plot[3] - plot[1]
    return round(value * length / chart.top)


def _bands(chart: Chart, look: Look, plot: Box) -> list[tuple[float, float]]:
    """Start and end of every category's stretch of its axis."""
    start, end = (plot[1], plot[3]) if look.horizontal else (plot[0], plot[2])
    band = (end - start) / len(chart.labels)
    return [(start + index * band, start + (index + 1) * band) for index in range(len(chart.labels))]


def _draw_ticks(image: Image.Image, chart: Chart, look: Look, plot: Box) -> None:
    """Grid, the marks outside the axis, and their numbers."""
    pen, (x1, y1, x2, y2) = ImageDraw.Draw(image), plot
    grey = mixed(look.ink, look.ground, 0.25)
    for value in range(0, chart.top + 1, look.step):
        if look.horizontal:
            x = x1 + _reach(value, chart, look, plot) - 1
            _rule(pen, look.grid, (x, y1), (x, y2 - 1), grey)
            _put(image, look, str(value), (x, y2 + 3), "mt")
            pen.line((x, y2, x, y2 + 2), fill=look.ink)
            continue
        y = y2 - _reach(value, chart, look, plot)
        _rule(pen, look.grid, (x1, y), (x2 - 1, y), grey)
        if look.axis_right:
            _put(image, look, str(value), (x2 + 4, y), "lm")
            pen.line((x2, y, x2 + 2, y), fill=look.ink)
        else:
            _put(image, look, str(value), (x1 - 4, y), "rm")
            pen.line((x1 - 3, y, x1 - 1, y), fill=look.ink)


def _rule(pen: ImageDraw.ImageDraw, grid: str, start: tuple[int, int], end: tuple[int, int], colour: Rgb) -> None:
    """A grid line across or down."""
    if grid == "solid":
        pen.line((*start, *end), fill=colour)
    elif grid != "none":
        dash, pitch = (3, 5) if grid == "dashed" else (1, 3)
        across = start[1] == end[1]
        for offset in range(0, max(end[0] - start[0], end[1] - start[1]), pitch):
            x, y = (start[0] + offset, start[1]) if across else (start[0], start[1] + offset)
            pen.line((x, y, x + dash - 1, y) if across else (x, y, x, y + dash - 1), fill=colour)


def _draw_spines(image: Image.Image, look: Look, plot: Box) -> None:
    """The lines of the axes, just outside the plot."""
    pen, (x1, y1, x2, y2) = ImageDraw.Draw(image), plot
    if look.spines == "box":
        pen.rectangle((x1 - 1, y1 - 1, x2, y2), outline=look.ink)
        return
    below, beside = (x1 - 1, y2, x2, y2), ((x2, y1, x2, y2) if look.axis_right else (x1 - 1, y1, x1 - 1, y2))
    if look.spines == "corner":
        pen.line(below, fill=look.ink)
        pen.line(beside, fill=look.ink)
    else:  # only where the bars stand
        pen.line(beside if look.horizontal else below, fill=look.ink)


def _draw_labels(image: Image.Image, chart: Chart, look: Look, plot: Box) -> None:
    for label, (start, end) in zip(chart.labels, _bands(chart, look, plot), strict=True):
        middle = (start + end) / 2
        if label and look.horizontal:
            _put(image, look, label, (plot[0] - 4, middle), "rm")
        elif label:
            _put(image, look, label, (middle, min(plot[3] + 2, look.size[1] - look.line)), "mt")


def _draw_bars(image: Image.Image, chart: Chart, look: Look, plot: Box) -> tuple[Box, ...]:
    pen, boxes = ImageDraw.Draw(image), []
    for value, colour, (start, end) in zip(chart.values, look.colours, _bands(chart, look, plot), strict=True):
        reach = max(1, _reach(value, chart, look, plot))
        breadth = max(4, round((end - start) * look.share))
        low = round((start + end - breadth) / 2)
        box = (plot[0], low, plot[0] + reach, low + breadth)
        if not look.horizontal:
            box = (low, plot[3] - reach, low + breadth, plot[3])
        pen.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=colour)
        boxes.append(box)
    return tuple(boxes)


def _draw_line(image: Image.Image, chart: Chart, look: Look, plot: Box) -> tuple[Box, ...]:
    """Points at the middles of their bands, drawn at three times the size for smooth edges; boxes of their marks."""
    middles = [int((start + end) / 2) for start, end in _bands(chart, look, plot)]
    points = [(x, plot[3] - _reach(value, chart, look, plot)) for x, value in zip(middles, chart.values, strict=True)]
    mask = Image.new("L", (look.size[0] * 3, look.size[1] * 3))
    pen = ImageDraw.Draw(mask)
    pen.line([(3 * x + 1, 3 * y + 1) for x, y in points], fill=255, width=5)
    radius = 3 if look.mark in ("diamond", "ring") else 2
    for x, y in points:
        _draw_mark(pen, look.mark, 3 * x + 1, 3 * y + 1, 3 * radius + 1)
    image.paste(look.colours[0], (0, 0), mask.reduce(3))
    return tuple((x - radius, y - radius, x + radius + 1, y + radius + 1) for x, y in points)


def _draw_mark(pen: ImageDraw.ImageDraw, mark: str, x: int, y: int, radius: int) -> None:
    box = (x - radius, y - radius, x + radius, y + radius)
    if mark == "square":
        pen.rectangle(box, fill=255)
    elif mark == "diamond":
        pen.polygon(((x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius)), fill=255)
    else:
        pen.ellipse(box, fill=255)
    if mark == "ring":
        pen.ellipse((x - radius + 5, y - radius + 5, x + radius - 5, y + radius - 5), fill=0)


def _write_value(image: Image.Image, kind: str, text: str, mark: Box, look: Look, colour: Rgb) -> None:
    """The number at the end of a bar, or over a point on a patch of ground."""
    x1, y1, x2, y2 = mark
    across = look.width_of(text)
    if kind == "line":
        left, bottom = (x1 + x2 - across) // 2, y1 - 1
        digits = digit(look.face, look.text_px)
        image.paste(look.ground, (left - 1, bottom - (digits[1] - digits[0]) - 1, left + across + 1, bottom + 1))
        _put(image, look, text, (left, bottom - digits[1]))
    elif look.horizontal:
        inside = look.inside and x2 - x1 >= across + 5 and y2 - y1 >= look.line - 3
        x, anchor = (x2 - 3, "rm") if inside else (x2 + 3, "lm")
        _put(image, look, text, (x, (y1 + y2) / 2), anchor, _ink_on(colour) if inside else None)
    else:
        inside = look.inside and y2 - y1 >= look.line + 2 and x2 - x1 >= across + 2
        y, anchor = (y1 + 1, "mt") if inside else (y1, "mb")
        _put(image, look, text, ((x1 + x2) / 2, y), anchor, _ink_on(colour) if inside else None)


# Pies


def _circle(chart: Chart, look: Look) -> Box:
    """The square around the pie: what the legend leaves."""
    width, height = look.size
    widest, row = max(map(look.width_of, chart.labels)), look.line + 3
    left = right = top = bottom = 4
    if look.legend == "around":
        left = right = widest + 8
        top = bottom = look.line + 6
    elif look.legend == "below":
        bottom += row * -(-len(chart.labels) // 2) + 2
    elif look.legend == "left":
        left += widest + 16
    else:
        right += widest + 16
    side = max(0, min(width - left - right, height - top - bottom))
    x, y = left + (width - left - right - side) // 2, top + (height - top - bottom - side) // 2
    return x, y, x + side, y + side


def _draw_slices(image: Image.Image, chart: Chart, look: Look, plot: Box) -> None:
    """Clockwise from the top, at three times the size for smooth edges."""
    side = plot[2] - plot[0]
    large = Image.new("RGB", (side * 3, side * 3), look.ground)
    pen, turn = ImageDraw.Draw(large), -90.0
    for value, colour in zip(chart.values, look.colours, strict=True):
        pen.pieslice((0, 0, side * 3 - 1, side * 3 - 1), turn, turn + 3.6 * value, fill=colour)
        turn += 3.6 * value
    image.paste(large.reduce(3), plot[:2])
    if chart.written:
        for value, colour, angle in zip(chart.values, look.colours, _middles(chart), strict=True):
            text = f"{value}%" if look.inside else str(value)
            _put(image, look, text, _on_circle(plot, angle, 0.68), "mm", _ink_on(colour))


def _middles(chart: Chart) -> list[float]:
    """Angle of the middle of every slice, clockwise from the top."""
    return [2 * pi * (sum(chart.values[:index]) + value / 2) / 100 for index, value in enumerate(chart.values)]


def _on_circle(plot: Box, angle: float, share: float) -> tuple[float, float]:
    """The pixel at a share of the radius, in the direction of an angle clockwise from the top."""
    radius = (plot[2] - plot[0]) / 2
    return plot[0] + radius + share * radius * sin(angle), plot[1] + radius - share * radius * cos(angle)


def _draw_legend(image: Image.Image, chart: Chart, look: Look, plot: Box) -> None:
    if look.legend == "around":
        for label, angle in zip(chart.labels, _middles(chart), strict=True):
            x, y = _on_circle(plot, angle, 1 + 10 / (plot[2] - plot[0]))
            across = "m" if abs(sin(angle)) < 0.2 else "l" if sin(angle) > 0 else "r"
            _put(image, look, label, (x, y), across + ("b" if cos(angle) > 0.8 else "t" if cos(angle) < -0.8 else "m"))
        return
    widest, row, pen = max(map(look.width_of, chart.labels)), look.line + 3, ImageDraw.Draw(image)
    columns = 2 if look.legend == "below" else 1
    rows = -(-len(chart.labels) // columns)
    left = {"left": 4, "right": plot[2] + 5, "below": (look.size[0] - 2 * (widest + 18)) // 2}[look.legend]
    top = plot[3] + 4 if look.legend == "below" else (look.size[1] - rows * row) // 2
    for index, (label, colour) in enumerate(zip(chart.labels, look.colours, strict=True)):
        x, y = left + index % columns * (widest + 20), top + index // columns * row
        _put(image, look, label, (x + 11, y))
        middle = y + sum(digit(look.face, look.text_px)) // 2
        pen.rectangle((x, middle - 4, x + 7, middle + 3), fill=colour)
