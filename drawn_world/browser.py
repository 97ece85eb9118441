"""Drawing by headless Chromium: many small pages on one sheet, in one run, with the box of everything that is asked for.

A browser takes about a second to start, so pages come in batches. One run takes the screenshot, prints the sheet's state
(a script has written boxes and fonts into it) or a PDF. The same pages give the same pixels, wherever on a sheet they lie.
It uses no network, and a profile that is thrown away. Needed to draw the exam and --html-screens, never to run nano.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from drawn_world.fonts import font_file
from drawn_world.item import MAX_TURNS, Box, Item, dialogue_item
from drawn_world.screens.actions import described
from drawn_world.screens.html import BASE_CSS, WINDOW_CSS, Tile, Window, font_name, make_window
from drawn_world.screens.windows import Control, Screen, ask_point, ask_state
from drawn_world.wording import ask
from qwen2vl.common.errors import Qwen2VLError

HTML_SCREEN = "screen_html"
"""Its task. No recipe of nano reads it: the exam asks for windows that no training drew so (transfer_screen)."""
INSTALL_LINE = "apt-get install -y --no-install-recommends chromium poppler-utils"
TILES_PER_SHEET = 240
METRICS = "ascent-override: 96%; descent-override: 30%; line-gap-override: 0%"
"""The same for all fonts, so that letters stay inside their lines: EB Garamond says that it is lower than it is."""
ROW_WIDTH = 2400
GAP = 8
TIMEOUT_S = 180
FLAGS = (
    "--headless",
    "--no-sandbox",  # it refuses to run as root otherwise; it only ever shows pages that we wrote
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--disable-lcd-text",
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=20000",  # it stays until the fonts are there
)
SCRIPT = """
const out = document.getElementById("out");
const fonts = [...document.fonts];
Promise.allSettled(fonts.map(font => font.load())).then(() => {
  const tiles = [...document.querySelectorAll(".tile")].map(tile => {
    const origin = tile.getBoundingClientRect();
    return Object.fromEntries([...tile.querySelectorAll("[data-key]")].map(element => {
      const box = element.getBoundingClientRect();
      return [element.dataset.key, [box.left - origin.left, box.top - origin.top, box.right - origin.left, box.bottom - origin.top]];
    }));
  });
  out.textContent = JSON.stringify({tiles, missing: fonts.filter(font => font.status != "loaded").map(font => font.family)});
});
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A page as the browser drew it."""

    image: Image.Image
    boxes: dict[str, Box]
    """Key to the box in pixels of the image; what reaches over the image's rim is left out."""


def shoot(tiles: Sequence[Tile], css: str = "") -> list[Shot]:
    """Draw pages, in order. css: rules for all of them.

    Raises Qwen2VLError when no browser is installed or it fails.
    """
    shots: list[Shot] = []
    for first in range(0, len(tiles), TILES_PER_SHEET):
        shots += _shoot_sheet(tiles[first : first + TILES_PER_SHEET], css)
    return shots


def print_pdf(tiles: Sequence[Tile], path: Path, css: str = "") -> None:
    """Print pages into one PDF, each at the upper left of a sheet of its own, all sheets as large as the largest page.

    One pixel is 1/96 inch. Raises Qwen2VLError when no browser is installed or it fails.
    """
    width, height = (max(tile.size[axis] for tile in tiles) for axis in (0, 1))
    page = f"@page {{ size: {width}px {height}px; margin: 0 }} .tile {{ position: relative; break-after: page }}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        sheet = _sheet(tiles, [(0, 0)] * len(tiles), css + page)
        _run(Path(folder), sheet, "--no-pdf-header-footer", f"--print-to-pdf={path.resolve()}")
    if not path.exists():
        raise Qwen2VLError("the browser printed no PDF and gave no reason: try it by hand with --print-to-pdf")


def browser() -> str:
    """The installed browser. Raises Qwen2VLError with the install line."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        raise Qwen2VLError(
            f"Chromium was not found: drawing pages by a browser needs it; install it with: {INSTALL_LINE}"
        )
    return found


def _shoot_sheet(tiles: Sequence[Tile], css: str) -> list[Shot]:
    corners, size = _arrange(tiles)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        image = folder / "sheet.png"
        state = _run(folder, _sheet(tiles, corners, css), f"--window-size={size[0]},{size[1]}", f"--screenshot={image}")
        if not image.exists():
            raise Qwen2VLError("the browser took no screenshot and gave no reason: try it by hand with --screenshot")
        with Image.open(image) as opened:
            drawn = opened.convert("RGB")
    return [
        Shot(image=drawn.crop((x, y, x + tile.size[0], y + tile.size[1])), boxes=_whole_boxes(boxes, tile.size))
        for tile, (x, y), boxes in zip(tiles, corners, state["tiles"], strict=True)
    ]


def _arrange(tiles: Sequence[Tile]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Upper left corners in rows, and the size of the sheet."""
    corners, x, y, row = [], 0, 0, 0
    for tile in tiles:
        if x and x + tile.size[0] > ROW_WIDTH:
            x, y, row = 0, y + row + GAP, 0
        corners.append((x, y))
        x, row = x + tile.size[0] + GAP, max(row, tile.size[1])
    width = max(corner[0] + tile.size[0] for corner, tile in zip(corners, tiles, strict=True))
    return corners, (max(500, width), y + row)  # a window is at least 500 wide


