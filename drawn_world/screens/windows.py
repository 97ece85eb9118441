"""Mock-ups of windows: a title bar and a few labelled controls. Same labels in all splits, other layouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from drawn_world.fonts import Face, faces
from drawn_world.item import Box, Item, image_item, place_truth, point_answer, text_truth
from drawn_world.lettering import ink_size, write
from drawn_world.palette import Rgb, jitter
from drawn_world.task import Task, without_ease
from drawn_world.typesetting import PLAIN_FAMILIES
from drawn_world.wording import ask, read_wordings
from drawn_world.words import pick_word
from qwen2vl.spec.config import FACTOR

LABELS = read_wordings("windows")
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
class Control:
    """One control of a window."""

    kind: str
    """button, checkbox, field or tab."""
    label: str
    state: str
    """Content of a field, "yes" or "no" of a checkbox, else empty."""
    box_px: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a window is drawn."""

    face: Face
    text_px: int
    window: Rgb
    bar: Rgb
    button: Rgb
    rounding: int

    def ink_on(self, ground: Rgb) -> Rgb:
        """Black on light, white on dark."""
        return (15, 15, 15) if sum(ground) > 384 else (245, 245, 245)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A drawn window and what it holds."""

    image: Image.Image
    title: str
    controls: tuple[Control, ...]


def screen(rng: Random, split: str) -> Item:
    """Point at a control, or tell the state of a checkbox, the content of a field or the title."""
    drawn = make_screen(rng, split)
    return _question(rng, drawn.image, drawn.title, drawn.controls)


def make_screen(rng: Random, split: str, ease: float = 0.0, most: int | None = None) -> Screen:
    """A window; with probability `ease` of one size. Of two to six controls at most `most`."""
    style, layout = _style(rng, split), rng.choice(LAYOUTS[split])
    size = (6 * FACTOR, 6 * FACTOR) if ease and rng.random() < ease else _screen_size(rng)
    title = rng.choice(LABELS["title"])
    image = Image.new("RGB", size, style.window)
    top = _draw_bar(image, style, title)
    controls = _place(rng, _wanted(rng, split)[:most], style, layout, size, top + 4)
    for control in controls:
        _draw_control(image, style, control)
    return Screen(image=image, title=title, controls=tuple(controls))


CELL = 3 * FACTOR
"""Width in pixels of a cell of the easiest windows, one visual token high."""


def make_cells(rng: Random, split: str, ease: float) -> Screen:
    """Two to five buttons in cells, alike but for their labels: to pointing what aligned letters are to reading.

    Of 6 x 6 visual tokens; with probability `ease` there are but two.
    """
    plain = [face for face in faces(split, mono=False) if face.family in PLAIN_FAMILIES] or faces(split, mono=False)
    (window, bar, button), face = THEMES["train"][0], rng.choice(plain)
    style = Style(face=face, text_px=14, window=window, bar=bar, button=button, rounding=3)
    image, title = Image.new("RGB", (2 * CELL, 6 * FACTOR), window), rng.choice(LABELS["title"])
    _draw_bar(image, style, title)
    labels = rng.sample(LABELS["button"], 2 if rng.random() < ease else rng.randint(2, 5))
    controls = []
    for label, cell in zip(labels, rng.sample(range(2, 12), len(labels)), strict=True):
        x, y = cell % 2 * CELL + 3, cell // 2 * FACTOR + 3
        width, height = _extent(style, "button", label, "")
        box = (x, y, min(x + width, image.width), min(y + height, y + FACTOR - 4))
        controls.append(Control(kind="button", label=label, state="", box_px=box))
        _draw_control(image, style, controls[-1])
    return Screen(image=image, title=title, controls=tuple(controls))


def _style(rng: Random, split: str) -> Style:
    window, bar, button = rng.choice(THEMES[split])
    face = rng.choice(faces(split, mono=False))
    bar, button = jitter(rng, bar, 10), jitter(rng, button, 6)
    rounding, text_px = rng.choice((0, 3, 6)), rng.randint(13, 15)
    return Style(face=face, text_px=text_px, window=window, bar=bar, button=button, rounding=rounding)


def _screen_size(rng: Random) -> tuple[int, int]:
    if rng.random() < 0.15:
        return rng.randint(140, 196), rng.randint(140, 196)
    return rng.randint(5, 7) * FACTOR, rng.randint(5, 7) * FACTOR


def _draw_bar(image: Image.Image, style: Style, title: str) -> int:
    """Title bar with its title and a closing mark; returns its bottom edge."""
    pen, height = ImageDraw.Draw(image), style.text_px + 9
    pen.rectangle((0, 0, image.width - 1, height - 1), fill=style.bar)
    ink = style.ink_on(style.bar)
    write(image, style.face, style.text_px, title, (6, 4), ink)
    right, middle = image.width - 12, height // 2
    pen.line((right, middle - 4, right + 7, middle + 3), fill=ink)
    pen.line((right, middle + 3, right + 7, middle - 4), fill=ink)
    return height


def _wanted(rng: Random, split: str) -> list[tuple[str, str, str]]:
    """Kind, label and state of two to six controls; labels are all different."""
    wanted = [("button", label, "") for label in rng.sample(LABELS["button"], rng.randint(1, 3))]
    wanted += [
        ("checkbox", label, rng.choice(("yes", "no")))
        for label in rng.sample(LABELS["checkbox"], rng.choice((0, 1, 1, 2)))
    ]
    if rng.random() < 0.4 or len(wanted) == 1:
        wanted.append(("field", rng.choice(LABELS["field"]), pick_word(rng, split)))
    rng.shuffle(wanted)
    if rng.random() < 0.25 and len(wanted) < 4:
        wanted = [("tab", label, "") for label in rng.sample(LABELS["tab"], 2)] + wanted
    return wanted


def _extent(style: Style, kind: str, label: str, state: str) -> tuple[int, int]:
    text_width, line = ink_size(style.face, style.text_px, label)
    if kind == "checkbox":
        return text_width + line + 6, line + 2
    if kind == "field":
        return text_width + 6 + max(64, ink_size(style.face, style.text_px, state)[0] + 10), line + 8
    return text_width + (14 if kind == "button" else 10), line + 8


def _place(
    rng: Random, wanted: list[tuple[str, str, str]], style: Style, layout: str, size: tuple[int, int], top: int
) -> list[Control]:
    """Rows of controls from the top down; what no longer fits is left out, the first control always fits."""
    rows = _rows(rng, wanted, style, layout, size[0] - 12)
    heights = [max(_extent(style, *each)[1] for each in row) for row in rows]
    while len(rows) > 1 and top + sum(heights) + 3 * len(rows) > size[1]:
        rows.pop()
        heights.pop()
    gap = min(20, (size[1] - top - sum(heights)) // (len(rows) + 1))
    controls, y = [], top + rng.randint(0, max(0, gap))
    for row, height in zip(rows, heights, strict=True):
        widths = [_extent(style, *each)[0] for each in row]
        slack = size[0] - 12 - sum(widths) - 6 * (len(row) - 1)
        x = 6 + {"right": slack, "centre": slack // 2, "spread": rng.randint(0, max(0, slack))}.get(layout, 0)
        for (kind, label, state), width in zip(row, widths, strict=True):
            box = (x, y, x + width, y + _extent(style, kind, label, state)[1])
            controls.append(Control(kind=kind, label=label, state=state, box_px=box))
            x += width + 6
        y += height + gap
    return controls


def _rows(
    rng: Random, wanted: list[tuple[str, str, str]], style: Style, layout: str, room: int
) -> list[list[tuple[str, str, str]]]:
    """Tabs share a row; "flow" fills rows; other layouts put two controls side by side now and then."""
    share = {"flow": 1.0, "left": 0.0}.get(layout, 0.35)
    rows: list[list[tuple[str, str, str]]] = []
    used = room + 1
    for each in wanted:
        width = _extent(style, *each)[0] + 6
        tabs = bool(rows) and each[0] == "tab" and rows[-1][-1][0] == "tab"
        apart = bool(rows) and each[0] != "tab" and rows[-1][-1][0] == "tab"
        if used + width <= room + 6 and not apart and (tabs or rng.random() < share):
            rows[-1].append(each)
            used += width
        else:
            rows.append([each])
            used = width
    return rows


def _draw_control(image: Image.Image, style: Style, control: Control) -> None:
    pen, (x1, y1, x2, y2) = ImageDraw.Draw(image), control.box_px
    ink = style.ink_on(style.window)
    frame = tuple((a + b) // 2 for a, b in zip(ink, style.window, strict=True))
    if control.kind == "button":
        pen.rounded_rectangle((x1, y1, x2 - 1, y2 - 1), style.rounding, fill=style.button, outline=frame)
        write(image, style.face, style.text_px, control.label, (x1 + 7, y1 + 4), style.ink_on(style.button))
    elif control.kind == "tab":
        pen.line([(x1, y2 - 1), (x1, y1), (x2 - 1, y1), (x2 - 1, y2 - 1)], fill=frame)
        write(image, style.face, style.text_px, control.label, (x1 + 5, y1 + 4), ink)
    elif control.kind == "checkbox":
        _draw_checkbox(pen, control, frame, ink)
        write(image, style.face, style.text_px, control.label, (x1 + (y2 - y1) + 4, y1 + 1), ink)
    else:
        label_box = write(image, style.face, style.text_px, control.label, (x1, y1 + 4), ink)
        pen.rectangle((label_box[2] + 6, y1, x2 - 1, y2 - 1), fill=(255, 255, 255), outline=frame)
        write(image, style.face, style.text_px, control.state, (label_box[2] + 11, y1 + 4), (15, 15, 15))


def _draw_checkbox(pen: ImageDraw.ImageDraw, control: Control, frame: tuple[int, ...], ink: Rgb) -> None:
    x1, y1, _, y2 = control.box_px
    side = y2 - y1 - 1
    pen.rectangle((x1, y1, x1 + side, y2 - 1), outline=frame)
    if control.state == "yes":
        hook = [(x1 + 3, y1 + side // 2), (x1 + side * 2 // 5, y2 - 4), (x1 + side - 3, y1 + 3)]
        pen.line(hook, fill=ink, width=2)


def ask_state(rng: Random, control: Control, ease: float = 0.0) -> tuple[str, str]:
    """Whether a checkbox is checked, or what a field holds."""
    return ask(rng, "checked" if control.kind == "checkbox" else "field", ease, label=control.label), control.state


def ask_point(rng: Random, control: Control, size: tuple[int, int], ease: float = 0.0) -> tuple[str, str, str]:
    """Question, answer and the label used."""
    label = rng.choice(LABELS[f"named_{control.kind}"]).format(label=control.label)
    return ask(rng, "point", ease, label=label), point_answer(control.box_px, size), label


def _question(rng: Random, image: Image.Image, title: str, controls: Sequence[Control]) -> Item:
    roll = rng.random()
    boxes = [control for control in controls if control.kind == "checkbox"]
    fields = [control for control in controls if control.kind == "field"]
    if boxes and roll < 0.3:
        question, answer = ask_state(rng, rng.choice(boxes))
        return image_item("screen", [image], question, answer, text_truth(answer))
    if fields and roll < 0.5:
        question, answer = ask_state(rng, rng.choice(fields))
        return image_item("screen", [image], question, answer, text_truth(answer, read=[answer]))
    if roll > 0.92:
        return image_item("screen", [image], ask(rng, "window_title"), title, text_truth(title))
    target = rng.choice(controls)
    question, answer, label = ask_point(rng, target, image.size)
    return image_item("screen", [image], question, answer, place_truth("point", target.box_px, image.size, label))


TASKS = (Task("screen", without_ease(screen), "grounding", exams=("nano", "exam")),)
