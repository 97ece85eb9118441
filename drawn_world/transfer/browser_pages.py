"""Pages, windows and lines that a browser draws: transfer tasks, which have their own styles and are only in the exam.

    transfer_page     a receipt or a form drawn by Chromium: give a price, the date, the total
    transfer_screen   a window of the browser's own controls: point at one
    transfer_line     a line or short paragraph, printed to a PDF by Chromium and drawn by Poppler: read it

Fonts, words and wordings are those of the test split, and wordings are those of the trained tasks of the same kind; labels
are those of all splits. Items are drawn in batches, because a browser starts slowly, but an item depends only on its own
random numbers: `draw_pages([rng])` gives the same item. Photographs are in words_on_photos, charts in plotted_charts.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from drawn_world.browser import INSTALL_LINE, Shot, Tile, print_pdf, shoot
from drawn_world.documents import forms
from drawn_world.documents.lookups import DrawnDocument, Lookup, money, pick_cents, pick_goods
from drawn_world.fonts import faces
from drawn_world.item import Item, image_item, place_truth, point_answer, text_truth
from drawn_world.screens.html import controls_html, height_for, pick_html_widgets
from drawn_world.screens.windows import Widget
from drawn_world.typesetting import MAX_SIDE, whole_tokens
from drawn_world.wording import LABELS, ask
from drawn_world.words import pick_word
from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.spec.config import FACTOR

SPLIT = "test"

PAGE_CSS = """
.page { background: var(--paper); color: var(--ink); line-height: 1.3; padding: 8px; white-space: nowrap;
  font-variant-numeric: lining-nums }
