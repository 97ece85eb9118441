"""One word or one number on a small image, in three forms from easy to full.

    aligned   fixed-width letters, one per 14-pixel column (one patch) from the left edge, dark on light
    plain     a few common faces, dark on light, anywhere across the image
    full      every face of the split, free colours, both polarities, blur and noise

`ease` 1 is all aligned, 0.5 all plain, 0 all full, and a mixture between: dense, aligned supervision first is what
makes reading learnable at this size.
"""

from random import Random

from PIL import Image, ImageFilter

from drawn_world import palette
from drawn_world.fonts import Face, faces
from drawn_world.item import Item, image_item, text_truth
from drawn_world.lettering import fit_size, ink_size, line_height, write
from drawn_world.task import Task
from drawn_world.typesetting import COLUMN, PLAIN_FAMILIES, choose_form, dark_on_light
from drawn_world.wording import ask
from drawn_world.words import pick_digits, pick_letters, pick_word
from qwen2vl.spec.config import FACTOR


def read_word(rng: Random, split: str, ease: float) -> Item:
    """A word, or random letters; answered as written."""
    form = choose_form(rng, ease)
    if form == "aligned":
        text = pick_letters(rng, split, _columns(rng, ease))
    else:
        text = pick_letters(rng, split) if rng.random() < 0.3 else pick_word(rng, split)
    text, case = dress(rng, split, text) if form == "full" else (text, "lower")
    return _item(rng, split, "read_word", form, text, case, ease)


def read_number(rng: Random, split: str, ease: float) -> Item:
    """One to six digits."""
    form = choose_form(rng, ease)
    return _item(rng, split, "read_number", form, pick_digits(rng, 6 if form == "aligned" else 1), "lower", ease)


def read_lines(rng: Random, split: str, ease: float) -> Item:
    """Two to four words or letter strings, one below the other, in one style: many letters for one image's cost."""
    form, count = choose_form(rng, ease), 3 if rng.random() < ease else rng.choice((2, 3, 3, 4))
    if form == "aligned":
        length = _columns(rng, ease)
        texts = [pick_letters(rng, split, length) for _ in range(count)]
        ink, paper = dark_on_light(rng)
        face = rng.choice(faces(split, mono=True))
        strips = [_letters_in_columns(face, text, ink, paper) for text in texts]
    else:
        texts = [pick_letters(rng, split) if rng.random() < 0.3 else pick_word(rng, split) for _ in range(count)]
        face, ink, paper = _plain_style(rng, split) if form == "plain" else _full_style(rng, split)
        widths = [w * FACTOR for w in range(3, 7) if w * FACTOR >= 12 * max(map(len, texts))]
        width = 4 * FACTOR if rng.random() < ease and 4 * FACTOR in widths else rng.choice(widths)
        strips = [_set(rng, text, face, ink, paper, height=FACTOR, width=width) for text in texts]
    image = Image.new("RGB", (strips[0].width, FACTOR * count), paper)
    for index, strip in enumerate(strips):
        image.paste(strip, (0, FACTOR * index))
    answer = "\n".join(texts)
    truth = text_truth(answer, read=texts, form=form)
    return image_item("read_lines", [image], ask(rng, "read_lines", ease), answer, truth)


