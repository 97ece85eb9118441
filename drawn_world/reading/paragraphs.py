"""Lines and paragraphs in many styles, turned and damaged. And what all modules of text in the open offer together.

Words at places of one image are in placed_words, other alphabets in scripts; tables and receipts in documents.
"""

from random import Random
from typing import Any

from PIL import Image

from drawn_world.item import Item, dialogue_item, image_item, text_truth
from drawn_world.lettering import fit_size, ink_size
from drawn_world.reading.word_tasks import dress
from drawn_world.task import Task
from drawn_world.typesetting import (
    COLUMNS,
    MARGIN,
    MAX_SIDE,
    SMALLEST,
    Sheet,
    Style,
    choose_form,
    choose_size,
    choose_style,
    fixed,
    line_mask,
    somewhere,
    turned,
    whole_tokens,
    with_scene,
)
from drawn_world.wording import phrase, read_wordings, texts_of
from drawn_world.words import pick_digits, pick_letters, pick_word
from qwen2vl.spec.config import FACTOR

QUESTIONS = read_wordings("reading")
LAYOUTS = {"train": ("left", "centre", "indent"), "val": ("right",), "test": ("hanging",)}
"""How the lines of a paragraph begin: indent = the first stands in, hanging = all others do."""


def read_line(rng: Random, split: str, ease: float) -> Item:
    """One line of two to four words at 12 to 24 pixels, turned by up to four degrees; answered as written."""
    style = choose_style(rng, split, choose_form(rng, ease))
    if style.form == "aligned":
        text, size = _full_row(rng, split, COLUMNS), FACTOR
    else:
        words = [_word(rng, split) for _ in range(rng.choice((2, 2, 3, 3, 4)))]
        words = _dressed(rng, split, style, " ".join(words)).split()
        text, size = _fitting(style, words, choose_size(rng, *((16, 22) if style.form == "plain" else (SMALLEST, 24))))
    mask, angle = _turned(rng, style, line_mask(style, size, text))
    image, made = _placed(rng, style, mask, size, ease)
    scene = {"lines": [text], "size": size, "angle": angle, **made}
    truth = text_truth(text, read=text.split(), metric="anls", scene=scene)
    return image_item("read_line", [image], phrase(rng, QUESTIONS["read_line"], ease, split), text, truth)


def read_paragraph(rng: Random, split: str, ease: float) -> Item:
    """Three to five short lines in one style, evenly spaced, turned as a whole."""
    style = choose_style(rng, split, choose_form(rng, ease))
    count = 3 if fixed(rng, ease) else rng.choice((3, 3, 4, 5))
    size = choose_size(rng, *((16, 20) if style.form == "plain" else (SMALLEST, 20)))
    layout = rng.choice(LAYOUTS[split])
    if style.form == "aligned":
        lines, layout, size = [_full_row(rng, split, COLUMNS) for _ in range(count)], "left", FACTOR
    else:
        lines = [_fitting(style, _some_words(rng, split), size, SMALLEST)[0] for _ in range(count)]
        lines = [_dressed(rng, split, style, line) for line in _punctuated(rng, style, lines)]
        size = min(_fitting(style, [line], size, SMALLEST)[1] for line in lines)
    masks = [line_mask(style, size, line) for line in lines]
    mask, angle = _turned(rng, style, _stacked(rng, masks, layout, style))
    image, made = _placed(rng, style, mask, size, ease)
    answer = "\n".join(lines)
    scene = {"lines": lines, "size": size, "angle": angle, "layout": layout, **made}
    truth = text_truth(answer, " ".join(lines), read=answer.split(), metric="anls", scene=scene)
    question = phrase(rng, QUESTIONS["read_paragraph"], ease, split)
    return image_item("read_paragraph", [image], question, answer, truth)


