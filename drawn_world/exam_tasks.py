"""How the items of the exams are drawn: one at a time, or many at a time where a browser draws them.

Not here: the archive of the items (`qwen2vl.evaluation.items`) and the verb that writes it (`qwen2vl data draw-exam`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from drawn_world.item import Item
from drawn_world.reading.languages import EXAM_MAKERS
from drawn_world.registry import ALL_TASKS, draw
from drawn_world.transfer import browser_pages, plotted_charts, words_on_photos

EXAM_TASKS = (
    "colour_shape", "glyph_name", "count_nine", "relate", "glyph_ground", "ground", "screen", "next_action",
    "read_word", "read_line", "read_script", "receipt", "form", "table",
    "chart_value", "chart_compare", "chart_trend",
    "motion", "order", "events", "late",
    "difference", "compare", "instruct",
    "transfer_page", "transfer_screen", "transfer_chart", "transfer_line", "transfer_photo",
)  # fmt: skip
"""All tasks of the exam "exam", in the order of its archive."""
DRAWERS: dict[str, Callable[[Sequence[Random]], Sequence[Item]]] = {
    "transfer_page": browser_pages.draw_pages,
    "transfer_screen": browser_pages.draw_screens,
    "transfer_line": browser_pages.draw_lines,
}
"""Tasks whose items are drawn many at a time, because a browser starts slowly."""


LANGUAGE_TASKS = tuple(EXAM_MAKERS)
"""All tasks of the exam "languages", in the order of its archive."""


def makers() -> dict[str, Callable[[Random], Item]]:
    """The makers of all other tasks of the exam "exam", each of one item from one stream of random numbers."""
    own = sorted((name for name, task in ALL_TASKS.items() if task.in_exam), key=EXAM_TASKS.index)
    return {name: partial(_held_out, name) for name in own} | {
        "transfer_chart": plotted_charts.chart_value,
        "transfer_photo": words_on_photos.transfer_photo,
    }


def _held_out(task: str, rng: Random) -> Item:
    return draw(task, rng.getrandbits(64), "test")
