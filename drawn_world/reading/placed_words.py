"""Several words at places of one image: which word is in a box that the user gives, and in which box a word is.

A word's box is as wide as its ink and as high as a line of its face; in the aligned form it is its columns by its row, so
that boxes have few values.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image

from drawn_world import palette
from drawn_world.item import MAX_TURNS, Box, Item, box_answer, image_item, place_truth, text_truth
from drawn_world.lettering import fit_size
from drawn_world.shapes.shape_scenes import apart
from drawn_world.task import Task
from drawn_world.typesetting import (
    COLUMN,
    COLUMNS,
    Sheet,
    Style,
    choose_form,
    choose_size,
    choose_style,
    fixed,
    line_mask,
    with_scene,
)
from drawn_world.wording import phrase, read_wordings, texts_of
from drawn_world.words import pick_digits, pick_letters, pick_word
from qwen2vl.processing.grounding import to_thousandths
from qwen2vl.spec.config import FACTOR

QUESTIONS = read_wordings("reading")
BOX = "{box}"
GAP = 6
"""Pixels between two words; a box that the user draws may be up to half of it too large on every side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedWord:
    """One word where it stands."""

    text: str
    box_px: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A drawn image of words."""

    image: Image.Image
    words: tuple[PlacedWord, ...]
    scene: dict[str, Any]


def read_in_box(rng: Random, split: str, ease: float) -> Item:
    """The user gives the box of one of several words; the answer is the word."""
    spread = make_spread(rng, split, ease)
    word = rng.choice(spread.words)
    content = _ask_word(rng, split, ease, spread, word)
    image = {"type": "image", "image": spread.image}
    given = next(part["box"] for part in content if part["type"] == "box")
    truth = text_truth(word.text, read=[word.text], scene=spread.scene | {"asked": {"box": given}})
    return Item(
        task="read_in_box",
        messages=[{"role": "user", "content": [image, *content]}],
        answer=word.text,
        truth=truth,
    )


def find_word(rng: Random, split: str, ease: float) -> Item:
    """The box of one of several words."""
    spread = make_spread(rng, split, ease)
    word = rng.choice(spread.words)
    size = spread.image.size
    truth = place_truth("box", word.box_px, size, word.text) | {"read": [word.text]}
    truth |= {"scene": spread.scene | {"asked": {"word": word.text}}}
    question = phrase(rng, QUESTIONS["find_word"], ease, split, word=word.text)
    return image_item("find_word", [spread.image], question, box_answer(word.text, word.box_px, size), truth)


def words_in_boxes(rng: Random, split: str, ease: float) -> Item:
    """Up to six words of one image: of some the box is given and the word asked for, of the others the word."""
    spread = make_spread(rng, split, ease)
    words = list(spread.words)
    rng.shuffle(words)
    messages: list[dict[str, Any]] = []
    for word in words[:MAX_TURNS]:
        if rng.random() < 0.5:
            content, answer = _ask_word(rng, split, ease, spread, word), word.text
        else:
            question = phrase(rng, QUESTIONS["find_word"], ease, split, word=word.text)
            content, answer = _text(question), box_answer(word.text, word.box_px, spread.image.size)
        messages += [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    messages[0]["content"] = [{"type": "image", "image": spread.image}, *messages[0]["content"]]
    answer = messages.pop()["content"]
    item = Item(task="words_in_boxes", messages=messages, answer=answer, truth=text_truth(answer))
    return with_scene(item, spread.scene)


def _text(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}]


def _ask_word(rng: Random, split: str, ease: float, spread: Spread, word: PlacedWord) -> list[dict[str, Any]]:
    """Parts of the question: text, the box of the word, text. The box may be a little too large, as people draw."""
    before, after = phrase(rng, QUESTIONS["read_in_box"], ease, split, box=BOX).split(BOX)
    loose = 0 if fixed(rng, ease) or spread.scene["form"] == "aligned" else GAP // 2
    left, top, right, bottom = (rng.randint(0, loose) for _ in range(4))
    x1, y1, x2, y2 = word.box_px
    width, height = spread.image.size
    box_px = (max(0, x1 - left), max(0, y1 - top), min(width, x2 + right), min(height, y2 + bottom))
    box = {"type": "box", "box": list(to_thousandths(box_px, (width, height)))}
    return [*_text(before), box, *_text(after)]


def make_spread(rng: Random, split: str, ease: float) -> Spread:
    """An image of words, none twice; in its easiest form one to four, in its full form three to six."""
    style = choose_style(rng, split, choose_form(rng, ease))
    count = rng.randint(1, 4) if fixed(rng, ease) else rng.randint(3, 6)
    if style.form == "aligned":
        sheet, placed, size = _in_cells(rng, split, style, count)
    else:
        sheet, placed, size = _scattered(rng, split, style, count, ease)
    image, made = sheet.finish(rng, size)
    words = [{"text": word.text, "box_px": list(word.box_px)} for word in placed]
    return Spread(image=image, words=tuple(placed), scene={"words": words, **made})


def _in_cells(rng: Random, split: str, style: Style, count: int) -> tuple[Sheet, list[PlacedWord], int]:
    """Words of three to five letters in two columns of cells, each one row high."""
    half, rows = COLUMNS // 2, 4
    sheet = Sheet(rng, style, (COLUMNS * COLUMN, rows * FACTOR))
    placed: list[PlacedWord] = []
    texts = _different(rng, split, count, 5)
    for text, cell in zip(texts, rng.sample(range(2 * rows), count), strict=True):
        corner = (cell % 2 * half * COLUMN, cell // 2 * FACTOR)
        placed.append(PlacedWord(text=text, box_px=sheet.put(line_mask(style, FACTOR, text), corner)))
    return sheet, placed, FACTOR


def _scattered(rng: Random, split: str, style: Style, count: int, ease: float) -> tuple[Sheet, list[PlacedWord], int]:
    """Words of 12 to 26 pixels anywhere; what finds no room is left out. Returns the smallest size too."""
    size = (168, 112) if fixed(rng, ease) else (rng.randint(5, 7) * FACTOR, rng.randint(3, 6) * FACTOR)
    sheet = Sheet(rng, style, size)
    mixed = style.form == "full" and rng.random() < 0.5
    placed: list[PlacedWord] = []
    sizes = []
    letters = choose_size(rng, 12, 22)
    for text in _different(rng, split, count, 7):
        own = _another(rng, split, style) if mixed else style
        letters = choose_size(rng, 12, 26) if mixed else letters
        letters = min(letters, fit_size(own.face, text, size[0] - 8, size[1] - 8))
        mask = line_mask(own, letters, text)
        corner = _free_corner(rng, size, mask.size, [word.box_px for word in placed])
        if corner is not None:
            placed.append(PlacedWord(text=text, box_px=sheet.put(mask, corner, own.ink)))
            sizes.append(letters)
    return sheet, placed, min(sizes)


def _another(rng: Random, split: str, style: Style) -> Style:
    """Another face and ink for the same paper."""
    other = choose_style(rng, split, style.form)
    for ink in (other.ink, other.paper):
        if abs(palette.luma(ink) - palette.luma(style.paper)) >= 110:
            return Style(form=style.form, face=other.face, ink=ink, paper=style.paper)
    return Style(form=style.form, face=other.face, ink=style.ink, paper=style.paper)


def _free_corner(
    rng: Random, size: tuple[int, int], extent: tuple[int, int], taken: list[Box]
) -> tuple[int, int] | None:
    for _ in range(30):
        x, y = (rng.randint(2, max(2, side - 2 - length)) for side, length in zip(size, extent, strict=True))
        box = (x, y, x + extent[0], y + extent[1])
        if all(apart(box, other, GAP) for other in taken):
            return x, y
    return None


def _different(rng: Random, split: str, count: int, longest: int) -> list[str]:
    """Words, letters and numbers, none twice."""
    texts: list[str] = []
    while len(texts) < count:
        roll = rng.random()
        text = (
            pick_word(rng, split) if roll < 0.75 else pick_letters(rng, split) if roll < 0.9 else pick_digits(rng, 2, 5)
        )
        if len(text) <= longest and text not in texts:
            texts.append(text)
    return texts


WORDS = texts_of(QUESTIONS)
TASKS = (
    Task("read_in_box", read_in_box, "ocr", words=WORDS),
    Task("find_word", find_word, "grounding", words=WORDS),
    Task("words_in_boxes", words_in_boxes, "grounding", lesson=True, words=WORDS),
)
