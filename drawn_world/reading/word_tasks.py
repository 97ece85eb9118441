"""One word or one number on a small image, or a few lines of them; in the three forms of `typesetting`.

Ease 1 gives only aligned letters, 0.5 only plain ones, 0 the full form, and values between give a mixture: a model of this
size learns to read only if dense, aligned examples come first.
"""

from random import Random

from PIL import Image, ImageFilter

from drawn_world import palette
from drawn_world.fonts import faces
from drawn_world.item import Item, image_item, text_truth
from drawn_world.task import Task
from drawn_world.typesetting import COLUMN, PLAIN_FAMILIES, TextStyle, choose_form, dark_on_light
from drawn_world.wording import ask
from drawn_world.words import pick_digits, pick_letters, pick_word
from qwen2vl.spec.config import FACTOR


def read_word(rng: Random, split: str, ease: float) -> Item:
    """Read a word or random letters; the answer keeps the case."""
    form = choose_form(rng, ease)
    if form == "aligned":
        text = pick_letters(rng, split, _aligned_length(rng, ease))
    else:
        text = pick_letters(rng, split) if rng.random() < 0.3 else pick_word(rng, split)
    text, case = dress(rng, split, text) if form == "full" else (text, "lower")
    return _item(rng, split, "read_word", form, text, case, ease)


def read_number(rng: Random, split: str, ease: float) -> Item:
    """Read a number of one to six digits."""
    form = choose_form(rng, ease)
    return _item(rng, split, "read_number", form, pick_digits(rng, 6 if form == "aligned" else 1), "lower", ease)


def read_lines(rng: Random, split: str, ease: float) -> Item:
    """Read two to four words or letter strings in one style, one below the other: many letters for the cost of one image."""
    form, count = choose_form(rng, ease), 3 if rng.random() < ease else rng.choice((2, 3, 3, 4))
    if form == "aligned":
        length = _aligned_length(rng, ease)
        texts = [pick_letters(rng, split, length) for _ in range(count)]
        style = _choose_word_style(rng, split, form)
        strips = [_draw_aligned(style, text) for text in texts]
    else:
        texts = [pick_letters(rng, split) if rng.random() < 0.3 else pick_word(rng, split) for _ in range(count)]
        style = _choose_word_style(rng, split, form)
        widths = [w * FACTOR for w in range(3, 7) if w * FACTOR >= 12 * max(map(len, texts))]
        width = 4 * FACTOR if rng.random() < ease and 4 * FACTOR in widths else rng.choice(widths)
        strips = [_draw_anywhere(rng, style, text, FACTOR, width) for text in texts]
    image = Image.new("RGB", (strips[0].width, FACTOR * count), style.paper)
    for index, strip in enumerate(strips):
        image.paste(strip, (0, FACTOR * index))
    answer = "\n".join(texts)
    truth = text_truth(answer, read=texts, form=form)
    return image_item("read_lines", [image], ask(rng, "read_lines", ease), answer, truth)


