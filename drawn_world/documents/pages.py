"""A small page: a heading and lines "Key: value". Questions ask for the heading or for one value."""

from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from drawn_world import palette
from drawn_world.fonts import faces
from drawn_world.item import Item, dialogue_item, image_item, text_truth
from drawn_world.reading.word_tasks import dress
from drawn_world.task import Task, without_ease
from drawn_world.wording import LABELS, ask
from drawn_world.words import pick_digits, pick_word
from qwen2vl.spec.config import FACTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A drawn page and its texts."""

    image: Image.Image
    heading: str
    entries: tuple[tuple[str, str], ...]
    """Key and value of every line, from the top."""


def page(rng: Random, split: str) -> Item:
    """Give the heading or one value of a page with two to four lines."""
    drawn = make_page(rng, split)
    if rng.random() < 0.25:
        question, answer = ask_heading(rng, drawn)
    else:
        question, answer = ask_value(rng, *rng.choice(drawn.entries))
    return image_item("page", [drawn.image], question, answer, text_truth(answer, read=[answer]))


def ask_heading(rng: Random, drawn: Page, ease: float = 0.0) -> tuple[str, str]:
    """A question for the heading, and its answer."""
    return ask(rng, "page_heading", ease), drawn.heading


def ask_value(rng: Random, key: str, value: str, ease: float = 0.0) -> tuple[str, str]:
    """A question for the value of a key, and its answer."""
    return ask(rng, "page_value", ease, key=key if rng.random() < 0.5 else key.lower()), value


def make_page(rng: Random, split: str, ease: float = 0.0) -> Page:
    """Draw a page; with probability `ease` all pages have one size."""
    heading, _ = dress(rng, split, pick_word(rng, split))
    entries = tuple((key, _value(rng, split, key)) for key in rng.sample(LABELS["page_key"], rng.randint(2, 4)))
    width = rng.choice((140, 168)) if rng.random() < 0.85 else rng.randint(140, 168)
    height = rng.randint(max(4, len(entries) + 3), 8) * FACTOR
    width, height = (6 * FACTOR, 7 * FACTOR) if ease and rng.random() < ease else (width, height)
    image = _draw(rng, split, (width, height), heading, [f"{key}: {value}" for key, value in entries])
    return Page(image=image, heading=heading, entries=entries)


def _value(rng: Random, split: str, key: str) -> str:
    if key in ("Name", "City", "Item") or (key == "Code" and rng.random() < 0.5):
        return pick_word(rng, split)
    if key == "Price":
        return f"{rng.randint(1, 99)}.{rng.choice((0, 5, 9))}{rng.choice((0, 5, 9))}"
    if key == "Date":
        return f"{rng.randint(1, 28)}.{rng.randint(1, 12)}"
    return pick_digits(rng, *{"Room": (1, 3), "Phone": (4, 6)}.get(key, (1, 5)))


def _draw(rng: Random, split: str, size: tuple[int, int], heading: str, lines: list[str]) -> Image.Image:
    """The heading in a larger size, and lines in one size that fits the longest; one page in seven is light on dark."""
    ink, paper = palette.jitter(rng, (25, 25, 25), 25), palette.jitter(rng, (236, 236, 236), 18)
    ink, paper = (ink, paper) if rng.random() < 0.85 else (paper, ink)
    head_face, face = rng.choice(faces(split, mono=False)), rng.choice(faces(split, mono=False))
    image = Image.new("RGB", size, paper)
    margin = rng.randint(4, 9)
    room = size[0] - 2 * margin
    row = size[1] // (len(lines) + 2)
    head_size = max(18, head_face.fit_size(heading, room, min(34, row)))
    head_width, head_height = head_face.ink_size(head_size, heading)
    x = margin if rng.random() < 0.5 else max(margin, (size[0] - head_width) // 2)
    head_face.write(image, head_size, heading, (x, margin), ink)
    y = margin + head_height + rng.randint(3, 8)
    if rng.random() < 0.4:
        ImageDraw.Draw(image).line((margin, y, size[0] - margin, y), fill=ink)
        y += 3
    step = (size[1] - y - 2) // len(lines)
    line_size = min(face.fit_size(line, room, min(step - 2, rng.randint(18, 24))) for line in lines)
    for index, line in enumerate(lines):
        face.write(image, line_size, line, (margin, y + index * step + rng.randint(0, 2)), ink)
    return image


def page_lines(rng: Random, split: str, ease: float) -> Item:
    """The text of a page from the top: small letters, all of them supervised."""
    drawn = make_page(rng, split, ease)
    lines = [drawn.heading, *(f"{key}: {value}" for key, value in drawn.entries)]
    return dialogue_item("page_lines", drawn.image, [(ask(rng, "read_lines", ease), "\n".join(lines))])


def page_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Questions about the heading and about every value of a page."""
    drawn = make_page(rng, split, ease)
    turns = [ask_heading(rng, drawn, ease), *(ask_value(rng, key, value, ease) for key, value in drawn.entries)]
    rng.shuffle(turns)
    return dialogue_item("page_dialogue", drawn.image, turns)


TASKS = (
    Task("page", without_ease(page), "ocr"),
    Task("page_lines", page_lines, "ocr", lesson=True),
    Task("page_dialogue", page_dialogue, "ocr", lesson=True),
)
