"""`python -m qwen2vl.nano`: draw the packaged exam again.

Needs fonts and words (scripts/install-fonts.sh), Chromium, Poppler, matplotlib and the photographs of scikit-image.
"""

import sys
from functools import partial
from random import Random

from qwen2vl.common.files import sha256_of
from qwen2vl.nano.exam import EXAM_TASKS, EXAMS, Drawer, Maker, write_exam
from qwen2vl.nano.transfer import charts, pages, photos
from qwen2vl.nano.world import Item, draw

DRAWERS: dict[str, Drawer] = {
    "transfer_page": pages.draw_pages,
    "transfer_screen": pages.draw_screens,
    "transfer_line": pages.draw_lines,
}


def make(task: str, rng: Random) -> Item:
    return draw(task, rng.getrandbits(64), "test")


def makers() -> dict[str, Maker]:
    """Of every task of the exam that is not drawn by a browser."""
    others: dict[str, Maker] = {"transfer_chart": charts.chart_value, "transfer_photo": photos.transfer_photo}
    return {task: others.get(task, partial(make, task)) for task in EXAM_TASKS if task not in DRAWERS}


def tell(done: int, total: int) -> None:
    print(f"drawn: {done} of {total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    path = EXAMS["exam"].path
    sizes = write_exam(path, makers(), drawers=DRAWERS, on_progress=tell)
    print("\n".join(f"{task}: {size / 1e6:.2f} MB" for task, size in sizes.items()))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, sha256 {sha256_of(path)}")