def spaced_lines(rng: Random, split: str, ease: float) -> Item:
    """Read lines of fixed-width letters of any length that start at any pixel: a step between aligned and plain.

    With probability `ease` letters have the distance of aligned ones, otherwise they are closer or wider apart.
    """
    count = 3 if rng.random() < ease else rng.choice((2, 3, 3, 4))
    texts = [
        pick_letters(rng, split, rng.randint(3, 8)) if rng.random() < 0.5 else pick_word(rng, split)
        for _ in range(count)
    ]
    pitch = COLUMN if rng.random() < ease else rng.randint(11, 17)
    width = FACTOR * max(4, -(-pitch * max(map(len, texts)) // FACTOR) + rng.choice((0, 0, 1)))
    style = _choose_word_style(rng, split, "aligned")
    image = Image.new("RGB", (width, FACTOR * count), style.paper)
    for index, text in enumerate(texts):
        left = rng.randint(0, width - pitch * len(text))
        _write_spaced(image, style, text, (left, FACTOR * index), pitch)
    answer = "\n".join(texts)
    truth = text_truth(answer, read=texts, form="spaced")
    return image_item("spaced_lines", [image], ask(rng, "read_lines", ease), answer, truth)


def dress(rng: Random, split: str, text: str) -> tuple[str, str]:
    """The text, in training sometimes with capitals, and the name of its case. Held-out words stay lower-case."""
    roll = rng.random() if split == "train" else 1.0
    if roll < 0.05:
        return text.capitalize(), "capitalised"
    return (text.upper(), "upper") if roll < 0.10 else (text, "lower")


def _aligned_length(rng: Random, ease: float) -> int:
    """Number of aligned letters. The easiest items all have 8: one geometry is learnt fastest."""
    return 8 if rng.random() < ease * 2 - 1 else rng.choice((5, 6, 7, 8))


def _item(rng: Random, split: str, task: str, form: str, text: str, case: str, ease: float) -> Item:
    one_size = rng.random() < ease and len(text) <= 8
    style = _choose_word_style(rng, split, form)
    if form == "aligned":
        image = _draw_aligned(style, text)
    elif form == "plain" and one_size:
        image = _draw_anywhere(rng, style, text, FACTOR, 4 * FACTOR)
    elif form == "plain":
        image = _draw_anywhere(rng, style, text, rng.choice((28, 56)))
    else:
        height = rng.randint(28, 56) if rng.random() < 0.15 else rng.choice((28, 56))
        image = _draw_anywhere(rng, style, text, height)
        if rng.random() < 0.15 and height > 40:
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
        image = palette.noisy(rng, image, rng.randint(3, 14)) if rng.random() < 0.3 else image
    truth = text_truth(text, read=[text], form=form, case=case)
    return image_item(task, [image], ask(rng, task, ease), text, truth)


def _choose_word_style(rng: Random, split: str, form: str) -> TextStyle:
    """Sample a style of a form. Unlike `typesetting.choose_style`, the full form has few fixed-width faces."""
    if form == "aligned":
        ink, paper = dark_on_light(rng)
        face = rng.choice(faces(split, mono=True))
    elif form == "plain":
        face = rng.choice([face for face in faces(split) if face.family in PLAIN_FAMILIES] or faces(split))
        ink, paper = dark_on_light(rng)
    else:
        ink, paper = palette.contrasting(rng) if rng.random() < 0.7 else dark_on_light(rng)
        ink, paper = (paper, ink) if rng.random() < 0.3 else (ink, paper)
        face = rng.choice(faces(split, mono=rng.random() < 0.1))
    return TextStyle(form=form, face=face, ink=ink, paper=paper)


def _draw_aligned(style: TextStyle, text: str) -> Image.Image:
    """Letters in columns of one patch, from the left edge, on an image of whole visual tokens."""
    image = Image.new("RGB", (FACTOR * (len(text) // 2 + len(text) % 2), FACTOR), style.paper)
    _write_spaced(image, style, text, (0, 0), COLUMN)
    return image


def _write_spaced(image: Image.Image, style: TextStyle, text: str, corner: tuple[int, int], pitch: int) -> None:
    """Write letters `pitch` pixels apart, each in the middle of its column, in a line as high as a visual token."""
    size = style.face.fit_size("m", pitch - 1, 24)
    top, bottom = style.face.line_edges(size)
    y = corner[1] + (FACTOR - (bottom - top)) // 2
    for index, letter in enumerate(text):
        width, _ = style.face.ink_size(size, letter)
        style.face.write(image, size, letter, (corner[0] + index * pitch + (pitch - width) // 2, y), style.ink)


def _draw_anywhere(rng: Random, style: TextStyle, text: str, height: int, width: int | None = None) -> Image.Image:
    """The text at a random place of an image that it mostly fills. A sampled width has at least 11 pixels per letter."""
    if width is None:
        width = rng.choice([w * FACTOR for w in range(3, 8) if w * FACTOR >= 11 * len(text)])
        if rng.random() < 0.15:
            width = min(196, width + rng.randint(0, FACTOR - 1))
    face = style.face
    size = face.fit_size(text, int((width - 4) * rng.uniform(0.75, 1)), int((height - 3) * rng.uniform(0.72, 1)))
    image = Image.new("RGB", (width, height), style.paper)
    across, high = face.ink_size(size, text)
    x, y = rng.randint(1, max(1, width - across - 1)), rng.randint(1, max(1, height - high - 1))
    face.write(image, size, text, (x, y), style.ink)
    return image


TASKS = (
    Task("read_word", read_word, "ocr", in_exam=True),
    Task("read_number", read_number, "ocr"),
    Task("read_lines", read_lines, "ocr", lesson=True),
    Task("spaced_lines", spaced_lines, "ocr", lesson=True),
)