def _sheet(tiles: Sequence[Tile], corners: Sequence[tuple[int, int]], css: str) -> str:
    """The page of pages. Rules of a tile's style hold inside the tiles that have the same ones."""
    styles = list(dict.fromkeys(tile.style for tile in tiles))
    rules = [f".s{number} {{ {style} }}" for number, style in enumerate(styles) if style]
    used = dict.fromkeys(face for tile in tiles for face in tile.faces)
    fonts = [
        f'@font-face {{ font-family: "{font_name(face)}"; src: url("{font_file(face.file).as_uri()}"); {METRICS} }}'
        for face in used
    ]
    pages = [
        f'<div class="tile {tile.classes} s{styles.index(tile.style)}" style=\'left: {x}px; top: {y}px; '
        f"width: {tile.size[0]}px; height: {tile.size[1]}px; {tile.css}'>{tile.html}</div>"
        for tile, (x, y) in zip(tiles, corners, strict=True)
    ]
    style = "\n".join((*fonts, BASE_CSS, css, *rules))
    script = f'<script type="application/json" id="out"></script><script>{SCRIPT}</script>'
    return f'<!doctype html><meta charset="utf-8"><style>{style}</style>{"".join(pages)}{script}'


def _run(folder: Path, sheet: str, *flags: str) -> dict[str, Any]:
    """Let the browser load a sheet; returns what the script wrote."""
    page = folder / "sheet.html"
    page.write_text(sheet, encoding="utf-8")
    command = [browser(), *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", *flags, page.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Qwen2VLError(f"the browser did not finish within {TIMEOUT_S} s: try fewer pages at once") from error
    written = re.search(r'<script type="application/json" id="out">(.+?)</script>', done.stdout, re.DOTALL)
    if done.returncode or not written:
        last = "\n".join(done.stderr.splitlines()[-3:])
        raise Qwen2VLError(f"the browser failed with exit status {done.returncode}; its last lines: {last}")
    state: dict[str, Any] = json.loads(written[1])
    if state["missing"]:
        raise Qwen2VLError(
            f"the browser could not load the font {state['missing'][0]}: install the drawn world's fonts again"
        )
    return state


def _whole_boxes(boxes: dict[str, list[float]], size: tuple[int, int]) -> dict[str, Box]:
    """Boxes of whole pixels that enclose those of fractions, where they lie inside the image."""
    whole = {
        key: (floor(left + 0.01), floor(top + 0.01), ceil(right - 0.01), ceil(bottom - 0.01))
        for key, (left, top, right, bottom) in boxes.items()
    }
    return {
        key: box for key, box in whole.items() if 0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3] <= size[1]
    }


def draw_html_screens(rng: Random, split: str, count: int) -> list[Item]:
    """So many windows drawn by the browser, each with up to six questions: source screen_html@0 of `nano.records`.

    An item depends on `rng` and its place in the list alone, not on `count`.
    """
    sources = [Random(rng.getrandbits(64)) for _ in range(count)]
    windows = [make_window(source, split) for source in sources]
    shots = shoot([window.tile for window in windows], WINDOW_CSS)
    return [
        _dialogue(source, screen_of(window, shot)) for source, window, shot in zip(sources, windows, shots, strict=True)
    ]


def screen_of(window: Window, shot: Shot) -> Screen:
    """The window as one that we drew, so that its questions serve; controls that reach over the rim are left out."""
    controls = [
        Control(kind=widget.kind, label=widget.label, state=widget.state, box_px=shot.boxes[str(key)])
        for key, widget in enumerate(window.widgets)
        if str(key) in shot.boxes
    ]
    return Screen(image=shot.image, title=window.title, controls=tuple(controls))


def _dialogue(rng: Random, screen: Screen) -> Item:
    turns = [ask_point(rng, control, screen.image.size)[:2] for control in screen.controls]
    turns += [ask_state(rng, control) for control in screen.controls if control.kind in ("checkbox", "field")]
    turns.append((ask(rng, "window_title"), screen.title))
    rng.shuffle(turns)
    item = dialogue_item(HTML_SCREEN, screen.image, turns[:MAX_TURNS])
    return replace(item, truth=item.truth | {"scene": described(screen)})
