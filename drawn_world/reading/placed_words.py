"""Several words at places of one image: read the word in a given box, or give the box of a word.

The box of a word is as wide as its ink and as high as a line of its face. In the aligned form it is the word's columns by
its row, so that boxes have few different values.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from PIL import Image

from drawn_world import palette
from drawn_world.item import MAX_TURNS, Box, Item, box_answer, image_item, place_truth, text_truth
from drawn_world.shapes.shape_scenes import apart
from drawn_world.task import Task
from drawn_world.typesetting import (
    COLUMN,
    COLUMNS,
    Sheet,
    TextStyle,
    choose_form,
    choose_size,
    choose_style,
    with_scene,
)
from drawn_world.wording import ask
from drawn_world.words import pick_digits, pick_letters, pick_word
from qwen2vl.processing.grounding import to_thousandths
from qwen2vl.spec.config import FACTOR

BOX = "{box}"
GAP = 6
"""Pixels between two words at least. A box that the user gives may be up to half of this too large on every side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedWord:
    """One word and its box."""

    text: str
    box_px: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class WordImage:
    """An image of words at known places."""

    image: Image.Image
    words: tuple[PlacedWord, ...]
    scene: dict[str, Any]
    """Description for JSON."""

    def ask_word(self, rng: Random, split: str, ease: float, word: PlacedWord) -> list[dict[str, Any]]:
        """Parts of a question for the word in a box: text, box, text. The box may be a little too large, as users draw it."""
        before, after = ask(rng, "read_in_box", ease, split, box=BOX).split(BOX)
        loose = 0 if rng.random() < ease or self.scene["form"] == "aligned" else GAP // 2
        left, top, right, bottom = (rng.randint(0, loose) for _ in range(4))
        x1, y1, x2, y2 = word.box_px
        width, height = self.image.size
        box_px = (max(0, x1 - left), max(0, y1 - top), min(width, x2 + right), min(height, y2 + bottom))
        box = {"type": "box", "box": list(to_thousandths(box_px, (width, height)))}
        return [{"type": "text", "text": before}, box, {"type": "text", "text": after}]


def read_in_box(rng: Random, split: str, ease: float) -> Item:
    """Read the word in a box that the user gives."""
    drawn = draw_words(rng, split, ease)
    word = rng.choice(drawn.words)
    content = drawn.ask_word(rng, split, ease, word)
    image = {"type": "image", "image": drawn.image}
    given = next(part["box"] for part in content if part["type"] == "box")
    truth = text_truth(word.text, read=[word.text], scene=drawn.scene | {"asked": {"box": given}})
    return Item(
        task="read_in_box",
        messages=[{"role": "user", "content": [image, *content]}],
        answer=word.text,
        truth=truth,
    )


def find_word(rng: Random, split: str, ease: float) -> Item:
    """Give the box of one of several words."""
    drawn = draw_words(rng, split, ease)
    word = rng.choice(drawn.words)
    size = drawn.image.size
    truth = place_truth("box", word.box_px, size, word.text) | {"read": [word.text]}
    truth |= {"scene": drawn.scene | {"asked": {"word": word.text}}}
    question = ask(rng, "find_word", ease, split, word=word.text)
    return image_item("find_word", [drawn.image], question, box_answer(word.text, word.box_px, size), truth)


