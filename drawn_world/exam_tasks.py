"""Who draws the items of the exam `exam`: its own tasks one by one, what a browser draws many at a time.

Not here: the archive (`qwen2vl.evaluation.items`) and the verb that joins both (`qwen2vl data draw-exam`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from drawn_world.item import Item
from drawn_world.registry import EXAM_TASKS, draw
from drawn_world.transfer import browser_pages, plotted_charts, words_on_photos

DRAWERS: dict[str, Callable[[Sequence[Random]], Sequence[Item]]] = {
    "transfer_page": browser_pages.draw_pages,
    "transfer_screen": browser_pages.draw_screens,
    "transfer_line": browser_pages.draw_lines,
}
"""Tasks whose items are drawn many at a time, because a browser starts slowly."""


def makers() -> dict[str, Callable[[Random], Item]]:
    """Makers of all other tasks of the exam, one item from one stream of random numbers."""
    own = {task: partial(_held_out, task) for task in EXAM_TASKS if not task.startswith("transfer_")}
    return own | {"transfer_chart": plotted_charts.chart_value, "transfer_photo": words_on_photos.transfer_photo}


def _held_out(task: str, rng: Random) -> Item:
    return draw(task, rng.getrandbits(64), "test")
