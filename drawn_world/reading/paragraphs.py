"""Lines and paragraphs in many styles, turned and damaged; and the tables of this module, placed_words and scripts together.

Not here: words at places of one image (placed_words), other alphabets (scripts), receipts, forms and tables (documents).
"""

from random import Random
from typing import Any

from PIL import Image

from drawn_world.item import Item, image_item, text_truth
from drawn_world.reading.word_tasks import dress
from drawn_world.task import Task
from drawn_world.typesetting import (
    COLUMNS,
    MARGIN,
    MAX_SIDE,
    MIN_TEXT_PX,
    Sheet,
    TextStyle,
    choose_form,
    choose_size,
    choose_style,
    random_start,
    whole_tokens,
)
from drawn_world.wording import ask
from drawn_world.words import pick_digits, pick_letters, pick_word
from qwen2vl.spec.config import FACTOR

LAYOUTS = {"train": ("left", "centre", "indent"), "val": ("right",), "test": ("hanging",)}
"""How the lines of a paragraph are aligned: "indent" moves the first line in, "hanging" all others."""


def read_line(rng: Random, split: str, ease: float) -> Item:
    """Read one line of two to four words at 12 to 24 pixels, turned by up to four degrees."""
    style = choose_style(rng, split, choose_form(rng, ease))
    if style.form == "aligned":
        text, size = _full_row(rng, split, COLUMNS), FACTOR
    else:
        text = " ".join(_word(rng, split) for _ in range(rng.choice((2, 2, 3, 3, 4))))
        if style.form == "full":
            text, _ = dress(rng, split, text)
        size = choose_size(rng, *((16, 22) if style.form == "plain" else (MIN_TEXT_PX, 24)))
        text, size = _fit_words(style, text.split(), size)
    mask, angle = _turned(rng, style, style.line_mask(size, text))
    image, made = _placed(rng, style, mask, size, ease)
    scene = {"lines": [text], "size": size, "angle": angle, **made}
    truth = text_truth(text, read=text.split(), metric="anls", scene=scene)
    return image_item("read_line", [image], ask(rng, "read_line", ease, split), text, truth)


def read_paragraph(rng: Random, split: str, ease: float) -> Item:
    """Read three to five short lines in one style, evenly spaced and turned together."""
    style = choose_style(rng, split, choose_form(rng, ease))
    count = 3 if rng.random() < ease else rng.choice((3, 3, 4, 5))
    size = choose_size(rng, *((16, 20) if style.form == "plain" else (MIN_TEXT_PX, 20)))
    layout = rng.choice(LAYOUTS[split])
    if style.form == "aligned":
        lines, layout, size = [_full_row(rng, split, COLUMNS) for _ in range(count)], "left", FACTOR
    else:
        lines = [_fit_words(style, _few_words(rng, split), size)[0] for _ in range(count)]
        if style.form == "full":
            if rng.random() >= 0.6:
                ends = [*(rng.choice(("", "", ",")) for _ in lines[:-1]), rng.choice((".", ".", "!", "?"))]
                lines = [line + end for line, end in zip(lines, ends, strict=True)]
            lines = [dress(rng, split, line)[0] for line in lines]
        size = min(_fit_words(style, [line], size)[1] for line in lines)
    masks = [style.line_mask(size, line) for line in lines]
    mask, angle = _turned(rng, style, _stacked(rng, masks, layout, style))
    image, made = _placed(rng, style, mask, size, ease)
    answer = "\n".join(lines)
    scene = {"lines": lines, "size": size, "angle": angle, "layout": layout, **made}
    truth = text_truth(answer, " ".join(lines), read=answer.split(), metric="anls", scene=scene)
    question = ask(rng, "read_paragraph", ease, split)
    return image_item("read_paragraph", [image], question, answer, truth)


def _word(rng: Random, split: str) -> str:
    """Mostly a word of the list; sometimes letters or a number, because real lines have them too."""
    roll = rng.random()
    return pick_word(rng, split) if roll < 0.78 else pick_letters(rng, split) if roll < 0.9 else pick_digits(rng, 1, 4)