.page h1 { font-size: 1.35em }
"""
PAGE_STYLES: dict[str, tuple[int, str]] = {
    "till": (20, "h1 { text-align: center; padding-bottom: 4px; border-bottom: 1px dashed }"
             "li { display: flex; justify-content: space-between } li:last-child { border-top: 1px dashed }"),
    "ledger": (27, "h1 { padding-bottom: 3px } ul { border: 1px solid #0005 } li { display: flex; padding: 2px 5px }"
               "li:nth-child(odd) { background: #0001 } li + li { border-top: 1px solid #0003 } s { flex: 1 }"),
    "leader": (20, "h1 { text-align: right } li { display: flex; gap: 3px }"
               "s { flex: 1; border-bottom: 1px dotted; margin-bottom: 6px }"),
    "card": (41, "h1 { border-left: 4px solid #27c; padding-left: 6px } li { display: block; padding-top: 2px }"
             "li span:first-child { display: block; color: #666 } li span:last-child { font-size: 1.15em }"),
    "boxed": (32, "h1 { text-align: center } li { display: grid; grid-template-columns: 62px 1fr; align-items: center;"
              "padding-top: 4px } s { display: none } li span:last-child { border: 1px solid #999; border-radius: 3px;"
              "background: #fff; padding: 2px 6px }"),
}  # fmt: skip
"""Style to the height of a row at a letter size of 15 pixels, and rules."""
PAPERS = (("#fff", "#111"), ("#fdfbf3", "#222"), ("#eef2f6", "#123"), ("#fff", "#234a86"))

SCREEN_CSS = """
.site { background: var(--paper); color: var(--ink); color-scheme: var(--scheme); line-height: 1.3; padding: 8px }
.site h1 { padding-bottom: 5px }
.site label { display: inline-flex; align-items: center; gap: 3px; padding: 1px }
.site label input:not([type]) { width: 80px }
.site button { padding: 2px 9px }
.site nav { display: flex; width: 100% }
.site nav a { padding: 1px 6px; border: 1px solid #8888; border-bottom-width: 3px }
"""
SCREEN_STYLES = {
    "dialog": "h1 { text-align: center } fieldset { display: flex; flex-flow: row wrap; align-items: center; gap: 7px 9px;"
    "padding: 8px 6px; border: 1px solid #8888; border-radius: 4px }",
    "sheet": "h1 { border-bottom: 1px solid #8888 } fieldset { border: 0; padding: 7px 0 0; display: grid; gap: 7px;"
    "justify-items: start; grid-template-columns: auto } fieldset > button:nth-child(even) { justify-self: end }",
    "site": "h1 { font-size: 1.25em; color: light-dark(#27408b, #9cf) } fieldset { border: 0; padding: 4px 0 0 12px; display: flex;"
    "flex-direction: column; align-items: flex-start; gap: 8px } button { border: 0; border-radius: 4px;"
    "background: #27408b; color: #fff; padding: 4px 12px } input { accent-color: #27408b }",
}
SCHEMES = (
    ("#fff", "#111", "light"),
    ("#f2f2f4", "#111", "light"),
    ("#fbf7e8", "#321", "light"),
    ("#1d1f23", "#eee", "dark"),
)

LINE_CSS = """
.line { background: var(--paper); color: var(--ink); line-height: 1.25 }
.line div { position: absolute; width: max-content; white-space: pre }
"""
LINE_STYLES = {
    "block": "p:not(:last-child) { text-align-last: justify; white-space: normal }",
    "verse": "p { text-align: center }",
    "note": "p { text-align: left }",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferTile:
    """What the browser draws for one item."""

    tile: Tile
    style: str
    """Name of its rules."""

    def described(self) -> dict[str, Any]:
        """Description for JSON, without the texts."""
        return {"size": list(self.tile.size), "style": self.style, "family": self.tile.faces[0].family}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferPage(TransferTile):
    """A receipt or a form. The key of a line's value is the place of the line."""

    heading: str
    lines: tuple[tuple[str, str], ...]
    receipt: bool

    @classmethod
    def sample(cls, rng: Random) -> "TransferPage":
        """A receipt (six pages in ten) of two to four goods and their total, or a form of three or four fields."""
        receipt = rng.random() < 0.6
        style = rng.choice(sorted(set(PAGE_STYLES) - ({"card", "boxed"} if receipt else {"till"})))
        lines: tuple[tuple[str, str], ...]
        if receipt:
            goods = [(name, pick_cents(rng)) for name in pick_goods(rng, SPLIT, rng.randint(2, 4))]
            total = sum(cents for _, cents in goods)
            lines = (*((name, money(cents)) for name, cents in goods), ("Total", money(total)))
        else:
            keys = rng.sample([key for key in forms.KEYS if key != "Colour"], rng.randint(3, 4))
            lines = tuple((key, forms.pick_value(rng, SPLIT, key)) for key in keys)
        face, text_px = rng.choice(faces(SPLIT, mono=True if style == "till" else None)), rng.randint(13, 16)
        row, rules = PAGE_STYLES[style]
        height = 16 + 30 + ceil(len(lines) * row * text_px / 15)
        heading, (paper, ink) = pick_word(rng, SPLIT), rng.choice(PAPERS)
        rows = (
            f'<li><span>{escape(key)}</span><s></s><span data-key="{number}">{escape(value)}</span></li>'
            for number, (key, value) in enumerate(lines)
        )
        tile = Tile(
            html=f'<h1><span data-key="heading">{heading}</span></h1><ul>{"".join(rows)}</ul>',
            size=(rng.randint(6 if style == "boxed" else 5, 7) * FACTOR, min(MAX_SIDE, whole_tokens(height))),
            classes="page",
            css=f'font: {text_px}px "{face.css_name}"; --paper: {paper}; --ink: {ink}',
            style="ul { list-style: none; padding: 0; margin: 3px 0 0 } s { text-decoration: none }" + rules,
            faces=(face,),
        )
        return cls(tile=tile, style=style, heading=heading, lines=lines, receipt=receipt)

    def item(self, rng: Random, shot: Shot) -> Item:
        """Give the value of a line or, for one receipt in ten, the shop, which is its heading."""
        if self.receipt and rng.random() < 0.1:
            key, named, value = "heading", "heading", self.heading
            question = ask(rng, "receipt_shop", 0.0, SPLIT)
        else:
            number = rng.randrange(len(self.lines))
            key, (named, value) = str(number), self.lines[number]
            if self.receipt:
                question_name = "receipt_total" if named == "Total" else "receipt_price"
                question = ask(rng, question_name, 0.0, SPLIT, name=named)
            else:
                question = ask(rng, "form", 0.0, SPLIT, key=rng.choice((named, named.lower())))
        scene = self.described() | {"heading": self.heading, "lines": [list(line) for line in self.lines]}
        scene |= {"receipt": self.receipt, "box_px": list(shot.boxes[key])}
        lookup = Lookup(question=question, answer=value, subject={"key": named})
        return DrawnDocument(image=shot.image, scene=scene).item("transfer_page", lookup)


def draw_pages(sources: Sequence[Random]) -> list[Item]:
    """Draw one receipt or form from every source of random numbers, with a question for one value.

    Raises Qwen2VLError when no browser is installed.
    """
    pages = [TransferPage.sample(source) for source in sources]
    shots = shoot([page.tile for page in pages], PAGE_CSS)
    return [page.item(source, shot) for source, page, shot in zip(sources, pages, shots, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferScreen(TransferTile):
    """A window of the browser's own controls. The key of a control is its place."""

    widgets: tuple[Widget, ...]

    @classmethod
    def sample(cls, rng: Random) -> "TransferScreen":
        """A window of two to five controls below the tabs."""
        widgets, style = pick_html_widgets(rng, SPLIT), rng.choice(sorted(SCREEN_STYLES))
        face, (paper, ink, scheme) = rng.choice(faces(SPLIT, mono=False)), rng.choice(SCHEMES)
        controls = controls_html(widgets, _native_html)
        tile = Tile(
            html=f"<h1>{rng.choice(LABELS['window_title'])}</h1><fieldset>{controls}</fieldset>",
            size=(rng.randint(6, 7) * FACTOR, height_for(len(widgets))),
            classes="site",
            css=f'font: {rng.randint(13, 15)}px "{face.css_name}"; --paper: {paper}; --ink: {ink}; --scheme: {scheme}',
            style=SCREEN_STYLES[style],
            faces=(face,),
        )
        return cls(tile=tile, style=style, widgets=tuple(widgets))

    def item(self, rng: Random, shot: Shot) -> Item:
        """Point at one of the controls that the browser shows whole."""
        boxes = {number: shot.boxes[str(number)] for number in range(len(self.widgets)) if str(number) in shot.boxes}
        number = rng.choice(sorted(boxes))
        target, size = self.widgets[number], shot.image.size
        label = rng.choice(LABELS[f"named_{target.kind}"]).format(label=target.label)
        shown = [(self.widgets[each], box) for each, box in boxes.items()]
        controls = [
            {"kind": widget.kind, "label": widget.label, "state": widget.state, "box_px": list(box)}
            for widget, box in shown
        ]
        truth = place_truth("point", boxes[number], size, label) | {"scene": self.described() | {"controls": controls}}
        question = ask(rng, "point", 0.0, SPLIT, label=label)
        return image_item("transfer_screen", [shot.image], question, point_answer(boxes[number], size), truth)


def draw_screens(sources: Sequence[Random]) -> list[Item]:
    """Draw one window from every source of random numbers, with a question for a point on one control.

    Raises Qwen2VLError when no browser is installed.
    """
    screens = [TransferScreen.sample(source) for source in sources]
    shots = shoot([screen.tile for screen in screens], SCREEN_CSS)
    return [screen.item(source, shot) for source, screen, shot in zip(sources, screens, shots, strict=True)]


def _native_html(key: str, widget: Widget) -> str:
    """The browser's own control; a tab is a link, as on web pages."""
    label = escape(widget.label)
    if widget.kind == "button":
        return f'<button data-key="{key}">{label}</button>'
    if widget.kind == "tab":
        return f'<a href="#" data-key="{key}">{label}</a>'
    if widget.kind == "checkbox":
        checked = " checked" if widget.state == "yes" else ""
        return f'<label data-key="{key}"><input type="checkbox"{checked}>{label}</label>'
    return f'<label data-key="{key}">{label} <input value="{escape(widget.state)}"></label>'


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLines(TransferTile):
    """A line or a short paragraph."""

    lines: tuple[str, ...]

    @classmethod
    def sample(cls, rng: Random) -> "TransferLines":
        """One line, or two to four, of up to four words each."""
        face, text_px = rng.choice(faces(SPLIT)), rng.randint(14, 20)
        font, lines = face.at(text_px), []
        for _ in range(1 if rng.random() < 0.5 else rng.randint(2, 4)):
            words = [pick_word(rng, SPLIT) for _ in range(rng.choice((2, 2, 3, 3, 4)))]
            while font.getlength(" ".join(words)) > MAX_SIDE - 14:
                words.pop()
            lines.append(" ".join(words))
        lengths = [font.getlength(line) for line in lines]
        wide, high = ceil(max(lengths)), ceil(len(lines) * text_px * 1.25)
        gaping = min(lengths) < 0.65 * wide  # justified text that is stretched so much does not look like print
        style, (paper, ink) = (
            rng.choice(sorted(set(LINE_STYLES) - ({"block"} if gaping else set()))),
            rng.choice(PAPERS),
        )
        width, height = (min(MAX_SIDE, whole_tokens(side + 10)) for side in (wide, high))
        x, y = rng.randint(4, max(4, width - wide - 6)), rng.randint(3, max(3, height - high - 3))
        tile = Tile(
            html=f'<div style="left: {x}px; top: {y}px">{"".join(f"<p>{line}</p>" for line in lines)}</div>',
            size=(width, height),
            classes="line",
            css=f'font: {text_px}px "{face.css_name}"; --paper: {paper}; --ink: {ink}',
            style=LINE_STYLES[style],
            faces=(face,),
        )
        return cls(tile=tile, style=style, lines=tuple(lines))

    def item(self, rng: Random, image: Image.Image) -> Item:
        """Read all lines."""
        answer = "\n".join(self.lines)
        scene = self.described() | {"lines": list(self.lines)}
        truth = text_truth(answer, " ".join(self.lines), read=answer.split(), metric="anls", scene=scene)
        question = ask(rng, "read_line" if len(self.lines) == 1 else "read_paragraph", 0.0, SPLIT)
        return image_item("transfer_line", [image], question, answer, truth)


def draw_lines(sources: Sequence[Random]) -> list[Item]:
    """Draw one line or short paragraph from every source of random numbers, through a PDF.

    Raises Qwen2VLError when the browser or Poppler is not installed.
    """
    drawn = [TransferLines.sample(source) for source in sources]
    images = _draw_through_pdf([each.tile for each in drawn])
    return [each.item(source, image) for source, each, image in zip(sources, drawn, images, strict=True)]


def _draw_through_pdf(tiles: list[Tile]) -> list[Image.Image]:
    """The tiles printed to a PDF, drawn by Poppler and cut to their sizes."""
    if not shutil.which("pdftoppm"):
        raise Qwen2VLError(f"pdftoppm was not found: drawing pages of a PDF needs it; install it with: {INSTALL_LINE}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        print_pdf(tiles, folder / "lines.pdf", LINE_CSS)
        # at 96 dots per inch a pixel of the browser is a pixel of the image
        command = ["pdftoppm", "-r", "96", "-png", str(folder / "lines.pdf"), str(folder / "page")]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        files = sorted(folder.glob("page-*.png"))
        if done.returncode or len(files) != len(tiles):
            raise Qwen2VLError(f"pdftoppm drew {len(files)} pages of {len(tiles)}; it says: {done.stderr.strip()}")
        images = []
        for file, tile in zip(files, tiles, strict=True):
            with Image.open(file) as opened:
                images.append(opened.convert("RGB").crop((0, 0, *tile.size)))
    return images
