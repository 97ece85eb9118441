"""Windows of controls written as HTML, every control under a key of its own; the browser that draws them is elsewhere.

A `Tile` is a small page that shares one large sheet with many others (`drawn_world.browser`). Its inner HTML marks what
will be asked for with `data-key`; where that comes to lie, only the browser knows. Styles, palettes, layouts and fonts are
disjoint between splits. Not here: pages and windows of the exam's transfer tasks, which have styles of their own.
"""

from dataclasses import dataclass
from html import escape
from math import ceil
from random import Random

from drawn_world.fonts import Face, faces
from drawn_world.palette import Rgb, jitter, luma
from drawn_world.screens.windows import LABELS
from drawn_world.words import pick_word
from qwen2vl.spec.config import FACTOR

BASE_CSS = """
body { margin: 0; background: white }
.tile { position: absolute; overflow: hidden; contain: strict; font-synthesis: none; will-change: transform }
.tile, .tile * { box-sizing: border-box }
:where(.tile) * { margin: 0 }
:where(.tile) :is(h1, h2, p, th, td, legend, button, input, select) { font: inherit; letter-spacing: inherit; color: inherit }
"""
"""What every tile needs. Letters never get a weight that their font file does not have. A tile that is said to change is
painted as a layer of its own, from its own origin: so its pixels are the same wherever it lies on the sheet."""

