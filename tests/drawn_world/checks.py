"""Functions that several tests of the drawn world share: parts of an item, and common checks."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from math import inf
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from drawn_world import SPLITS, Item, corpus_words, fonts, words
from drawn_world.browser import Tile
from drawn_world.item import Turn
from drawn_world.registry import words_of
from drawn_world.task import Maker
from drawn_world.wording import texts
from qwen2vl.common.errors import Qwen2VLError

Questions = Mapping[str, Sequence[str]]
"""Key of a question to its wordings; the last but one is for val alone, the last for test alone."""

every_split = pytest.mark.parametrize("split", SPLITS)


def why_not(*needed: Callable[[], object]) -> str:
    """The message of the first function that fails, or "": the reason of a skip, which names the install line."""
    try:
        for each in needed:
            each()
    except Qwen2VLError as error:
        return str(error)
    return ""


def needs(*needed: Callable[[], object]) -> pytest.MarkDecorator:
    """A mark that skips a test if one of these is not installed."""
    reason = why_not(*needed)
    return pytest.mark.skipif(bool(reason), reason=reason)


def every_face() -> None:
    """Raises Qwen2VLError if a font of any split is not installed."""
    for split in SPLITS:
        fonts.faces(split)


def word_list() -> None:
    """Raises Qwen2VLError if the word list, which all splits share, is not installed."""
    words.words("train")


NO_TEXT = why_not(every_face, word_list)
needs_text = needs(every_face, word_list)


def makers_of(*modules: ModuleType) -> dict[str, Maker]:
    """The makers of all tasks and lessons of some modules."""
    return {task.name: task.make for module in modules for task in module.TASKS}


def drawn(makers: Mapping[str, Maker], task: str, seed: int, split: str = "train", ease: float = 0.0) -> Item:
    """An item from a stream of random numbers that no other task or split has."""
    return makers[task](Random(f"{split}/{task}/{seed}"), split, ease)


def of_every_ease(makers: Mapping[str, Maker], task: str, count: int, split: str = "train") -> list[Item]:
    """Items at evenly spaced eases from 0 to 1."""
    return [drawn(makers, task, seed, split, seed / (count - 1)) for seed in range(count)]


def media_of(item: Item) -> list[Image.Image]:
    """The images, and the frames of videos."""
    parts = item.messages[0]["content"]
    return [part["image"] for part in parts if part["type"] == "image"] + [
        frame for part in parts if part["type"] == "video" for frame in part["video"]
    ]


def image_of(item: Item) -> Image.Image:
    """The only image."""
    (image,) = media_of(item)
    return image


def parts_of(item: Item) -> list[tuple[list[dict], str]]:
    """The parts of every question of the user except media, with its answer: where the model acts, its first call."""
    replies = [*(message["content"] for message in item.messages[1:]), item.answer]
    return [
        ([part for part in message["content"] if part["type"] not in ("image", "video")], reply)
        for message, reply in zip(item.messages, replies, strict=True)
        if message["role"] == "user"
    ]


def turns_of(item: Item) -> list[Turn]:
    """Every question with its answer."""
    return [(parts[-1]["text"], answer) for parts, answer in parts_of(item)]


def question_of(item: Item) -> str:
    """The only question of an item."""
    ((question, _),) = turns_of(item)
    return question


@cache
def _pattern(wording: str) -> re.Pattern[str]:
    """What fits a wording. There are more than `re` keeps compiled, and compiling takes a hundred times as long as matching."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(wording)))


def asked(questions: Questions, question: str) -> tuple[str, dict[str, str]]:
    """The key of the question with this wording, and what was filled in: the least text if several wordings match."""
    fitting = []
    for key, wordings in questions.items():
        for each in wordings:
            if found := _pattern(each).fullmatch(question):
                fitting.append((sum(map(len, found.groups())), key, found.groupdict()))
    assert fitting, f"no question is worded {question!r}"
    return min(fitting, key=lambda each: each[0])[1:]


def wordings_for(wordings: Sequence[str], split: str) -> Sequence[str]:
    """The wordings that a split may use; val and test have one each, which training never shows."""
    return wordings[{"train": slice(None, -2), "val": slice(-2, -1), "test": slice(-1, None)}[split]]


def taught_words() -> set[str]:
    """All words of wordings, labels and answers; all but the rarest are single tokens."""
    return {*corpus_words(), *words_of(texts())}