def spaced_lines(rng: Random, split: str, ease: float) -> Item:
    """Fixed-width letters again, but lines of any length from any pixel: between aligned and plain.

    With probability `ease` at the pitch of aligned letters, otherwise closer or wider.
    """
    count = 3 if rng.random() < ease else rng.choice((2, 3, 3, 4))
    texts = [
        pick_letters(rng, split, rng.randint(3, 8)) if rng.random() < 0.5 else pick_word(rng, split)
        for _ in range(count)
    ]
    pitch = COLUMN if rng.random() < ease else rng.randint(11, 17)
    width = FACTOR * max(4, -(-pitch * max(map(len, texts)) // FACTOR) + rng.choice((0, 0, 1)))
    ink, paper = dark_on_light(rng)
    face = rng.choice(faces(split, mono=True))
    image = Image.new("RGB", (width, FACTOR * count), paper)
    for index, text in enumerate(texts):
        left = rng.randint(0, width - pitch * len(text))
        _write_spaced(image, face, text, (left, FACTOR * index), pitch, ink)
    answer = "\n".join(texts)
    truth = text_truth(answer, read=texts, form="spaced")
    return image_item("spaced_lines", [image], ask(rng, "read_lines", ease), answer, truth)


def dress(rng: Random, split: str, text: str) -> tuple[str, str]:
    """The text as written and its case; held-out words stay lower-case."""
    roll = rng.random() if split == "train" else 1.0
    if roll < 0.05:
        return text.capitalize(), "capitalised"
    return (text.upper(), "upper") if roll < 0.10 else (text, "lower")


def _columns(rng: Random, ease: float) -> int:
    """Letters of an aligned line. All of one length at first: nothing learns faster than one geometry."""
    return 8 if rng.random() < ease * 2 - 1 else rng.choice((5, 6, 7, 8))


def _item(rng: Random, split: str, task: str, form: str, text: str, case: str, ease: float) -> Item:
    easier_plain = rng.random() < ease and len(text) <= 8
    draw = {"aligned": _aligned, "plain": _plain_one_size if easier_plain else _plain, "full": _full}[form]
    truth = text_truth(text, read=[text], form=form, case=case)
    return image_item(task, [draw(rng, split, text)], ask(rng, task, ease), text, truth)


def _aligned(rng: Random, split: str, text: str) -> Image.Image:
    ink, paper = dark_on_light(rng)
    return _letters_in_columns(rng.choice(faces(split, mono=True)), text, ink, paper)


def _letters_in_columns(face: Face, text: str, ink: palette.Rgb, paper: palette.Rgb) -> Image.Image:
    image = Image.new("RGB", (FACTOR * (len(text) // 2 + len(text) % 2), FACTOR), paper)
    _write_spaced(image, face, text, (0, 0), COLUMN, ink)
    return image


def _write_spaced(
    image: Image.Image, face: Face, text: str, corner: tuple[int, int], pitch: int, ink: palette.Rgb
) -> None:
    """Letters one pitch apart, each in the middle of its column, in a line of one visual token's height."""
    size = fit_size(face, "m", pitch - 1, 24)
    top, bottom = line_height(face, size)
    y = corner[1] + (FACTOR - (bottom - top)) // 2
    for index, letter in enumerate(text):
        width, _ = ink_size(face, size, letter)
        write(image, face, size, letter, (corner[0] + index * pitch + (pitch - width) // 2, y), ink)


Style = tuple[Face, palette.Rgb, palette.Rgb]  # face, ink, paper


def _plain_style(rng: Random, split: str) -> Style:
    common = [face for face in faces(split) if face.family in PLAIN_FAMILIES]
    return rng.choice(common or faces(split)), *dark_on_light(rng)


def _full_style(rng: Random, split: str) -> Style:
    ink, paper = palette.contrasting(rng) if rng.random() < 0.7 else dark_on_light(rng)
    if rng.random() < 0.3:
        ink, paper = paper, ink
    face = rng.choice(faces(split, mono=True) if rng.random() < 0.1 else faces(split, mono=False))
    return face, ink, paper


def _plain(rng: Random, split: str, text: str) -> Image.Image:
    return _set(rng, text, *_plain_style(rng, split), height=rng.choice((28, 56)))


def _plain_one_size(rng: Random, split: str, text: str) -> Image.Image:
    return _set(rng, text, *_plain_style(rng, split), height=FACTOR, width=4 * FACTOR)


def _full(rng: Random, split: str, text: str) -> Image.Image:
    face, ink, paper = _full_style(rng, split)
    height = rng.randint(28, 56) if rng.random() < 0.15 else rng.choice((28, 56))
    image = _set(rng, text, face, ink, paper, height=height)
    if rng.random() < 0.15 and height > 40:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    return palette.noisy(rng, image, rng.randint(3, 14)) if rng.random() < 0.3 else image


def _set(
    rng: Random, text: str, face: Face, ink: palette.Rgb, paper: palette.Rgb, *, height: int, width: int | None = None
) -> Image.Image:
    """The text at a random place, filling a good share of the image; at least 11 pixels of width a letter."""
    if width is None:
        width = rng.choice([w * FACTOR for w in range(3, 8) if w * FACTOR >= 11 * len(text)])
        if rng.random() < 0.15:
            width = min(196, width + rng.randint(0, FACTOR - 1))
    size = fit_size(face, text, int((width - 4) * rng.uniform(0.75, 1)), int((height - 3) * rng.uniform(0.72, 1)))
    image = Image.new("RGB", (width, height), paper)
    across, high = ink_size(face, size, text)
    x, y = rng.randint(1, max(1, width - across - 1)), rng.randint(1, max(1, height - high - 1))
    write(image, face, size, text, (x, y), ink)
    return image


TASKS = (
    Task("read_word", read_word, "ocr", exams=("nano", "exam")),
    Task("read_number", read_number, "ocr", exams=("nano",)),
    Task("read_lines", read_lines, "ocr", lesson=True),
    Task("spaced_lines", spaced_lines, "ocr", lesson=True),
)
