"""Digests of drawn items: `python -m tools.drawn_digests OUT.json [--against OLD.json]`.

One digest for the first items of every task, split and ease, of the slides and of what the browser and matplotlib draw. Two
versions of the code draw the same items if their digests are equal; `--against` lists the digests that differ. Needs the
fonts, Chromium, Poppler, matplotlib and the photographs of scikit-image; takes half a minute on one core.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from drawn_world import LESSONS, SPLITS, TASKS, Item, draw, exam_tasks, slides
from drawn_world.screens import html

SLOW_ITEMS = 12
"""Number of items of tasks that a browser or matplotlib draws."""


def digest(items: Iterable[Item]) -> str:
    """Twenty hexadecimal digits of the SHA-256 of pixels, questions, answers and truths."""
    state = hashlib.sha256()
    for item in items:
        feed(state, [item.task, item.messages, item.answer, item.truth])
    return state.hexdigest()[:20]


def feed(state: Any, value: Any) -> None:
    """Add a value of JSON and images to a hash."""
    match value:
        case Image.Image():
            state.update(repr(("image", value.mode, value.size)).encode())
            state.update(value.tobytes())
        case dict():
            for key in sorted(value):
                state.update(key.encode())
                feed(state, value[key])
        case list() | tuple():
            state.update(b"[%d" % len(value))
            for inner in value:
                feed(state, inner)
        case _:
            state.update(repr(value).encode())


def digests() -> Iterator[tuple[str, str]]:
    """Name of every group of items, and its digest."""
    for task in (*TASKS, *LESSONS):
        for split in SPLITS:
            for ease in (0.0, 0.5, 1.0):
                count = 50 if ease == 0 else 10
                yield f"{task} {split} {ease:g}", digest(draw(task, seed, split, ease) for seed in range(count))
    for source in ("slides_list@4-8", "slides_first@4-8", "slides_last@8-16", "slides_after@4-64"):
        pairs = [(number, split) for number in range(10) for split in ("train", "test")]
        yield source, digest(slides.draw_slides(source, number, split) for number, split in pairs)
    for split in ("train", "test"):
        yield f"html {split}", digest(html.draw_html_screens(Random(7), split, SLOW_ITEMS))
    for task, drawer in exam_tasks.DRAWERS.items():
        yield task, digest(drawer([Random(f"test/{task}/{number}") for number in range(SLOW_ITEMS)]))
    for task in ("transfer_chart", "transfer_photo"):
        make = exam_tasks.makers()[task]
        yield task, digest(make(Random(f"test/{task}/{number}")) for number in range(SLOW_ITEMS))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--against", type=Path, help="digests of another version")
    options = parser.parse_args()
    found = dict(digests())
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    if options.against is None:
        return 0
    old = json.loads(options.against.read_text())
    different = [name for name in {**old, **found} if old.get(name) != found.get(name)]
    print("\n".join(different) or f"all {len(found)} digests are equal")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