def _few_words(rng: Random, split: str) -> list[str]:
    return [_word(rng, split) for _ in range(rng.choice((1, 2, 2, 3)))]


def _full_row(rng: Random, split: str, columns: int) -> str:
    """Two strings of three to seven letters that together with the space between them fill 8 to 15 columns."""
    first = rng.randint(max(3, columns - 8), min(7, columns - 4))
    return f"{pick_letters(rng, split, first)} {pick_letters(rng, split, columns - 1 - first)}"


def _fit_words(style: TextStyle, words: list[str], size: int, width: int = MAX_SIDE - 8) -> tuple[str, int]:
    """The longest list of first words (at least one) that fits at MIN_TEXT_PX, and the largest size up to `size` for it."""
    while True:
        text = " ".join(words)
        fits = min(size, style.face.fit_size(text, width, MAX_SIDE))
        while fits > 8 and style.face.ink_size(fits, text)[0] > width:  # rounding to pixels can make the line wider
            fits -= 1
        if fits >= MIN_TEXT_PX or len(words) == 1:
            return text, fits
        words = words[:-1]


def _stacked(rng: Random, masks: list[Image.Image], layout: str, style: TextStyle) -> Image.Image:
    """One mask of all lines, at equal distances."""
    height = masks[0].height
    step = height if style.form == "aligned" else min(height + rng.randint(1, 8), (MAX_SIDE - 40) // len(masks))
    width = max(mask.width for mask in masks)
    indent = min(rng.randint(10, 20), MAX_SIDE - 8 - width) if layout in ("indent", "hanging") else 0
    block = Image.new("L", (width + indent, step * (len(masks) - 1) + max(mask.height for mask in masks)))
    for row, mask in enumerate(masks):
        spare = width - mask.width
        indented = (row == 0) == (layout == "indent")
        left = {"centre": spare // 2, "right": spare}.get(layout, indent if indented else 0)
        block.paste(255, (left, row * step), mask)
    return block if style.form == "aligned" else block.crop(block.getbbox())


def _turned(rng: Random, style: TextStyle, mask: Image.Image) -> tuple[Image.Image, float]:
    """The mask, in half of the images of the full form turned by a small angle in degrees, counter-clockwise; and the angle."""
    if style.form != "full" or rng.random() < 0.5:
        return mask, 0.0
    angle = round(rng.uniform(-4, 4), 1)
    turned = mask.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    turned = turned.crop(turned.getbbox())
    return (turned, angle) if max(turned.size) <= MAX_SIDE - MARGIN else (mask, 0.0)


def _placed(
    rng: Random, style: TextStyle, mask: Image.Image, size: int, ease: float
) -> tuple[Image.Image, dict[str, Any]]:
    """The letters at a random place of an image, mostly of whole visual tokens; and a description of how it was made."""
    if style.form == "aligned":
        sides, corner = mask.size, (0, 0)
    else:
        low = mask.width + 2 * MARGIN, mask.height + 2 * MARGIN
        wanted = [whole_tokens(side) + (0 if rng.random() < ease else rng.choice((0, 0, FACTOR))) for side in low]
        if style.form == "full" and rng.random() < 0.15:
            wanted = [side + rng.randint(0, FACTOR) for side in low]
        sides = (max(2 * FACTOR, min(MAX_SIDE, wanted[0])), max(FACTOR, min(MAX_SIDE, wanted[1])))
        corner = (random_start(rng, sides[0], mask.width), random_start(rng, sides[1], mask.height))
    sheet = Sheet(rng, style, sides)
    box = sheet.put(mask, corner)
    image, made = sheet.finish(rng, size)
    return image, {"box_px": list(box), **made}


TASKS = (
    Task("read_line", read_line, "ocr", in_exam=True),
    Task("read_paragraph", read_paragraph, "ocr"),
)
