"""Pages, windows and lines that a browser sets: transfer tasks, so in styles of their own and for the exam alone.

    transfer_page     a receipt or a form drawn by Chromium: what is the price, the date, the total?
    transfer_screen   a window of the browser's own controls: point at one
    transfer_line     a line or a short paragraph, printed to a PDF by Chromium and drawn by Poppler: read it

Fonts, words and wordings are those of the test split, wordings of the tasks of which these are the twins; labels are those
of all splits. Items come in batches, because a browser starts slowly; but an item depends on its own source of chance
alone, so `draw_pages([rng])` is the same item. Photographs are in photos, charts in charts.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from drawn_world import wording
from drawn_world.browser import INSTALL_LINE, Shot, print_pdf, shoot
from drawn_world.documents import forms, receipts
from drawn_world.documents.lookups import Lookup, look_up, money, pick_cents, pick_goods
from drawn_world.fonts import Face, faces, font
from drawn_world.item import Item, image_item, place_truth, point_answer, text_truth
from drawn_world.reading import paragraphs
from drawn_world.screens.html import Tile, Widget, font_name, height_for, pick_widgets
from drawn_world.screens.windows import LABELS
from drawn_world.wording import phrase
from drawn_world.words import pick_digits, pick_word
from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.spec.config import FACTOR

Drawer = Callable[[Sequence[Random]], list[Item]]
"""From sources of chance to an item of each."""

SPLIT = "test"
DPI = 96
"""At which a pixel of the browser is a pixel of the image."""
MAX_SIDE = 224
RECEIPTS = 0.6
"""Of the pages; the others are forms."""

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
"""Height of a row at a letter size of 15 pixels, and rules."""
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
class Page:
    """A receipt or a form as it was written; the key of a line's value is its place."""

    tile: Tile
    heading: str
    lines: tuple[tuple[str, str], ...]
    receipt: bool
    style: str


def draw_pages(sources: Sequence[Random]) -> list[Item]:
    """A receipt or a form from every source of chance, asked for one value.

    Raises Qwen2VLError where no browser is installed.
    """
    pages = [_page(source) for source in sources]
    shots = shoot([page.tile for page in pages], PAGE_CSS)
    return [_ask_page(source, page, shot) for source, page, shot in zip(sources, pages, shots, strict=True)]


def _page(rng: Random) -> Page:
    receipt = rng.random() < RECEIPTS
    style = rng.choice(sorted(set(PAGE_STYLES) - ({"card", "boxed"} if receipt else {"till"})))
    lines = _receipt(rng) if receipt else _form(rng)
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
        size=(rng.randint(6 if style == "boxed" else 5, 7) * FACTOR, min(MAX_SIDE, ceil(height / FACTOR) * FACTOR)),
        classes="page",
        css=f'font: {text_px}px "{font_name(face)}"; --paper: {paper}; --ink: {ink}',
        style="ul { list-style: none; padding: 0; margin: 3px 0 0 } s { text-decoration: none }" + rules,
        faces=(face,),
    )
    return Page(tile=tile, heading=heading, lines=lines, receipt=receipt, style=style)


def _receipt(rng: Random) -> tuple[tuple[str, str], ...]:
    """Two to four goods with their prices, and what they come to."""
    goods = [(name, pick_cents(rng)) for name in pick_goods(rng, SPLIT, rng.randint(2, 4))]
    total = sum(cents for _, cents in goods)
    return (*((name, money(cents)) for name, cents in goods), ("Total", money(total)))


def _form(rng: Random) -> tuple[tuple[str, str], ...]:
    known = [key for key in forms.KEYS if key != "Colour"]
    return tuple((key, _value(rng, key)) for key in rng.sample(known, rng.randint(3, 4)))


def _value(rng: Random, key: str) -> str:
    if key in forms.WORD_KEYS:
        return pick_word(rng, SPLIT)
    if key in forms.DIGITS:
        return pick_digits(rng, *forms.DIGITS[key])
    return money(pick_cents(rng)) if key == "Price" else f"{rng.randint(1, 28)}.{rng.randint(1, 12)}"