def words_in_boxes(rng: Random, split: str, ease: float) -> Item:
    """Up to six questions about one image: some give the box and ask for the word, the others give the word."""
    drawn = draw_words(rng, split, ease)
    words = list(drawn.words)
    rng.shuffle(words)
    messages: list[dict[str, Any]] = []
    for word in words[:MAX_TURNS]:
        if rng.random() < 0.5:
            content, answer = drawn.ask_word(rng, split, ease, word), word.text
        else:
            question = ask(rng, "find_word", ease, split, word=word.text)
            content = [{"type": "text", "text": question}]
            answer = box_answer(word.text, word.box_px, drawn.image.size)
        messages += [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    messages[0]["content"] = [{"type": "image", "image": drawn.image}, *messages[0]["content"]]
    answer = messages.pop()["content"]
    item = Item(task="words_in_boxes", messages=messages, answer=answer, truth=text_truth(answer))
    return with_scene(item, drawn.scene)


def draw_words(rng: Random, split: str, ease: float) -> WordImage:
    """Draw an image of different words: one to four at ease 1, three to six, in training one to eight, at ease 0."""
    style = choose_style(rng, split, choose_form(rng, ease))
    most = (1, 8) if split == "train" and style.form != "aligned" and rng.random() < 0.5 else (3, 6)
    count = rng.randint(1, 4) if rng.random() < ease else rng.randint(*most)
    if style.form == "aligned":
        sheet, placed, size = _in_cells(rng, split, style, count)
    else:
        sheet, placed, size = _scattered(rng, split, style, count, ease)
    image, made = sheet.finish(rng, size)
    words = [{"text": word.text, "box_px": list(word.box_px)} for word in placed]
    return WordImage(image=image, words=tuple(placed), scene={"words": words, **made})


def _in_cells(rng: Random, split: str, style: TextStyle, count: int) -> tuple[Sheet, list[PlacedWord], int]:
    """Words of at most five letters in two columns of cells, each one row high. Returns the letter size too."""
    half, rows = COLUMNS // 2, 4
    sheet = Sheet(rng, style, (COLUMNS * COLUMN, rows * FACTOR))
    placed: list[PlacedWord] = []
    texts = _different_texts(rng, split, count, 5)
    for text, cell in zip(texts, rng.sample(range(2 * rows), count), strict=True):
        corner = (cell % 2 * half * COLUMN, cell // 2 * FACTOR)
        placed.append(PlacedWord(text=text, box_px=sheet.put(style.line_mask(FACTOR, text), corner)))
    return sheet, placed, FACTOR


def _scattered(
    rng: Random, split: str, style: TextStyle, count: int, ease: float
) -> tuple[Sheet, list[PlacedWord], int]:
    """Words at random places, without those that find no room. Returns the smallest letter size too.

    Letters have 12 to 26 pixels; in training those of half the images have 10 to 48, and the images up to 448 a side.
    """
    wide = split == "train" and rng.random() < 0.5
    size = (168, 112) if rng.random() < ease else (rng.randint(5, 7) * FACTOR, rng.randint(3, 6) * FACTOR)
    if wide and rng.random() >= ease:
        size = rng.randint(4, 16) * FACTOR, rng.randint(2, 12) * FACTOR
    low, high = (10, 48) if wide else (12, 26)
    sheet = Sheet(rng, style, size)
    mixed = style.form == "full" and rng.random() < 0.5
    placed: list[PlacedWord] = []
    sizes = []
    letters = choose_size(rng, low, high if wide else 22)
    for text in _different_texts(rng, split, count, 7):
        own = _other_style(rng, split, style) if mixed else style
        letters = choose_size(rng, low, high) if mixed else letters
        letters = min(letters, own.face.fit_size(text, size[0] - 8, size[1] - 8))
        mask = own.line_mask(letters, text)
        corner = _free_corner(rng, size, mask.size, [word.box_px for word in placed])
        if corner is not None:
            placed.append(PlacedWord(text=text, box_px=sheet.put(mask, corner, own.ink)))
            sizes.append(letters)
    return sheet, placed, min(sizes)


def _other_style(rng: Random, split: str, style: TextStyle) -> TextStyle:
    """Another face on the same paper, with another ink if one of the sampled colours stands out from the paper."""
    other = choose_style(rng, split, style.form)
    inks = [ink for ink in (other.ink, other.paper) if abs(palette.luma(ink) - palette.luma(style.paper)) >= 110]
    return replace(style, face=other.face, ink=inks[0] if inks else style.ink)


def _free_corner(
    rng: Random, size: tuple[int, int], extent: tuple[int, int], taken: list[Box]
) -> tuple[int, int] | None:
    """A random corner at which a word of this extent touches no other word; None when 30 tries find none."""
    for _ in range(30):
        x, y = (rng.randint(2, max(2, side - 2 - length)) for side, length in zip(size, extent, strict=True))
        box = (x, y, x + extent[0], y + extent[1])
        if all(apart(box, other, GAP) for other in taken):
            return x, y
    return None


def _different_texts(rng: Random, split: str, count: int, longest: int) -> list[str]:
    """Different words, letter strings and numbers of at most `longest` characters."""
    texts: list[str] = []
    while len(texts) < count:
        roll = rng.random()
        text = (
            pick_word(rng, split) if roll < 0.75 else pick_letters(rng, split) if roll < 0.9 else pick_digits(rng, 2, 5)
        )
        if len(text) <= longest and text not in texts:
            texts.append(text)
    return texts


TASKS = (
    Task("read_in_box", read_in_box, "ocr"),
    Task("find_word", find_word, "grounding"),
    Task("words_in_boxes", words_in_boxes, "grounding", lesson=True),
)
