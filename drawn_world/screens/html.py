"""Windows of controls as HTML, drawn by a browser.

Every control has a key, its place in the list of widgets, for which the browser gives its box. Styles, palettes, layouts
and fonts are disjoint between splits. Not here: the pages and windows of the exam's transfer tasks, which have other styles.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil
from random import Random

from drawn_world.browser import Shot, Tile, shoot
from drawn_world.fonts import faces
from drawn_world.item import MAX_TURNS, Item, dialogue_item
from drawn_world.palette import Rgb, jitter, luma
from drawn_world.screens.windows import Screen, Widget, ask_point, ask_state, pick_widgets
from drawn_world.typesetting import with_scene
from drawn_world.wording import LABELS, ask
from drawn_world.words import pick_word
from qwen2vl.spec.config import FACTOR

HTML_SCREEN = "screen_html"
"""Name of the task. No recipe of nano uses it, because the exam (transfer_screen) is about windows that training never shows."""
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
class HtmlWindow:
    """A window as HTML, and its parts."""

    tile: Tile
    title: str
    widgets: tuple[Widget, ...]

    def item(self, rng: Random, shot: Shot) -> Item:
        """Up to six questions about the window; controls that the browser cut off are left out."""
        boxes = [(widget, shot.boxes.get(str(key))) for key, widget in enumerate(self.widgets)]
        controls = tuple(widget.at(box) for widget, box in boxes if box)
        turns = [ask_point(rng, control, shot.image.size)[:2] for control in controls]
        turns += [ask_state(rng, control) for control in controls if control.kind in ("checkbox", "field")]
        turns.append((ask(rng, "window_title"), self.title))
        rng.shuffle(turns)
        screen = Screen(image=shot.image, title=self.title, controls=controls)
        return with_scene(dialogue_item(HTML_SCREEN, screen.image, turns[:MAX_TURNS]), screen.described())


def draw_html_screens(rng: Random, split: str, count: int) -> list[Item]:
    """Draw `count` windows, each with up to six questions.

    An item depends only on `rng` and its place in the list, not on `count`. Raises Qwen2VLError when no browser is
    installed or it fails.
    """
    sources = [Random(rng.getrandbits(64)) for _ in range(count)]
    made = [make_window(source, split) for source in sources]
    shots = shoot([window.tile for window in made], WINDOW_CSS)
    return [each.item(source, shot) for source, each, shot in zip(sources, made, shots, strict=True)]


def make_window(rng: Random, split: str) -> HtmlWindow:
    """Sample a title and two to five controls with different labels, in a style of the split."""
    style = rng.choice(sorted(STYLES[split]))
    face, widgets = rng.choice(faces(split, mono=False)), pick_html_widgets(rng, split)
    title = rng.choice(LABELS["window_title"])
    size = rng.randint(6, 7) * FACTOR, height_for(len(widgets), rng.randint(0, 1))
    tile = Tile(
        html=f"<header><span>{title}</span><i></i></header><main>{controls_html(widgets, _control_html)}</main>",
        size=size,
        classes=f"window {rng.choice(LAYOUTS[split])} {style}",
        css=f'font: {rng.randint(13, 15)}px "{face.css_name}"; {_colours(rng, split)}',
        style=STYLES[split][style],
        faces=(face,),
    )
    return HtmlWindow(tile=tile, title=title, widgets=tuple(widgets))


def height_for(count: int, spare: int = 0) -> int:
    """Height in pixels of a window with controls one below the other. spare: visual tokens to add, within 5 to 8 in all."""
    return min(8, max(5, ceil((44 + 36 * count) / FACTOR) + spare)) * FACTOR


def pick_html_widgets(rng: Random, split: str) -> list[Widget]:
    """Sample the widgets of a window, at most five below the tabs; one window in five is a form of fields and a button."""
    if rng.random() >= 0.2:
        return pick_widgets(rng, split, most=5)
    fields = [
        Widget(kind="field", label=label, state=pick_word(rng, split))
        for label in rng.sample(LABELS["field"], rng.randint(2, 4))
    ]
    return [*fields, Widget(kind="button", label=rng.choice(LABELS["button"]))]


def controls_html(widgets: Sequence[Widget], control_html: Callable[[str, Widget], str]) -> str:
    """HTML of all controls, the tabs in a bar before the others. control_html: HTML of one control from its key."""
    written = [control_html(str(key), widget) for key, widget in enumerate(widgets)]
    tabs = sum(widget.kind == "tab" for widget in widgets)  # tabs come first
    return (f"<nav>{''.join(written[:tabs])}</nav>" if tabs else "") + "".join(written[tabs:])


def _control_html(key: str, widget: Widget) -> str:
    label, state = escape(widget.label), escape(widget.state)
    if widget.kind == "button":
        return f'<button data-key="{key}">{label}</button>'
    if widget.kind == "tab":
        return f'<span data-key="{key}">{label}</span>'
    if widget.kind == "checkbox":
        return f'<label data-key="{key}"><b class="{state}"></b>{label}</label>'
    return f'<label class="field" data-key="{key}">{label}<input value="{state}"></label>'


def _colours(rng: Random, split: str) -> str:
    """CSS variables for the colours of a window and for ink, black or white, that is legible on each."""
    variables: dict[str, Rgb] = {}
    for name, colour in zip(("window", "bar", "button"), rng.choice(PALETTES[split]), strict=True):
        ground = jitter(rng, colour, 6)
        ink = (15, 15, 15) if luma(ground) > 135 else (245, 245, 245)
        variables |= {name: ground, "ink" if name == "window" else f"{name}-ink": ink}
    return "; ".join(f"--{name}: rgb{colour}" for name, colour in variables.items())
