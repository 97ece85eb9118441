"""What several tests of the drawn world read off an item, and what they check alike."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import inf
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from drawn_world import SPLITS, Item, corpus_words, fonts, words
from drawn_world.item import Turn
from drawn_world.screens.html import Tile
from drawn_world.task import Maker
from qwen2vl.common.errors import Qwen2VLError

Questions = Mapping[str, Sequence[str]]
"""Name of a question -> its wordings, the last but one for val alone and the last for test."""

every_split = pytest.mark.parametrize("split", SPLITS)


def why_not(*needed: Callable[[], object]) -> str:
    """What the first of these to fail says, "" where none does: the reason of a skip, which names the install line."""
    try:
        for each in needed:
            each()
    except Qwen2VLError as error:
        return str(error)
    return ""


def needs(*needed: Callable[[], object]) -> pytest.MarkDecorator:
    """Skips where one of these is not installed."""
    reason = why_not(*needed)
    return pytest.mark.skipif(bool(reason), reason=reason)


def every_face() -> None:
    """Fails where a font of any split is not installed."""
    for split in SPLITS:
        fonts.faces(split)


def word_list() -> None:
    """Fails where no list of words is installed, which all splits share."""
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
    """Of every ease from 0 to 1."""
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
    """What every question has besides media, and the answer."""
    contents = [message["content"] for message in item.messages]
    asked = [[part for part in content if part["type"] not in ("image", "video")] for content in contents[::2]]
    return list(zip(asked, [*contents[1::2], item.answer], strict=True))


def turns_of(item: Item) -> list[Turn]:
    """Every question with its answer."""
    return [(parts[-1]["text"], answer) for parts, answer in parts_of(item)]


def question_of(item: Item) -> str:
    """The question of an item that asks one."""
    ((question, _),) = turns_of(item)
    return question


def asked(questions: Questions, question: str) -> tuple[str, dict[str, str]]:
    """Which question this is a wording of, and what was filled in; the least where several fit."""
    fitting = []
    for key, wordings in questions.items():
        for each in wordings:
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(each))
            if found := re.fullmatch(pattern, question):
                fitting.append((sum(map(len, found.groups())), key, found.groupdict()))
    assert fitting, f"no question is worded {question!r}"
    return min(fitting, key=lambda each: each[0])[1:]


def wordings_for(wordings: Sequence[str], split: str) -> Sequence[str]:
    """Those that a split may use: the held-out splits have one each, which training never shows."""
    return wordings[{"train": slice(None, -2), "val": slice(-2, -1), "test": slice(-1, None)}[split]]


def taught_words(questions: Questions, others: Iterable[str]) -> set[str]:
    """What the tokenizer knows as whole words: those of the world, of these questions, and others of their tasks."""
    told = {word for group in questions.values() for each in group for word in re.findall(r"[A-Za-z]+", each)}
    return {*corpus_words(), *others, *told}


def check_answers(items: Iterable[Item], task: str, derived: Callable[[str, dict], str]) -> None:
    """An answer follows from its question and the description alone, also when that was stored as JSON."""
    for item in items:
        assert item.task == task and item.answer in item.truth["accept"], (item.task, item.answer, item.truth)
        scene = json.loads(json.dumps(item.truth["scene"]))
        for question, answer in turns_of(item):
            assert derived(question, scene) == answer, (question, answer, scene)


def check_wordings(items: Iterable[Item], questions: Questions, split: str) -> None:
    """A question is worded for its split: else the exam would ask in sentences of training."""
    for item in items:
        for question, _ in turns_of(item):
            key, parts = asked(questions, question)
            assert question in [each.format(**parts) for each in wordings_for(questions[key], split)], (split, question)


def check_taught(items: Iterable[Item], known: set[str]) -> None:
    """Questions and answers are of words that the tokenizer was taught: others would cost it many tokens."""
    for item in items:
        for question, answer in turns_of(item):
            assert question.isascii(), question
            assert set(re.findall(r"[A-Za-z]+", f"{question} {answer}")) <= known, (question, answer)


def check_read_words(items: Iterable[Item], split: str) -> None:
    """Words to be read occur, and are of their split: no held-out word is seen in training."""
    read = {word for item in items for word in item.truth.get("read", ())}
    assert read and all(words.split_of(word) == split for word in read), (split, read)


def digest_of(items: Iterable[Item]) -> str:
    """Of all that is asked, answered, described and shown, to the pixel."""
    total = hashlib.sha256()
    for item in items:
        total.update(json.dumps([parts_of(item), item.truth]).encode())
        for image in media_of(item):
            total.update(repr(image.size).encode() + image.tobytes())
    return total.hexdigest()


def check_repeatable(digest: Callable[..., str], *arguments: object) -> str:
    """A test module's digest is the same again and in another process: nothing hangs on what ran before or on hash seeds.

    Gives the digest.
    """
    here, name = digest(*arguments), digest.__name__
    assert digest(*arguments) == here, "the second drawing differs from the first"
    code = f"from {digest.__module__} import {name}; print({name}(*{arguments!r}))"
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert other.stdout.strip() == here, "another process draws something else"
    return here


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The box of what is set, as a description has to give it: right and bottom edge exclusive."""
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def ink_of(item: Item) -> np.ndarray:
    """Where the image is not paper, [height, width]; for images without damage and with even paper."""
    _, paper = max(image_of(item).getcolors(1 << 16))
    return (np.asarray(image_of(item)) != paper).any(axis=2)


def are_inside(boxes: Iterable[Sequence[int]], size: Sequence[int]) -> bool:
    """Whether every box has an area and none reaches over the rim of the image."""
    return all(0 <= x1 < x2 <= size[0] and 0 <= y1 < y2 <= size[1] for x1, y1, x2, y2 in boxes)


def are_apart(boxes: Iterable[Sequence[int]], gap: int = 0) -> bool:
    """Whether no two boxes come nearer than the gap; derived anew, the drawing has its own rule."""
    return all(
        a[2] + gap <= b[0] or b[2] + gap <= a[0] or a[3] + gap <= b[1] or b[3] + gap <= a[1]
        for a, b in combinations(boxes, 2)
    )


def encloses(box: Sequence[int], inner: Sequence[int], slack: float = inf) -> bool:
    """Whether a box holds another one and is nowhere larger by more than the slack."""
    grown = [inner[0] - box[0], inner[1] - box[1], box[2] - inner[2], box[3] - inner[3]]
    return min(grown) >= 0 and max(grown) <= slack


def is_at(point: Iterable[float | str], box: Sequence[int], size: Sequence[int]) -> bool:
    """Whether a point, in thousandths as answers have it, lies in a box of pixels."""
    x, y = (float(value) * side / 1000 for value, side in zip(point, size, strict=True))
    return box[0] <= x < box[2] and box[1] <= y < box[3]


def hidden(tile: Tile, key: str) -> Tile:
    """The same page without one element: what differs is its pixels."""
    before = f'data-key="{key}"'
    assert tile.html.count(before) == 1, f"{before} is not on the page once"
    return replace(tile, html=tile.html.replace(before, f'{before} style="visibility: hidden"'))


def changed(one: Image.Image, other: Image.Image) -> tuple[int, int, int, int]:
    """The box of the pixels in which two images visibly differ: smooth edges may tint the next pixel a little."""
    return box_of(np.abs(np.asarray(one).astype(int) - np.asarray(other)).sum(axis=2) > 24)