def check_answers(items: Iterable[Item], task: str, derived: Callable[[str, dict], str]) -> None:
    """Every answer follows from its question and the description alone, also after the description was stored as JSON."""
    for item in items:
        assert item.task == task and item.answer in item.truth["accept"], (item.task, item.answer, item.truth)
        scene = json.loads(json.dumps(item.truth["scene"]))
        for question, answer in turns_of(item):
            assert derived(question, scene) == answer, (question, answer, scene)


def check_wordings(items: Iterable[Item], questions: Questions, split: str) -> None:
    """Every question has a wording of its split, or the exam would use sentences of training."""
    for item in items:
        for question, _ in turns_of(item):
            key, parts = asked(questions, question)
            assert question in [each.format(**parts) for each in wordings_for(questions[key], split)], (split, question)


def check_taught(items: Iterable[Item], known: set[str]) -> None:
    """Questions and answers contain only words that are single tokens; others would cost many tokens."""
    for item in items:
        for question, answer in turns_of(item):
            assert question.isascii(), question
            assert set(re.findall(r"[A-Za-z]+", f"{question} {answer}")) <= known, (question, answer)


def check_read_words(items: Iterable[Item], split: str) -> None:
    """Words to be read occur and are of their split, so training never shows a held-out word."""
    read = {word for item in items for word in item.truth.get("read", ())}
    assert read and all(words.split_of(word) == split for word in read), (split, read)


def digest_of(items: Iterable[Item]) -> str:
    """SHA-256 of all questions, answers, descriptions and pixels."""
    total = hashlib.sha256()
    for item in items:
        total.update(json.dumps([parts_of(item), item.truth]).encode())
        for image in media_of(item):
            total.update(repr(image.size).encode() + image.tobytes())
    return total.hexdigest()


def check_repeatable(digest: Callable[..., str], *arguments: object) -> str:
    """The digest of a test module is equal a second time and in another process, so no earlier state or hash seed matters.

    Returns the digest.
    """
    here, name = digest(*arguments), digest.__name__
    assert digest(*arguments) == here, "the second drawing differs from the first"
    code = f"from {digest.__module__} import {name}; print({name}(*{arguments!r}))"
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert other.stdout.strip() == here, "another process draws something else"
    return here


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The box of all true pixels as descriptions give it, right and bottom edge exclusive."""
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def ink_of(item: Item) -> np.ndarray:
    """Mask of the pixels that are not paper, [height, width]; for images with even paper and without damage."""
    _, paper = max(image_of(item).getcolors(1 << 16))
    return (np.asarray(image_of(item)) != paper).any(axis=2)


def are_inside(boxes: Iterable[Sequence[int]], size: Sequence[int]) -> bool:
    """Whether every box has an area and lies inside the image."""
    return all(0 <= x1 < x2 <= size[0] and 0 <= y1 < y2 <= size[1] for x1, y1, x2, y2 in boxes)


def are_apart(boxes: Iterable[Sequence[int]], gap: int = 0) -> bool:
    """Whether all boxes leave this gap between them; not the rule of the drawing code, which is under test."""
    return all(
        a[2] + gap <= b[0] or b[2] + gap <= a[0] or a[3] + gap <= b[1] or b[3] + gap <= a[1]
        for a, b in combinations(boxes, 2)
    )


def encloses(box: Sequence[int], inner: Sequence[int], slack: float = inf) -> bool:
    """Whether a box contains another one and is on no side larger by more than the slack."""
    grown = [inner[0] - box[0], inner[1] - box[1], box[2] - inner[2], box[3] - inner[3]]
    return min(grown) >= 0 and max(grown) <= slack


def is_at(point: Iterable[float | str], box: Sequence[int], size: Sequence[int]) -> bool:
    """Whether a point in thousandths, as in answers, lies in a box in pixels."""
    x, y = (float(value) * side / 1000 for value, side in zip(point, size, strict=True))
    return box[0] <= x < box[2] and box[1] <= y < box[3]


def hidden(tile: Tile, key: str) -> Tile:
    """The same page without one element, so that the pixels that differ are those of the element."""
    before = f'data-key="{key}"'
    assert tile.html.count(before) == 1, f"{before} is not on the page once"
    return replace(tile, html=tile.html.replace(before, f'{before} style="visibility: hidden"'))


def changed(one: Image.Image, other: Image.Image) -> tuple[int, int, int, int]:
    """The box of the pixels that visibly differ between two images; smooth edges may tint the next pixel slightly."""
    return box_of(np.abs(np.asarray(one).astype(int) - np.asarray(other)).sum(axis=2) > 24)
