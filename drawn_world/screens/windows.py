"""Drawn windows: a title bar and a few labelled controls. All splits have the same labels, but each has its own layouts.

Most of training's windows come from a procedure instead (window_layouts). Not here: tasks and lessons (window_lessons).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image, ImageDraw

from drawn_world.fonts import Face, faces
from drawn_world.item import Box, point_answer
from drawn_world.palette import Rgb, jitter
from drawn_world.typesetting import PLAIN_FAMILIES
from drawn_world.wording import LABELS, ask
from drawn_world.words import pick_word
from qwen2vl.spec.config import FACTOR

LAYOUTS = {"train": ("left", "flow", "spread"), "val": ("right",), "test": ("centre",)}
THEMES: dict[str, tuple[tuple[Rgb, Rgb, Rgb], ...]] = {  # window, title bar, button
    "train": (
        ((240, 240, 240), (0, 90, 180), (225, 225, 225)),
        ((255, 255, 255), (60, 60, 60), (210, 225, 245)),
        ((236, 233, 216), (10, 36, 106), (245, 245, 240)),
        ((40, 42, 48), (24, 26, 30), (70, 76, 88)),
        ((28, 32, 44), (60, 70, 120), (52, 60, 90)),
        ((225, 240, 228), (34, 110, 60), (250, 255, 250)),
        ((250, 236, 226), (160, 70, 30), (255, 252, 248)),
        ((238, 230, 246), (96, 50, 140), (252, 248, 255)),
    ),
    "val": (((228, 236, 246), (20, 120, 130), (255, 255, 255)), ((52, 44, 44), (110, 40, 40), (86, 72, 72))),
    "test": (((246, 244, 232), (90, 100, 30), (228, 226, 200)), ((34, 46, 46), (16, 84, 84), (62, 84, 84))),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Widget:
    """One control of a window, without a place."""

    kind: str
    """button, checkbox, field or tab; in training also option, row (of a list) or menu (an entry of its bar)."""
    label: str
    state: str = ""
    """Content of a field, "yes" or "no" for a checkbox, "selected" for what is chosen in training's windows, else empty."""

    def at(self, box_px: Box) -> "Control":
        """The widget at a place."""
        return Control(kind=self.kind, label=self.label, state=self.state, box_px=box_px)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control(Widget):
    """One control of a window, and its place."""

    box_px: Box

    def moved(self, down: int) -> "Control":
        """The control some pixels further down."""
        left, top, right, bottom = self.box_px
        return self.at((left, top + down, right, bottom + down))


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A drawn window and its parts."""

    image: Image.Image
    title: str
    """Empty if the window has no title bar."""
    controls: tuple[Control, ...]
    close_px: Box | None = None
    """Box of the cross that closes the window, where one is asked for."""

    def described(self) -> dict[str, Any]:
        """Description for JSON: size, title, and kind, label, state and box in pixels of every control."""
        controls = [
            {"kind": each.kind, "label": each.label, "state": each.state, "box_px": list(each.box_px)}
            for each in self.controls
        ]
        scene = {"size": list(self.image.size), "title": self.title, "controls": controls}
        return scene | ({"close_px": list(self.close_px)} if self.close_px else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowStyle:
    """Font and colours of a window, and how its parts are drawn."""

    face: Face
    text_px: int
    window: Rgb
    bar: Rgb
    button: Rgb
    rounding: int

    @classmethod
    def sample(cls, rng: Random, split: str) -> "WindowStyle":
        """A style of the split."""
        window, bar, button = rng.choice(THEMES[split])
        face = rng.choice(faces(split, mono=False))
        bar, button = jitter(rng, bar, 10), jitter(rng, button, 6)
        rounding, text_px = rng.choice((0, 3, 6)), rng.randint(13, 15)
        return cls(face=face, text_px=text_px, window=window, bar=bar, button=button, rounding=rounding)

    def ink_on(self, ground: Rgb) -> Rgb:
        """Black on light grounds, white on dark ones."""
        return (15, 15, 15) if sum(ground) > 384 else (245, 245, 245)

    def extent(self, widget: Widget) -> tuple[int, int]:
        """Width and height of a control in pixels."""
        text_width, line = self.face.ink_size(self.text_px, widget.label)
        if widget.kind == "checkbox":
            return text_width + line + 6, line + 2
        if widget.kind == "field":
            return text_width + 6 + max(64, self.face.ink_size(self.text_px, widget.state)[0] + 10), line + 8
        return text_width + (14 if widget.kind == "button" else 10), line + 8

    def draw_title_bar(self, image: Image.Image, title: str) -> int:
        """Draw the title bar with a cross for closing; returns its bottom edge."""
        pen, height = ImageDraw.Draw(image), self.text_px + 9
        pen.rectangle((0, 0, image.width - 1, height - 1), fill=self.bar)
        ink = self.ink_on(self.bar)
        self.face.write(image, self.text_px, title, (6, 4), ink)
        right, middle = image.width - 12, height // 2
        pen.line((right, middle - 4, right + 7, middle + 3), fill=ink)
        pen.line((right, middle + 3, right + 7, middle - 4), fill=ink)
        return height

    def draw_control(self, image: Image.Image, control: Control) -> None:
        """Draw one control in its box."""
        pen, (x1, y1, x2, y2) = ImageDraw.Draw(image), control.box_px
        ink, write = self.ink_on(self.window), self.face.write
        outline = tuple((a + b) // 2 for a, b in zip(ink, self.window, strict=True))
        if control.kind == "button":
            pen.rounded_rectangle((x1, y1, x2 - 1, y2 - 1), self.rounding, fill=self.button, outline=outline)
            write(image, self.text_px, control.label, (x1 + 7, y1 + 4), self.ink_on(self.button))
        elif control.kind == "tab":
            pen.line([(x1, y2 - 1), (x1, y1), (x2 - 1, y1), (x2 - 1, y2 - 1)], fill=outline)
            write(image, self.text_px, control.label, (x1 + 5, y1 + 4), ink)
        elif control.kind == "checkbox":
            side = y2 - y1 - 1
            pen.rectangle((x1, y1, x1 + side, y2 - 1), outline=outline)
            if control.state == "yes":
                hook = [(x1 + 3, y1 + side // 2), (x1 + side * 2 // 5, y2 - 4), (x1 + side - 3, y1 + 3)]
                pen.line(hook, fill=ink, width=2)
            write(image, self.text_px, control.label, (x1 + (y2 - y1) + 4, y1 + 1), ink)
        else:
            label_box = write(image, self.text_px, control.label, (x1, y1 + 4), ink)
            pen.rectangle((label_box[2] + 6, y1, x2 - 1, y2 - 1), fill=(255, 255, 255), outline=outline)
            write(image, self.text_px, control.state, (label_box[2] + 11, y1 + 4), (15, 15, 15))


def make_screen(rng: Random, split: str, ease: float = 0.0, most: int | None = None) -> Screen:
    """Draw a window of two to six controls, or at most `most`; with probability `ease` all windows have one size."""
    style, layout = WindowStyle.sample(rng, split), rng.choice(LAYOUTS[split])
    if ease and rng.random() < ease:
        size = (6 * FACTOR, 6 * FACTOR)
    elif rng.random() < 0.15:
        size = rng.randint(140, 196), rng.randint(140, 196)
    else:
        size = rng.randint(5, 7) * FACTOR, rng.randint(5, 7) * FACTOR
    title = rng.choice(LABELS["window_title"])
    image = Image.new("RGB", size, style.window)
    top = style.draw_title_bar(image, title)
    controls = _arrange(rng, pick_widgets(rng, split)[:most], style, layout, size, top + 4)
    for control in controls:
        style.draw_control(image, control)
    return Screen(image=image, title=title, controls=tuple(controls))


def make_cells(rng: Random, split: str, ease: float) -> Screen:
    """Draw a window of two to five buttons in cells that differ only in their labels: the easiest pointing.

    The window has 6 x 6 visual tokens; a cell is 3 wide and 1 high. With probability `ease` there are only two buttons.
    """
    plain = [face for face in faces(split, mono=False) if face.family in PLAIN_FAMILIES] or faces(split, mono=False)
    (window, bar, button), face = THEMES["train"][0], rng.choice(plain)
    style = WindowStyle(face=face, text_px=14, window=window, bar=bar, button=button, rounding=3)
    image, title = Image.new("RGB", (6 * FACTOR, 6 * FACTOR), window), rng.choice(LABELS["window_title"])
    style.draw_title_bar(image, title)
    labels = rng.sample(LABELS["button"], 2 if rng.random() < ease else rng.randint(2, 5))
    controls = []
    for label, cell in zip(labels, rng.sample(range(2, 12), len(labels)), strict=True):
        widget = Widget(kind="button", label=label)
        x, y = cell % 2 * 3 * FACTOR + 3, cell // 2 * FACTOR + 3
        width, height = style.extent(widget)
        box = (x, y, min(x + width, image.width), min(y + height, y + FACTOR - 4))
        controls.append(widget.at(box))
        style.draw_control(image, controls[-1])
    return Screen(image=image, title=title, controls=tuple(controls))


def pick_widgets(rng: Random, split: str, most: int | None = None) -> list[Widget]:
    """Sample two to six controls with different labels.

    They are one to three buttons, up to two checkboxes and a field, of which at most `most` are kept; sometimes two tabs
    come before them.
    """
    widgets = [Widget(kind="button", label=label) for label in rng.sample(LABELS["button"], rng.randint(1, 3))]
    for label in rng.sample(LABELS["checkbox"], rng.choice((0, 1, 1, 2))):
        widgets.append(Widget(kind="checkbox", label=label, state=rng.choice(("yes", "no"))))
    if rng.random() < 0.4 or len(widgets) == 1:
        widgets.append(Widget(kind="field", label=rng.choice(LABELS["field"]), state=pick_word(rng, split)))
    rng.shuffle(widgets)
    widgets = widgets[:most]
    if rng.random() < 0.25 and len(widgets) < 4:
        widgets = [*(Widget(kind="tab", label=label) for label in rng.sample(LABELS["tab"], 2)), *widgets]
    return widgets


def _arrange(
    rng: Random, widgets: Sequence[Widget], style: WindowStyle, layout: str, size: tuple[int, int], top: int
) -> list[Control]:
    """Rows of controls from the top down, without those that do not fit; the first row always fits."""
    rows = _rows(rng, widgets, style, layout, size[0] - 12)
    heights = [max(style.extent(each)[1] for each in row) for row in rows]
    while len(rows) > 1 and top + sum(heights) + 3 * len(rows) > size[1]:
        rows.pop()
        heights.pop()
    gap = min(20, (size[1] - top - sum(heights)) // (len(rows) + 1))
    controls, y = [], top + rng.randint(0, max(0, gap))
    for row, height in zip(rows, heights, strict=True):
        slack = size[0] - 12 - sum(style.extent(each)[0] for each in row) - 6 * (len(row) - 1)
        x = 6 + {"right": slack, "centre": slack // 2, "spread": rng.randint(0, max(0, slack))}.get(layout, 0)
        for widget in row:
            across, high = style.extent(widget)
            controls.append(widget.at((x, y, x + across, y + high)))
            x += across + 6
        y += height + gap
    return controls


def _rows(rng: Random, widgets: Sequence[Widget], style: WindowStyle, layout: str, room: int) -> list[list[Widget]]:
    """Tabs share a row. The layout "flow" fills rows, "left" has one control a row, others sometimes put two side by side."""
    share = {"flow": 1.0, "left": 0.0}.get(layout, 0.35)
    rows: list[list[Widget]] = []
    used = room + 1
    for widget in widgets:
        width = style.extent(widget)[0] + 6
        after_tab = bool(rows) and rows[-1][-1].kind == "tab"
        tabs, separate = after_tab and widget.kind == "tab", after_tab and widget.kind != "tab"
        if used + width <= room + 6 and not separate and (tabs or rng.random() < share):
            rows[-1].append(widget)
            used += width
        else:
            rows.append([widget])
            used = width
    return rows


def ask_state(rng: Random, control: Control, ease: float = 0.0) -> tuple[str, str]:
    """A question for the state of a checkbox or the content of a field, and its answer."""
    return ask(rng, "checked" if control.kind == "checkbox" else "field", ease, label=control.label), control.state


def ask_point(rng: Random, control: Control, size: tuple[int, int], ease: float = 0.0) -> tuple[str, str, str]:
    """A question for a point on a control, its answer, and the label that the question uses."""
    label = rng.choice(LABELS[f"named_{control.kind}"]).format(label=control.label)
    return ask(rng, "point", ease, label=label), point_answer(control.box_px, size), label
