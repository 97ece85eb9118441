"""Training's windows: which controls they have and where, by a procedure. Reading order is the order of the controls.

Rows start at one left edge, at a common or at random distances from it, in columns, or they fill the width. Rows that are all
in the middle or all at the right belong to the other splits. Not here: how controls are drawn (toolkits).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from PIL import Image

from drawn_world.item import Size
from drawn_world.screens.toolkits import SELECTED, Toolkit
from drawn_world.screens.windows import Control, Screen, Widget, make_screen
from drawn_world.wording import LABELS
from drawn_world.words import pick_word
from qwen2vl.spec.config import FACTOR

LAYOUTS = ("left", "inset", "scatter", "columns", "fill")
MAX_WINDOW_SIDE = 16 * FACTOR
"""Largest width and height of an image, in pixels."""
IN_BARS = ("tab", "menu")


def draw_window(rng: Random, split: str, ease: float = 0.0, most: int | None = None) -> Screen:
    """Draw a window of the split: in training one by the procedure, with probability `ease` and a few times in ten a plain one.

    most: largest number of controls of a plain window.
    """
    if split != "train" or rng.random() < max(ease, 0.15):
        return make_screen(rng, split, ease, most)
    return plan_window(rng, split).paint()


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPlan:
    """All that decides how a window looks, so that it can be drawn again with other states."""

    toolkit: Toolkit
    size: Size
    title: str
    controls: tuple[Control, ...]

    def paint(self) -> Screen:
        """The window."""
        image = Image.new("RGB", self.size, self.toolkit.ground)
        close = self.toolkit.draw_bar(image, self.title)
        for control in self.controls:
            self.toolkit.draw(image, control)
        title = self.title if self.toolkit.bar != "none" else ""
        return Screen(image=image, title=title, controls=self.controls, close_px=close)

    def after(self, control: Control, state: str) -> "WindowPlan":
        """The window after a control got another state; of several, only one stays selected."""

        def changed(each: Control) -> Control:
            if each.label == control.label:
                return replace(each, state=state)
            return replace(each, state="") if state == SELECTED and each.kind == control.kind else each

        return replace(self, controls=tuple(map(changed, self.controls)))


def plan_window(rng: Random, split: str, ease: float = 0.0) -> WindowPlan:
    """Sample a window of two to fourteen controls. split: of its font and of the words in fields."""
    while True:
        toolkit, size = Toolkit.sample(rng, split), _size(rng, ease)
        controls = place_widgets(rng, pick_widgets(rng, split, size), toolkit, size, toolkit.bar_height)
        if len(controls) >= 2:
            title = rng.choice(LABELS["window_title"])
            return WindowPlan(toolkit=toolkit, size=size, title=title, controls=tuple(controls))


def _size(rng: Random, ease: float) -> Size:
    """With probability `ease` the easy size; else small, wide or high (as on phones), half of them whole visual tokens."""
    if rng.random() < ease:
        return 6 * FACTOR, 6 * FACTOR
    form = rng.random()
    if form < 0.5:
        width, height = rng.randint(140, 224), rng.randint(112, 224)
    elif form < 0.75:
        width, height = rng.randint(200, 420), rng.randint(168, 336)
    else:
        width, height = rng.randint(140, 224), rng.randint(224, MAX_WINDOW_SIDE)
    if rng.random() < 0.5:
        width, height = (round(side / FACTOR) * FACTOR for side in (width, height))
    return width, height


def pick_widgets(rng: Random, split: str, size: tuple[int, int]) -> list[Widget]:
    """Sample controls with different labels: bars of tabs or of a menu first, then groups of others in any order."""
    many = size[0] * size[1] > 60_000
    groups: list[list[Widget]] = []
    for label in rng.sample(LABELS["button"], rng.randint(1, 5 if many else 3)):
        groups.append([Widget(kind="button", label=label)])
    for label in rng.sample(LABELS["checkbox"], rng.choice((0, 1, 2, 3) if many else (0, 1, 1, 2))):
        groups.append([Widget(kind="checkbox", label=label, state=rng.choice(("yes", "no")))])
    for label in rng.sample(LABELS["field"], rng.choice((0, 1, 2, 3) if many else (0, 0, 1, 1))):
        groups.append([Widget(kind="field", label=label, state=pick_word(rng, split) if rng.random() < 0.9 else "")])
    if rng.random() < 0.3:
        groups.append(_choice(rng, "option", rng.randint(2, 4 if many else 3)))
    if rng.random() < 0.25:
        groups.append(_choice(rng, "row", rng.randint(2, 5 if many else 3)))
    rng.shuffle(groups)
    bars: list[Widget] = []
    if rng.random() < 0.2:
        bars += [Widget(kind="menu", label=label) for label in rng.sample(LABELS["menu"], rng.randint(2, 4))]
    if rng.random() < 0.3:
        bars += _choice(rng, "tab", rng.randint(2, 4))
    return _with_own_labels([*bars, *(widget for group in groups for widget in group)])


def _choice(rng: Random, kind: str, count: int) -> list[Widget]:
    """Controls of which one is chosen."""
    chosen = rng.randrange(count)
    labels = rng.sample(LABELS[kind], count)
    return [Widget(kind=kind, label=label, state=SELECTED if at == chosen else "") for at, label in enumerate(labels)]


def _with_own_labels(widgets: Sequence[Widget]) -> list[Widget]:
    """The widgets without those whose label an earlier one has."""
    kept: dict[str, Widget] = {}
    for widget in widgets:
        kept.setdefault(widget.label, widget)
    return list(kept.values())


def place_widgets(
    rng: Random, widgets: Sequence[Widget], toolkit: Toolkit, size: tuple[int, int], top: int
) -> list[Control]:
    """Controls from the top down, without those for which there is no room."""
    layout, margin = rng.choice(LAYOUTS), rng.randint(4, max(5, size[0] // 14))
    gap, room = rng.randint(3, 12 + size[1] // 30), size[0] - 2 * margin
    columns = rng.randint(2, 3) if layout == "columns" else 1
    inset = rng.randint(0, room // 3) if layout == "inset" else 0
    y = top + rng.randint(2, 14)
    controls: list[Control] = []
    for row in _rows(rng, widgets, toolkit, layout, room - inset, columns):
        high = max(toolkit.extent(widget)[1] for widget in row)
        in_bar = row[0].kind in IN_BARS
        if y + high > size[1] - 3:
            break
        taken = sum(toolkit.extent(widget)[0] for widget in row) + 6 * (len(row) - 1)
        spare = max(0, room - inset - taken)
        x = margin + inset + (rng.randint(0, spare) if layout == "scatter" and not in_bar else 0)
        for place, widget in enumerate(row):
            width, height = toolkit.extent(widget)
            if layout == "columns" and not in_bar:
                x = margin + place * (room // columns)
            if widget.kind == "row" or (layout == "fill" and not in_bar and len(row) == 1):
                width = size[0] - margin - x
            drop = (high - height) // 2
            controls.append(widget.at((x, y + drop, x + width, y + drop + height)))
            x += width + (0 if in_bar else 6)
        y += high + (0 if row[-1].kind == "row" else gap)
    spare = size[1] - 3 - max((control.box_px[3] for control in controls), default=size[1])
    shift = (
        rng.randint(0, max(0, spare))
        if rng.random() < 0.4 and not any(widget.kind in IN_BARS for widget in widgets)
        else 0
    )
    return [control.moved(shift) for control in controls]


def _rows(
    rng: Random, widgets: Sequence[Widget], toolkit: Toolkit, layout: str, room: int, columns: int
) -> list[list[Widget]]:
    """Widgets that share a row. Tabs and entries of a menu do, rows of a list never; others where there is room."""
    share = 0.9 if layout == "columns" else 0.0 if layout == "fill" else rng.choice((0.0, 0.4, 0.9))
    rows: list[list[Widget]] = []
    used, cell = 0, room // columns - 6 if layout == "columns" else room
    for widget in widgets:
        width = toolkit.extent(widget)[0]
        bar = widget.kind in IN_BARS
        if width > (room if bar else cell):
            continue
        before = rows[-1][-1].kind if rows else ""
        alike = before == widget.kind if bar else before not in (*IN_BARS, "row", "") and widget.kind != "row"
        fits = used + width + 6 <= room and (bar or layout != "columns" or len(rows[-1] if rows else ()) < columns)
        if alike and fits and (bar or rng.random() < share):
            rows[-1].append(widget)
            used += width + 6
        elif bar and alike:
            continue
        else:
            rows.append([widget])
            used = width
    return rows