def _ask_page(rng: Random, page: Page, shot: Shot) -> Item:
    """A receipt's shop, which is its heading, now and then; else the value of a line."""
    if page.receipt and rng.random() < 0.1:
        asked, key, value = phrase(rng, receipts.QUESTIONS["receipt_shop"], 0.0, SPLIT), "heading", page.heading
    else:
        number = rng.randrange(len(page.lines))
        named, value = page.lines[number]
        asked, key = _ask_line_of(rng, page, named), str(number)
    scene = _scene(page.tile, page.style) | {"heading": page.heading, "lines": [list(line) for line in page.lines]}
    scene |= {"receipt": page.receipt, "box_px": list(shot.boxes[key])}
    lookup = Lookup(question=asked, answer=value, asked={"key": "heading" if key == "heading" else named})
    return look_up("transfer_page", shot.image, lookup, scene)


def _ask_line_of(rng: Random, page: Page, key: str) -> str:
    if not page.receipt:
        return phrase(rng, forms.QUESTIONS["form"], 0.0, SPLIT, key=rng.choice((key, key.lower())))
    wordings = receipts.QUESTIONS["receipt_total" if key == "Total" else "receipt_price"]
    return phrase(rng, wordings, 0.0, SPLIT, name=key)


def draw_screens(sources: Sequence[Random]) -> list[Item]:
    """A window of the browser's own controls from every source of chance; point at one.

    Raises Qwen2VLError where no browser is installed.
    """
    drawn = [_screen(source) for source in sources]
    shots = shoot([tile for tile, _, _ in drawn], SCREEN_CSS)
    return [_ask_screen(source, *each, shot) for source, each, shot in zip(sources, drawn, shots, strict=True)]


def _screen(rng: Random) -> tuple[Tile, list[Widget], str]:
    widgets, style = pick_widgets(rng, SPLIT), rng.choice(sorted(SCREEN_STYLES))
    face, (paper, ink, scheme) = rng.choice(faces(SPLIT, mono=False)), rng.choice(SCHEMES)
    written = [_native(str(key), widget) for key, widget in enumerate(widgets)]
    tabs = sum(widget.kind == "tab" for widget in widgets)  # they come first
    controls = (f"<nav>{''.join(written[:tabs])}</nav>" if tabs else "") + "".join(written[tabs:])
    tile = Tile(
        html=f"<h1>{rng.choice(LABELS['title'])}</h1><fieldset>{controls}</fieldset>",
        size=(rng.randint(6, 7) * FACTOR, height_for(len(widgets))),
        classes="site",
        css=f'font: {rng.randint(13, 15)}px "{font_name(face)}"; --paper: {paper}; --ink: {ink}; --scheme: {scheme}',
        style=SCREEN_STYLES[style],
        faces=(face,),
    )
    return tile, widgets, style


def _native(key: str, widget: Widget) -> str:
    """The browser's own control; a tab is a link, as pages have them."""
    label = escape(widget.label)
    if widget.kind == "button":
        return f'<button data-key="{key}">{label}</button>'
    if widget.kind == "tab":
        return f'<a href="#" data-key="{key}">{label}</a>'
    if widget.kind == "checkbox":
        checked = " checked" if widget.state == "yes" else ""
        return f'<label data-key="{key}"><input type="checkbox"{checked}>{label}</label>'
    return f'<label data-key="{key}">{label} <input value="{escape(widget.state)}"></label>'


def _ask_screen(rng: Random, tile: Tile, widgets: list[Widget], style: str, shot: Shot) -> Item:
    boxes = {number: shot.boxes[str(number)] for number in range(len(widgets)) if str(number) in shot.boxes}
    number = rng.choice(sorted(boxes))
    widget, size = widgets[number], shot.image.size
    label = rng.choice(LABELS[f"named_{widget.kind}"]).format(label=widget.label)
    controls = [
        {"kind": widgets[each].kind, "label": widgets[each].label, "state": widgets[each].state, "box_px": list(box)}
        for each, box in boxes.items()
    ]
    truth = place_truth("point", boxes[number], size, label) | {"scene": _scene(tile, style) | {"controls": controls}}
    question = phrase(rng, wording.QUESTIONS["point"], 0.0, SPLIT, label=label)
    return image_item("transfer_screen", [shot.image], question, point_answer(boxes[number], size), truth)


