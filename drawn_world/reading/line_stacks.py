"""Lines of text drawn by a procedure, and several questions about them: many letters for the cost of one image.

Letters of 10 to 48 pixels, lines of one to eight words, images up to 448 pixels a side, on paper or on pictures. `ease` 1
gives aligned letters of one size on plain paper, and the ranges widen evenly towards ease 0. Not here: single lines and
paragraphs as the exam asks for them (paragraphs), other languages (languages).
"""

from collections.abc import Callable
from random import Random
from typing import Any

from PIL import Image

from drawn_world.damage import damaged
from drawn_world.fonts import SIZES
from drawn_world.item import Item, dialogue_item
from drawn_world.reading.line_questions import line_turns
from drawn_world.reading.pictures import draw_picture, ink_over
from drawn_world.reading.text_blocks import (
    ALIGNED,
    LARGEST_SIDE,
    LAYOUTS,
    LONGEST_LINE,
    Block,
    make_block,
    place_block,
    smooth_masks,
)
from drawn_world.task import Task
from drawn_world.typesetting import Sheet, TextStyle, choose_form, choose_style, with_scene
from drawn_world.words import pick_letters, pick_written
from qwen2vl.spec.config import FACTOR

SMALLEST, LARGEST = 10, 48
"""Letter sizes in pixels."""
MOST_LETTERS = 140
"""Largest number of letters on an image, about: the answers for them cost as many tokens as the image."""
Written = Callable[[float], str]
"""Draws the next word of a line. Its argument is the probability of capitals and punctuation."""


def line_stack(rng: Random, split: str, ease: float) -> Item:
    """Read one to eight lines on paper, or parts of them."""
    style = choose_style(rng, split, choose_form(rng, ease))
    lines, size = draw_lines(rng, style, ease, lambda dress: pick_written(rng, split, dress), split)
    block = block_of(rng, style, lines, size, split, ease)
    image, scene = on_paper(rng, style, block, size, ease)
    scene |= {"lines": lines, "size": size}
    turns = line_turns(rng, split, ease, lines, read=_whole_question(rng, lines))
    return with_scene(dialogue_item("line_stack", image, turns), scene)


def picture_stack(rng: Random, split: str, ease: float) -> Item:
    """Read one to four lines on a photograph or a texture, or parts of them. Ease 1 gives faint textures."""
    style = choose_style(rng, split, "full" if rng.random() >= ease else "plain")
    most = rng.choice((1, 2, 4))
    lines, size = draw_lines(rng, style, max(ease, 0.3), lambda dress: pick_written(rng, split, dress), split, most)
    block = block_of(rng, style, lines, size, split, ease)
    sides, corner = place_block(rng, (block.mask.width + 8, block.mask.height + 8), block.layout, ease)
    image, behind = draw_picture(rng, split, sides, ease)
    corner = corner[0] + 4, corner[1] + 4
    edge = ink_over(rng, image, block.mask, corner)
    image, damage = damaged(rng, image, size) if rng.random() >= 0.5 + ease / 2 else (image, [])
    box = (*corner, corner[0] + block.mask.width, corner[1] + block.mask.height)
    scene = {"lines": lines, "size": size, "behind": behind, "edge": edge, "box_px": list(box), "damage": damage}
    scene |= {"form": style.form, "family": style.face.family, **block.scene}
    turns = line_turns(rng, split, ease, lines, read=_whole_question(rng, lines))
    return with_scene(dialogue_item("picture_stack", image, turns), scene)


def _whole_question(rng: Random, lines: list[str]) -> str:
    """Name of the question for the whole text."""
    if len(lines) > 1:
        return "read_paragraph"
    return "read_word" if " " not in lines[0] and rng.random() < 0.5 else "read_line"


def draw_lines(
    rng: Random, style: TextStyle, ease: float, written: Written, split: str, most: int = 8
) -> tuple[list[str], int]:
    """Texts of at most `most` lines that fit an image, and their letter size in pixels."""
    if style.form == ALIGNED:
        columns = 12 if rng.random() < ease else rng.randint(6, 20)
        count = 4 if rng.random() < ease else rng.randint(1, 7)
        return [_full_row(rng, split, columns) for _ in range(count)], FACTOR
    low, high = SMALLEST + round(6 * ease), LARGEST - round(24 * ease)
    size = sample_size(rng, low, high)
    width = rng.randint(max(84, 5 * size), max(168, min(LONGEST_LINE, 32 * size)))
    count = min(rng.randint(1, most), max(1, int((LARGEST_SIDE - 8) / (1.6 * size))))
    dress = 0.0 if style.form != "full" else rng.choice((0.0, 0.3, 0.6))
    words, even = rng.randint(1, 8), rng.random() < 0.6
    lines: list[str] = []
    while len(lines) < count and (not lines or sum(map(len, lines)) < MOST_LETTERS):
        most_words = words if even else rng.randint(1, words)
        lines.append(_line(rng, style, size, width, most_words, lambda: written(dress)))
    return lines, size


def sample_size(rng: Random, low: int, high: int) -> int:
    """A letter size of SIZES from low to high, evenly by its logarithm."""
    wanted = low * (high / low) ** rng.random()
    return min(SIZES, key=lambda size: abs(size - wanted))


def _line(rng: Random, style: TextStyle, size: int, width: int, words: int, written: Callable[[], str]) -> str:
    """One to `words` words that fit the width."""
    font, line = style.face.at(size), written()
    while font.getlength(line) > LONGEST_LINE:
        line = written()
    for _ in range(words - 1):
        longer = f"{line} {written()}"
        if font.getlength(longer) > width:
            break
        line = longer
    return line


def _full_row(rng: Random, split: str, columns: int) -> str:
    """Strings of letters and numbers that together with the spaces between them fill some columns."""
    row: list[str] = []
    left = columns
    while left > 0:
        length = left if left <= 7 else min(rng.randint(2, 7), left - 3)
        row.append(pick_letters(rng, split, length))
        left -= length + 1
    return " ".join(row)


def block_of(rng: Random, style: TextStyle, lines: list[str], size: int, split: str, ease: float) -> Block:
    """The lines as a block in a layout of the split, in the full form turned by up to five degrees."""
    if style.form == "full" and rng.random() < 0.5:
        masks = smooth_masks(rng, style, size, lines)
    else:
        masks = [style.line_mask(size, line) for line in lines]
    layout = ALIGNED if style.form == ALIGNED else "left" if rng.random() < ease / 2 else rng.choice(LAYOUTS[split])
    turn = rng.choice((0, 0, 2, 5)) * (1 - ease) if style.form == "full" else 0.0
    return make_block(rng, masks, layout, turn=turn)


def on_paper(rng: Random, style: TextStyle, block: Block, size: int, ease: float) -> tuple[Image.Image, dict[str, Any]]:
    """The block on the paper of its style with damage, and a description for JSON of how it was made."""
    sides, corner = place_block(rng, block.mask.size, block.layout, ease)
    sheet = Sheet(rng, style, sides)
    box = sheet.put(block.mask, corner)
    image, made = sheet.finish(rng, size)
    return image, {"box_px": list(box), **block.scene, **made}


TASKS = (
    Task("line_stack", line_stack, "ocr", lesson=True),
    Task("picture_stack", picture_stack, "ocr", lesson=True),
)