WINDOW_CSS = """
.window { background: var(--window); color: var(--ink); line-height: 1.25; display: flex; flex-direction: column }
:where(.window) {
  header { background: var(--bar); color: var(--bar-ink); padding: 3px 6px; display: flex }
  header i { width: 9px; height: 9px; margin: 4px 0 0 auto; border: 2px solid }
  main { flex: 1; padding: 6px; display: flex; gap: 8px; flex-direction: column }
  nav { display: flex; gap: 4px }
  nav span { padding: 2px 5px; overflow: hidden }
  button { background: var(--button); color: var(--button-ink); border: 0; padding: 3px 8px; overflow: hidden }
  label { display: flex; align-items: center; gap: 5px; padding: 2px; overflow: hidden }
  input { border: 0; background: transparent; width: 84px; padding: 2px 5px; outline: none }
  b { width: 14px; height: 14px; flex: none; display: block; position: relative }
  b.yes::after { content: ""; position: absolute; left: 4px; top: 0; width: 5px; height: 9px;
    border: solid; border-width: 0 2px 2px 0; transform: rotate(45deg) }
}
.window.left main { align-items: flex-start }
.window.right main { align-items: flex-end }
.window.centre main { align-items: center }
.window.spread main { align-items: stretch; justify-content: space-evenly }
.window.spread main > * { align-self: flex-start }
.window.spread main > :nth-child(even) { align-self: flex-end }
.window.flow main { flex-flow: row wrap; align-content: flex-start; align-items: center }
.window.flow nav { width: 100% }
"""
LAYOUTS = {"train": ("left", "flow", "spread"), "val": ("right",), "test": ("centre",)}
STYLES: dict[str, dict[str, str]] = {
    "train": {
        "flat": "button { border-radius: 3px } input, b { background: white; color: black; border: 1px solid gray }"
        "nav span { border-bottom: 2px solid var(--bar) }",
        "raised": "button { border: 2px outset silver } input, b { border: 2px inset gray; background: white; color: black }"
        "b.yes::after { left: 3px; top: -1px } nav span { border: 2px outset silver; border-bottom: 0 }",
        "line": "button { background: none; color: var(--ink); border: 1px solid } input { border-bottom: 1px solid }"
        "b { border: 1px solid } b.yes::after { inset: 2px; width: auto; height: auto; transform: none;"
        "background: var(--bar); border: 0 } nav { border-bottom: 1px solid }",
        "pill": "button { border-radius: 14px; padding: 3px 11px } nav span { border-radius: 9px; background: var(--button);"
        "color: var(--button-ink) } input { border-radius: 9px; background: white; color: black; border: 1px solid silver }"
        "b { width: 26px; border-radius: 7px; background: gray } b.yes { background: rgb(40 160 70) }"
        "b::before { content: ''; position: absolute; left: 2px; top: 2px; width: 10px; height: 10px; border-radius: 5px;"
        "background: white } b.yes::before { left: 14px } b.yes::after { display: none }",
        "sheen": "button { background-image: linear-gradient(#fff8, #0002); border: 1px solid #0006; border-radius: 5px }"
        "header { justify-content: center } header i { display: none } b { border-radius: 7px; border: 1px solid }"
        "b.yes::after { inset: 3px; width: auto; height: auto; transform: none; border: 0; border-radius: 4px;"
        "background: currentColor } input { border: 1px solid #0006; background: #fffe; color: black; border-radius: 3px }",
        "frame": "main { border: 2px solid var(--bar); border-top: 0 } button { border: 2px solid var(--bar) }"
        "input { border: 2px solid var(--bar); background: white; color: black } b { border: 2px solid var(--bar) }"
        "b.yes { background: var(--bar) } b.yes::after { display: none } nav span { border: 1px dashed }",
    },
    "val": {
        "stripe": "header { background-image: repeating-linear-gradient(90deg, #0000 0 4px, #fff2 4px 8px) }"
        "button { border-left: 4px solid var(--bar) } input { border: 1px dotted; background: #fff8; color: black }"
        "b { border: 1px dotted; border-radius: 4px } nav span { border-left: 2px solid }",
    },
    "test": {
        "slab": "header { padding: 5px 8px } button { border-bottom: 3px solid #0006 } b { outline: none; border: 2px solid }"
        "input { border: 0; background: #8884 } nav span { border-top: 3px solid var(--bar) }",
    },
}
MAX_WIDGETS = 5
"""That a window of 224 pixels has room for, one below the other."""
PALETTES: dict[str, tuple[tuple[Rgb, Rgb, Rgb], ...]] = {  # window, title bar, button
    "train": (
        ((248, 248, 250), (30, 100, 190), (222, 230, 244)),
        ((255, 255, 255), (70, 70, 76), (60, 120, 210)),
        ((232, 230, 222), (20, 60, 120), (228, 226, 218)),
        ((34, 36, 42), (18, 20, 24), (70, 110, 190)),
        ((246, 240, 250), (110, 50, 150), (150, 80, 190)),
        ((232, 244, 236), (20, 110, 80), (250, 252, 250)),
        ((252, 240, 228), (180, 80, 20), (240, 200, 160)),
    ),
    "val": (((230, 240, 248), (10, 130, 140), (255, 255, 255)), ((56, 46, 50), (120, 40, 60), (96, 78, 84))),
    "test": (((248, 246, 226), (96, 104, 24), (226, 222, 186)), ((30, 48, 48), (10, 90, 90), (58, 90, 90))),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A small page on a sheet of many."""

    html: str
    """Inside of the element that is the page; what has a `data-key` gets a box."""
    size: tuple[int, int]
    """Width and height in pixels."""
    classes: str
    css: str = ""
    """Declarations of the tile itself, like variables."""
    style: str = ""
    """Rules for what is inside it; tiles with the same rules may share a class."""
    faces: tuple[Face, ...] = ()
    """Font files it names, each by `font_name`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Widget:
    """One control as it was written; its key is its place in the list of widgets."""

    kind: str
    """button, checkbox, field or tab."""
    label: str
    state: str
    """Content of a field, "yes" or "no" of a checkbox, else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window written as HTML, and what stands in it."""

    tile: Tile
    title: str
    widgets: tuple[Widget, ...]


def font_name(face: Face) -> str:
    """The name under which a sheet knows a font file."""
    return face.file.rsplit(".", 1)[0]


def make_window(rng: Random, split: str) -> Window:
    """A title bar and two to five controls in a style of the split; labels are all different."""
    style = rng.choice(sorted(STYLES[split]))
    face, widgets, title = rng.choice(faces(split, mono=False)), pick_widgets(rng, split), rng.choice(LABELS["title"])
    size = rng.randint(6, 7) * FACTOR, height_for(len(widgets), rng.randint(0, 1))
    tile = Tile(
        html=f"<header><span>{title}</span><i></i></header><main>{_controls(widgets)}</main>",
        size=size,
        classes=f"window {rng.choice(LAYOUTS[split])} {style}",
        css=f'font: {rng.randint(13, 15)}px "{font_name(face)}"; {_colours(rng, split)}',
        style=STYLES[split][style],
        faces=(face,),
    )
    return Window(tile=tile, title=title, widgets=tuple(widgets))


def height_for(count: int, spare: int = 0) -> int:
    """Of a window with so many controls one below the other, in pixels; spare: visual tokens more, where there may be."""
    return min(8, max(5, ceil((44 + 36 * count) / FACTOR) + spare)) * FACTOR


def pick_widgets(rng: Random, split: str) -> list[Widget]:
    """One to three buttons, up to two checkboxes and one field, now and then two tabs in front of them; or a form."""
    if rng.random() < 0.2:
        fields = [
            Widget(kind="field", label=label, state=pick_word(rng, split))
            for label in rng.sample(LABELS["field"], rng.randint(2, 4))
        ]
        return [*fields, Widget(kind="button", label=rng.choice(LABELS["button"]), state="")]
    widgets = [
        Widget(kind="button", label=label, state="") for label in rng.sample(LABELS["button"], rng.randint(1, 3))
    ]
    for label in rng.sample(LABELS["checkbox"], rng.choice((0, 1, 1, 2))):
        widgets.append(Widget(kind="checkbox", label=label, state=rng.choice(("yes", "no"))))
    if rng.random() < 0.4 or len(widgets) == 1:
        widgets.append(Widget(kind="field", label=rng.choice(LABELS["field"]), state=pick_word(rng, split)))
    rng.shuffle(widgets)
    widgets = widgets[:MAX_WIDGETS]
    if rng.random() < 0.25 and len(widgets) < 4:
        widgets = [Widget(kind="tab", label=label, state="") for label in rng.sample(LABELS["tab"], 2)] + widgets
    return widgets


def _controls(widgets: list[Widget]) -> str:
    tabs = [_control(key, widget) for key, widget in enumerate(widgets) if widget.kind == "tab"]
    others = [_control(key, widget) for key, widget in enumerate(widgets) if widget.kind != "tab"]
    return (f"<nav>{''.join(tabs)}</nav>" if tabs else "") + "".join(others)


def _control(key: int, widget: Widget) -> str:
    label, state = escape(widget.label), escape(widget.state)
    if widget.kind == "button":
        return f'<button data-key="{key}">{label}</button>'
    if widget.kind == "tab":
        return f'<span data-key="{key}">{label}</span>'
    if widget.kind == "checkbox":
        return f'<label data-key="{key}"><b class="{state}"></b>{label}</label>'
    return f'<label class="field" data-key="{key}">{label}<input value="{state}"></label>'


def _colours(rng: Random, split: str) -> str:
    window, bar, button = (jitter(rng, colour, 6) for colour in rng.choice(PALETTES[split]))
    named = {"window": window, "ink": _ink_on(window), "bar": bar, "bar-ink": _ink_on(bar)}
    named |= {"button": button, "button-ink": _ink_on(button)}
    return "; ".join(f"--{name}: rgb{colour}" for name, colour in named.items())


def _ink_on(ground: Rgb) -> Rgb:
    """Black on light, white on dark."""
    return (15, 15, 15) if luma(ground) > 135 else (245, 245, 245)