def line_stack(rng: Random, split: str, ease: float) -> Item:
    """Three to six lines of one style, each somewhere in its own row, all read: letters, densely.

    Ease 1: four aligned rows of twelve columns, no line shorter.
    """
    style = choose_style(rng, split, choose_form(rng, ease))
    count = 4 if fixed(rng, ease) else rng.randint(3, 6)
    columns = COLUMNS if fixed(rng, ease) else rng.randint(8, 15)
    width = whole_tokens(columns * FACTOR // 2)
    size = choose_size(rng, *((16, 20) if style.form == "plain" else (SMALLEST, 22)))
    if style.form == "aligned":
        lines = [_full_row(rng, split, columns) for _ in range(count)]
    else:
        lines = [_fitting(style, _some_words(rng, split), size, SMALLEST, width - 4)[0] for _ in range(count)]
        size = min(_fitting(style, [line], size, 8, width - 4)[1] for line in lines)
    step = FACTOR if style.form == "aligned" or fixed(rng, ease) else rng.randint(size + 6, 36)
    sheet = Sheet(rng, style, (width, whole_tokens(step * count)))
    loose = not fixed(rng, ease)
    for row, line in enumerate(lines):
        mask = line_mask(style, size, line)
        spare = max(0, step - mask.height)
        down = rng.randint(0, spare) if loose else spare // 2
        across = 0 if style.form == "aligned" else somewhere(rng, width, mask.width)
        sheet.put(mask, (across, row * step + down))
    image, made = sheet.finish(rng, size)
    turns = [(phrase(rng, QUESTIONS["read_paragraph"], ease, split), "\n".join(lines))]
    return with_scene(dialogue_item("line_stack", image, turns), {"lines": lines, "size": size, **made})


def _word(rng: Random, split: str) -> str:
    """Mostly a word of the list; letters and numbers too, because real lines are not all words."""
    roll = rng.random()
    return pick_word(rng, split) if roll < 0.78 else pick_letters(rng, split) if roll < 0.9 else pick_digits(rng, 1, 4)


def _some_words(rng: Random, split: str) -> list[str]:
    return [_word(rng, split) for _ in range(rng.choice((1, 2, 2, 3)))]


def _full_row(rng: Random, split: str, columns: int) -> str:
    """Two strings of three to seven letters that with the blank between fill 8 to 15 columns."""
    first = rng.randint(max(3, columns - 8), min(7, columns - 4))
    return f"{pick_letters(rng, split, first)} {pick_letters(rng, split, columns - 1 - first)}"


def _fitting(
    style: Style, words: list[str], size: int, smallest: int = SMALLEST, width: int = MAX_SIDE - 8
) -> tuple[str, int]:
    """As many of the words as fit at `smallest`, and the size, at most `size`, at which they do."""
    while True:
        text = " ".join(words)
        fits = min(size, fit_size(style.face, text, width, MAX_SIDE))
        while fits > 8 and ink_size(style.face, fits, text)[0] > width:  # letters on whole pixels may run wider
            fits -= 1
        if fits >= smallest or len(words) == 1:
            return text, fits
        words = words[:-1]


def _dressed(rng: Random, split: str, style: Style, text: str) -> str:
    return dress(rng, split, text)[0] if style.form == "full" else text


def _punctuated(rng: Random, style: Style, lines: list[str]) -> list[str]:
    """Now and then commas at the ends of lines and a full stop at the last."""
    if style.form != "full" or rng.random() < 0.6:
        return lines
    inner = [line + rng.choice(("", "", ",")) for line in lines[:-1]]
    return [*inner, lines[-1] + rng.choice((".", ".", "!", "?"))]


def _stacked(rng: Random, masks: list[Image.Image], layout: str, style: Style) -> Image.Image:
    """One mask of all lines, a step apart."""
    height = masks[0].height
    step = height if style.form == "aligned" else min(height + rng.randint(1, 8), (MAX_SIDE - 40) // len(masks))
    width = max(mask.width for mask in masks)
    indent = min(rng.randint(10, 20), MAX_SIDE - 8 - width) if layout in ("indent", "hanging") else 0
    block = Image.new("L", (width + indent, step * (len(masks) - 1) + max(mask.height for mask in masks)))
    for row, mask in enumerate(masks):
        spare = width - mask.width
        stands_in = (row == 0) == (layout == "indent")
        left = {"centre": spare // 2, "right": spare}.get(layout, indent if stands_in else 0)
        block.paste(255, (left, row * step), mask)
    return block if style.form == "aligned" else block.crop(block.getbbox())


def _turned(rng: Random, style: Style, mask: Image.Image) -> tuple[Image.Image, float]:
    """Half of the images of the full form stand at a slight angle."""
    if style.form != "full" or rng.random() < 0.5:
        return mask, 0.0
    angle = round(rng.uniform(-4, 4), 1)
    turn = turned(mask, angle)
    return (turn, angle) if turn.width <= MAX_SIDE - MARGIN and turn.height <= MAX_SIDE - MARGIN else (mask, 0.0)


def _placed(rng: Random, style: Style, mask: Image.Image, size: int, ease: float) -> tuple[Image.Image, dict[str, Any]]:
    """The letters anywhere on an image that holds them; mostly of whole visual tokens. And how it was made."""
    if style.form == "aligned":
        sides, corner = mask.size, (0, 0)
    else:
        low = mask.width + 2 * MARGIN, mask.height + 2 * MARGIN
        wanted = [whole_tokens(side) + (0 if fixed(rng, ease) else rng.choice((0, 0, FACTOR))) for side in low]
        if style.form == "full" and rng.random() < 0.15:
            wanted = [side + rng.randint(0, FACTOR) for side in low]
        sides = (max(2 * FACTOR, min(MAX_SIDE, wanted[0])), max(FACTOR, min(MAX_SIDE, wanted[1])))
        corner = (somewhere(rng, sides[0], mask.width), somewhere(rng, sides[1], mask.height))
    sheet = Sheet(rng, style, sides)
    box = sheet.put(mask, corner)
    image, made = sheet.finish(rng, size)
    return image, {"box_px": list(box), **made}


WORDS = texts_of(QUESTIONS)
TASKS = (
    Task("read_line", read_line, "ocr", exams=("exam",), words=WORDS),
    Task("read_paragraph", read_paragraph, "ocr", words=WORDS),
    Task("line_stack", line_stack, "ocr", lesson=True, words=WORDS),
)
