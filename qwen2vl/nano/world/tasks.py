"""The tasks of the drawn world and the one way to draw an item: a pure function of task, seed, split and ease."""

from collections.abc import Callable
from random import Random

from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.nano.world import dialogues, films, lessons, pages, reading, scene_tasks, screens, text
from qwen2vl.nano.world.item import Item

SPLITS = ("train", "val", "test")

Maker = Callable[[Random, str, float], Item]

_MAKERS: dict[str, Maker] = {
    "colour_shape": lambda rng, split, ease: scene_tasks.colour_shape(rng, ease),
    "count": lambda rng, split, ease: scene_tasks.count(rng, ease),
    "relate": lambda rng, split, ease: scene_tasks.relate(rng, ease),
    "ground": lambda rng, split, ease: scene_tasks.ground(rng, ease),
    "point": lambda rng, split, ease: scene_tasks.point(rng, ease),
    "caption": lambda rng, split, ease: scene_tasks.caption(rng, ease),
    "compare": lambda rng, split, ease: scene_tasks.compare(rng, ease),
    "read_word": reading.read_word,
    "read_number": reading.read_number,
    "page": lambda rng, split, ease: pages.page(rng, split),
    "screen": lambda rng, split, ease: screens.screen(rng, split),
    "motion": lambda rng, split, ease: films.motion(rng, ease),
    "order": lambda rng, split, ease: films.order(rng, ease),
    "text": lambda rng, split, ease: text.text(rng, split),
}
TASKS = tuple(_MAKERS)
_DENSE: dict[str, Maker] = {
    "read_lines": reading.read_lines,
    "spaced_lines": reading.spaced_lines,
    "shape_rows": lambda rng, split, ease: lessons.shape_rows(rng, ease),
    "look_up": lambda rng, split, ease: lessons.look_up(rng, ease),
    "tell_apart": lambda rng, split, ease: lessons.tell_apart(rng, ease),
    "place_cells": lambda rng, split, ease: lessons.place_cells(rng, ease),
    "track": lambda rng, split, ease: films.track(rng, ease),
    "film_rows": lambda rng, split, ease: films.film_rows(rng, ease),
    "name_dialogue": lambda rng, split, ease: dialogues.name_dialogue(rng, ease),
    "place_dialogue": lambda rng, split, ease: dialogues.place_dialogue(rng, ease),
    "page_lines": lambda rng, split, ease: lessons.page_lines(rng, split, ease),
    "screen_lines": lambda rng, split, ease: lessons.screen_lines(rng, split, ease),
    "page_dialogue": lambda rng, split, ease: dialogues.page_dialogue(rng, split, ease),
    "screen_dialogue": lambda rng, split, ease: dialogues.screen_dialogue(rng, split, ease),
}
DENSE = tuple(_DENSE)
"""Drawn like tasks, but for training only: many answers, or many letters, for one picture's cost."""
WITHOUT_FONTS = ("colour_shape", "count", "relate", "ground", "point", "caption", "compare", "motion", "order")


def draw(task: str, seed: int, split: str = "train", ease: float = 0.0) -> Item:
    """Draws one item; the same arguments give the same pixels in every process.

    ease in 0..1 makes seeing easier: 1 = aligned letters, nearly white ground, one size and one wording; 0 = the full task.
    Raises Qwen2VLError for an unknown task or split, and when fonts or words are not installed.
    """
    makers = _MAKERS | _DENSE
    if task not in makers:
        raise Qwen2VLError(f"task {task!r} is unknown: choose one of {', '.join(makers)}")
    if split not in SPLITS:
        raise Qwen2VLError(f"split {split!r} is unknown: choose one of {', '.join(SPLITS)}")
    if not 0 <= ease <= 1:
        raise Qwen2VLError(f"ease {ease} is out of range: choose a number from 0 (full task) to 1 (easiest)")
    return makers[task](Random(f"{split}/{task}/{seed}"), split, ease)
