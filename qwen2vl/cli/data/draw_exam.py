"""`qwen2vl data draw-exam`: draw the items of a packaged exam again into an archive.

Needs fonts and words (scripts/install-fonts.sh), matplotlib and the photographs of scikit-image, and for the exam "exam" also
Chromium and Poppler.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Literal

import tyro

from drawn_world.exam_tasks import DRAWERS, makers
from drawn_world.item import Item
from drawn_world.reading.languages import EXAM_MAKERS
from qwen2vl.cli.options import CommonOptions, parse_options
from qwen2vl.cli.terminal import progress
from qwen2vl.common.files import sha256_of
from qwen2vl.evaluation.items import ExamItem, write_items


@dataclass(frozen=True, kw_only=True)
class DrawExamOptions(CommonOptions):
    """Draw the items of a packaged exam again, all from the test split."""

    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT.zip")]
    """The archive to write; it appears whole or not at all."""
    exam: Literal["exam", "languages"] = "exam"
    """The exam to draw."""
    items: int | None = None
    """Number of items of every task: 300 unless given, 40 for languages."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(DrawExamOptions, argv, "qwen2vl data draw-exam")
    if options.exam == "languages":
        drawers, count = {task: one_by_one(maker) for task, maker in EXAM_MAKERS.items()}, options.items or 40
    else:
        drawers, count = {task: one_by_one(maker) for task, maker in makers().items()} | DRAWERS, options.items or 300
    with progress("drawing") as show:
        sizes = write_items(options.out, draw_items(drawers, count, on_progress=show))
    print("\n".join(f"{task}: {size / 1e6:.2f} MB" for task, size in sizes.items()))
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, sha256 {sha256_of(options.out)}")
    return 0


def draw_items(
    drawers: Mapping[str, Callable[[Sequence[Random]], Sequence[Item]]],
    items_per_task: int,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    most_together: int = 50,
) -> Iterator[ExamItem]:
    """The items of every task in the order of `drawers`; item n of a task is drawn from Random("test/TASK/n").

    A drawer makes up to `most_together` items at once. on_progress: number of items drawn, number of all items.
    """
    done = 0
    for task, drawer in drawers.items():
        for first in range(0, items_per_task, most_together):
            numbers = range(first, min(first + most_together, items_per_task))
            drawn = drawer([Random(f"test/{task}/{number}") for number in numbers])
            for number, item in zip(numbers, drawn, strict=True):
                # Scoring needs no description of the scene.
                truth = {key: value for key, value in item.truth.items() if key != "scene"}
                yield ExamItem(id=f"{task}-{number}", task=task, messages=item.messages, truth=truth)
            done += len(numbers)
            on_progress(done, items_per_task * len(drawers))


def one_by_one(maker: Callable[[Random], Item]) -> Callable[[Sequence[Random]], Sequence[Item]]:
    """A drawer that makes each of its items alone."""
    return lambda streams: [maker(rng) for rng in streams]