def draw_lines(sources: Sequence[Random]) -> list[Item]:
    """A line or short paragraph from every source of chance, by way of a PDF.

    Raises Qwen2VLError where the browser or Poppler is not installed.
    """
    drawn = [_line(source) for source in sources]
    images = _print([tile for tile, _, _ in drawn])
    return [_ask_line(source, *each, image) for source, each, image in zip(sources, drawn, images, strict=True)]


def _line(rng: Random) -> tuple[Tile, list[str], str]:
    face, text_px = rng.choice(faces(SPLIT)), rng.randint(14, 20)
    count = 1 if rng.random() < 0.5 else rng.randint(2, 4)
    lines = [_words_that_fit(rng, face, text_px) for _ in range(count)]
    lengths = [font(face, text_px).getlength(line) for line in lines]
    wide, high = ceil(max(lengths)), ceil(count * text_px * 1.25)
    gaping = min(lengths) < 0.65 * wide  # what is drawn out to twice its length does not look like print
    style, (paper, ink) = rng.choice(sorted(set(LINE_STYLES) - ({"block"} if gaping else set()))), rng.choice(PAPERS)
    size = tuple(min(MAX_SIDE, ceil((side + 10) / FACTOR) * FACTOR) for side in (wide, high))
    x, y = rng.randint(4, max(4, size[0] - wide - 6)), rng.randint(3, max(3, size[1] - high - 3))
    tile = Tile(
        html=f'<div style="left: {x}px; top: {y}px">{"".join(f"<p>{line}</p>" for line in lines)}</div>',
        size=(size[0], size[1]),
        classes="line",
        css=f'font: {text_px}px "{font_name(face)}"; --paper: {paper}; --ink: {ink}',
        style=LINE_STYLES[style],
        faces=(face,),
    )
    return tile, lines, style


def _words_that_fit(rng: Random, face: Face, text_px: int) -> str:
    words = [pick_word(rng, SPLIT) for _ in range(rng.choice((2, 2, 3, 3, 4)))]
    while font(face, text_px).getlength(" ".join(words)) > MAX_SIDE - 14:
        words.pop()
    return " ".join(words)


def _print(tiles: list[Tile]) -> list[Image.Image]:
    """The pages printed to a PDF, drawn by Poppler, cut to their sizes."""
    if not shutil.which("pdftoppm"):
        raise Qwen2VLError(f"pdftoppm was not found: drawing pages of a PDF needs it; install it with: {INSTALL_LINE}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        print_pdf(tiles, folder / "lines.pdf", LINE_CSS)
        command = ["pdftoppm", "-r", str(DPI), "-png", str(folder / "lines.pdf"), str(folder / "page")]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        files = sorted(folder.glob("page-*.png"))
        if done.returncode or len(files) != len(tiles):
            raise Qwen2VLError(f"pdftoppm drew {len(files)} pages of {len(tiles)}; it says: {done.stderr.strip()}")
        images = []
        for file, tile in zip(files, tiles, strict=True):
            with Image.open(file) as opened:
                images.append(opened.convert("RGB").crop((0, 0, *tile.size)))
    return images


def _ask_line(rng: Random, tile: Tile, lines: list[str], style: str, image: Image.Image) -> Item:
    answer = "\n".join(lines)
    scene = _scene(tile, style) | {"lines": lines}
    truth = text_truth(answer, " ".join(lines), read=answer.split(), metric="anls", scene=scene)
    asked = paragraphs.QUESTIONS["read_line" if len(lines) == 1 else "read_paragraph"]
    return image_item("transfer_line", [image], phrase(rng, asked, 0.0, SPLIT), answer, truth)


def _scene(tile: Tile, style: str) -> dict[str, Any]:
    return {"size": list(tile.size), "style": style, "family": tile.faces[0].family}


DRAWERS: dict[str, Drawer] = {"transfer_page": draw_pages, "transfer_screen": draw_screens, "transfer_line": draw_lines}
