"""Drawing with headless Chromium: many small pages in one run, and the box of every element that has a key.

Pages are drawn in batches, because a browser takes about a second to start. One run takes a screenshot or prints a PDF, and
dumps the page, into which a script has written boxes and fonts. A page gives the same pixels wherever it is on its sheet.
The browser uses no network, and a temporary profile. It is needed to draw the exam and --html-screens, never to run nano.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Any

from PIL import Image

from drawn_world.fonts import Face, font_file
from drawn_world.item import Box
from qwen2vl.common.errors import Qwen2VLError

INSTALL_LINE = "apt-get install -y --no-install-recommends chromium poppler-utils"
FLAGS = (
    "--headless",
    "--no-sandbox",  # otherwise it refuses to run as root; it shows only our own pages
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
    "--virtual-time-budget=20000",  # it waits until the fonts are loaded
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
BASE_CSS = """
body { margin: 0; background: white }
.tile { position: absolute; overflow: hidden; contain: strict; font-synthesis: none; will-change: transform }
.tile, .tile * { box-sizing: border-box }
:where(.tile) * { margin: 0 }
:where(.tile) :is(h1, h2, p, th, td, legend, button, input, select) { font: inherit; letter-spacing: inherit; color: inherit }
"""
"""Rules for every tile. Letters never get a weight that their font file does not have. `will-change` makes the browser paint
a tile as a separate layer from its own origin, so that its pixels do not depend on its place on the sheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A small page; many of them share one large sheet."""

    html: str
    """HTML inside the element of the page; an element with a `data-key` gets a box."""
    size: tuple[int, int]
    """Width and height in pixels."""
    classes: str
    css: str = ""
    """Declarations for the page element, for example variables."""
    style: str = ""
    """Rules for the elements inside; tiles with equal rules share a class."""
    faces: tuple[Face, ...] = ()
    """The fonts that it uses, each by its `css_name`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A tile as the browser drew it."""

    image: Image.Image
    boxes: dict[str, Box]
    """Key to the box in pixels of the image, without elements that the edge of the image cuts off."""


def shoot(tiles: Sequence[Tile], css: str = "") -> list[Shot]:
    """Draw tiles, in order. css: rules for all of them.

    Raises Qwen2VLError when no browser is installed or it fails.
    """
    shots: list[Shot] = []
    tiles_per_sheet = 240
    for first in range(0, len(tiles), tiles_per_sheet):
        shots += _shoot_sheet(tiles[first : first + tiles_per_sheet], css)
    return shots


def print_pdf(tiles: Sequence[Tile], path: Path, css: str = "") -> None:
    """Print tiles into one PDF, each at the upper left of its own page; all pages are as large as the largest tile.

    One pixel is 1/96 inch. Raises Qwen2VLError when no browser is installed or it fails.
    """
    width, height = (max(tile.size[axis] for tile in tiles) for axis in (0, 1))
    page = f"@page {{ size: {width}px {height}px; margin: 0 }} .tile {{ position: relative; break-after: page }}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        sheet = _sheet(tiles, [(0, 0)] * len(tiles), css + page)
        _run(Path(folder), sheet, "--no-pdf-header-footer", f"--print-to-pdf={path.resolve()}")
    if not path.exists():
        raise Qwen2VLError("the browser printed no PDF and gave no reason: try it by hand with --print-to-pdf")


def find_browser() -> str:
    """Path of the installed browser. Raises Qwen2VLError with the install line."""
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
            sheet = opened.convert("RGB")
    return [
        Shot(image=sheet.crop((x, y, x + tile.size[0], y + tile.size[1])), boxes=_whole_boxes(boxes, tile.size))
        for tile, (x, y), boxes in zip(tiles, corners, state["tiles"], strict=True)
    ]


def _arrange(tiles: Sequence[Tile]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Upper left corners of the tiles in rows of at most 2400 pixels, 8 pixels apart, and the size of the sheet."""
    corners, x, y, row = [], 0, 0, 0
    for tile in tiles:
        if x and x + tile.size[0] > 2400:
            x, y, row = 0, y + row + 8, 0
        corners.append((x, y))
        x, row = x + tile.size[0] + 8, max(row, tile.size[1])
    width = max(corner[0] + tile.size[0] for corner, tile in zip(corners, tiles, strict=True))
    return corners, (max(500, width), y + row)  # the browser's window is at least 500 wide


def _sheet(tiles: Sequence[Tile], corners: Sequence[tuple[int, int]], css: str) -> str:
    """HTML of a sheet. Rules of a tile's `style` apply only inside the tiles that have the same ones."""
    styles = list(dict.fromkeys(tile.style for tile in tiles))
    rules = [f".s{number} {{ {style} }}" for number, style in enumerate(styles) if style]
    used = dict.fromkeys(face for tile in tiles for face in tile.faces)
    # the same metrics for all fonts keep letters inside their lines: EB Garamond declares a height that is too small
    metrics = "ascent-override: 96%; descent-override: 30%; line-gap-override: 0%"
    fonts = [
        f'@font-face {{ font-family: "{face.css_name}"; src: url("{font_file(face.file).as_uri()}"); {metrics} }}'
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


def _run(folder: Path, sheet: str, *flags: str, timeout_s: int = 180) -> dict[str, Any]:
    """Load a sheet in the browser; returns what the script wrote: the boxes of the tiles, and missing fonts."""
    page = folder / "sheet.html"
    page.write_text(sheet, encoding="utf-8")
    command = [find_browser(), *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", *flags, page.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise Qwen2VLError(f"the browser did not finish within {timeout_s} s: try fewer pages at once") from error
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
    """The boxes rounded outwards to whole pixels, without those that are not inside the image."""
    whole = {
        key: (floor(left + 0.01), floor(top + 0.01), ceil(right - 0.01), ceil(bottom - 0.01))
        for key, (left, top, right, bottom) in boxes.items()
    }
    return {
        key: box for key, box in whole.items() if 0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3] <= size[1]
    }
