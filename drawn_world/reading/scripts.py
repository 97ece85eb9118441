"""Words in Greek and Cyrillic letters, with the faces of every split that have them."""

from functools import lru_cache
from random import Random
from typing import Any

from PIL import Image

from drawn_world.fonts import Face, faces
from drawn_world.item import Item, dialogue_item, image_item, text_truth
from drawn_world.reading.line_questions import line_turns
from drawn_world.task import Task
from drawn_world.typesetting import (
    Sheet,
    choose_form,
    choose_size,
    choose_style,
    random_start,
    whole_tokens,
    with_scene,
)
from drawn_world.wording import LABELS, ask
from drawn_world.words import split_of
from qwen2vl.spec.config import FACTOR

LETTERS = {"Greek": "αβγδεζηθικλμνξοπρστυφχψω", "Cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюя"}
LIKE_LATIN = {"Greek": "ικνορτυχ", "Cyrillic": "аеорсух"}
"""Letters that look like Latin ones: a word of these alone would not show its alphabet."""


@lru_cache(maxsize=8)
def script_faces(split: str) -> tuple[Face, ...]:
    """The faces of a split that have both alphabets."""
    lacking = {
        "Caladea",
        "Quicksand",
        "Inconsolata",
        "Dosis",
        "Oxygen",
        "Cabin",
        "Gentium Basic",
        "Karla",
        "B612",
        "B612 Mono",
    }
    return tuple(face for face in faces(split) if face.family not in lacking and face.file != "EBGaramond12-Bold.otf")


@lru_cache(maxsize=8)
def script_words(split: str, script: str) -> tuple[str, ...]:
    """The listed words of an alphabet that its letters show and whose hash is in the split."""
    return tuple(word for word in LABELS[script] if split_of(word) == split and _shows_alphabet(word, script))


def _shows_alphabet(word: str, script: str) -> bool:
    """Whether at least one letter looks like no Latin letter."""
    return not set(word) <= set(LIKE_LATIN[script])


def pick_script_word(rng: Random, split: str, script: str, length: int | None = None) -> str:
    """Sample a listed word, or random letters whose hash is in the split; both show their alphabet.

    length: number of random letters; None for any word.
    """
    if length is None and rng.random() < 0.4:
        return rng.choice(script_words(split, script))
    wanted = length or rng.randint(3, 7)
    while True:
        letters = "".join(rng.choices(LETTERS[script], k=wanted))
        letters = letters[:-1] + "ς" if letters.endswith("σ") else letters
        if split_of(letters) == split and _shows_alphabet(letters, script):
            return letters


def read_script(rng: Random, split: str, ease: float) -> Item:
    """Read one or two words of one alphabet, one below the other."""
    count = 1 if rng.random() < ease else rng.choice((1, 1, 2))
    image, scene = _make(rng, split, ease, count)
    question, answer = ask(rng, "read_script", ease, split, script=scene["script"]), "\n".join(scene["lines"])
    truth = text_truth(answer, " ".join(scene["lines"]), metric="anls", scene=scene)
    return image_item("read_script", [image], question, answer, truth)


def script_lines(rng: Random, split: str, ease: float) -> Item:
    """Read two to six words of one alphabet, one below the other, or some of them: many letters for the cost of one image."""
    count = 3 if rng.random() < ease else rng.randint(2, 6)
    image, scene = _make(rng, split, ease, count)
    turns = line_turns(rng, split, ease, scene["lines"], read="read_script", script=scene["script"])
    return with_scene(dialogue_item("script_lines", image, turns), scene)


def _make(rng: Random, split: str, ease: float, count: int) -> tuple[Image.Image, dict[str, Any]]:
    """Image and scene of `count` words, each at a random place in its own row."""
    script = rng.choice(tuple(LETTERS))
    style = choose_style(rng, split, choose_form(rng, ease), among=script_faces(split))
    lines = [pick_script_word(rng, split, script, 8 if style.form == "aligned" else None) for _ in range(count)]
    one_size = style.form == "aligned" or rng.random() < ease
    wide = 4 * FACTOR if one_size else rng.randint(4, 6) * FACTOR
    tall = FACTOR if one_size else rng.randint(FACTOR, 2 * FACTOR if count < 3 else FACTOR + 8)
    size = choose_size(rng, 16, 22) if style.form == "plain" else choose_size(rng, 14, 40)
    size = min(size, *(style.face.fit_size(line, wide - 4, tall - 4) for line in lines))
    sheet, boxes = Sheet(rng, style, (wide, whole_tokens(tall * count))), []
    for row, line in enumerate(lines):
        mask = style.line_mask(size, line)
        x, y = random_start(rng, wide, mask.width), random_start(rng, tall, mask.height)
        boxes.append(list(sheet.put(mask, (x, row * tall + y))))
    image, made = sheet.finish(rng, size)
    return image, {"script": script, "lines": lines, "size": size, "boxes_px": boxes, **made}


"""Names in questions, and the letters, each of which takes two bytes."""
TASKS = (
    Task("read_script", read_script, "ocr", in_exam=True),
    Task("script_lines", script_lines, "ocr", lesson=True),
)
