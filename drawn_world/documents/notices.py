"""Notices: pages with a title, paragraphs, a list, in one or two columns. Read all, a paragraph, the list or a line.

Not here: pages of keys and values (pages.py), and single paragraphs (reading.paragraphs).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from PIL import Image

from drawn_world.documents.lookups import DrawnDocument, Lookup, neighbours
from drawn_world.documents.notations import HIGH, WIDE, another_face, document_style, ink_size
from drawn_world.item import Item
from drawn_world.task import Task
from drawn_world.typesetting import Sheet, TextStyle, choose_size, whole_tokens
from drawn_world.wording import LABELS, ask
from drawn_world.words import pick_word
from qwen2vl.spec.config import FACTOR

BULLETS = ("-", "*", "+", "{}.", "{})", "{}")
"""What is before a point of a list; the easy one is first."""
LEAST_LEADING = 2
TABLE_OF_SIDES = ("left", "left", "left", "centre")
"""Alignment of the title."""


@dataclass(slots=True, kw_only=True)
class NoticeDraft:
    """Texts of a notice, and the lines that they fill."""

    title: str
    paragraphs: list[list[str]]
    """Words of every paragraph."""
    points: list[str]
    """Points of the list with their bullets; empty without a list."""
    blocks: list[list[str]] = field(default_factory=list)
    """Lines of every paragraph, and of the list at the end."""

    def break_lines(self, style: TextStyle, size: int, width: int) -> None:
        """Fill lines up to a width in pixels."""
        self.blocks = [_filled(style, size, words, width) for words in self.paragraphs]
        if self.points:
            self.blocks.append(self.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(DrawnDocument):
    """A drawn notice."""

    title: str
    paragraphs: tuple[str, ...]
    """Lines of every paragraph, joined by line ends."""
    points: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """All lines in the order in which they are read."""
        texts = [self.title, *self.paragraphs, *self.points]
        return [line for text in texts if text for line in text.split("\n")]

    def lookups(self, rng: Random, split: str, ease: float) -> list[Lookup]:
        """Every question for a part of the notice."""
        found: list[tuple[str, str, dict[str, str]]] = [("page_title", self.title, {})] if self.title else []
        if len(self.paragraphs) > 1:
            numbers = LABELS["ordinal"]
            found += [("page_paragraph", text, {"number": numbers[at]}) for at, text in enumerate(self.paragraphs)]
        if self.points:
            found += [("page_points", str(len(self.points)), {}), ("page_list", "\n".join(self.points), {})]
        found.append(("document_kind", "page", {}))
        every = [
            Lookup(question=ask(rng, name, ease, split, **parts), answer=answer, subject={"asked": name, **parts})
            for name, answer, parts in found
        ]
        return every + neighbours(self.lines, lambda name, **parts: ask(rng, name, ease, split, **parts), rng)


def notice_lines(rng: Random, split: str, ease: float) -> Item:
    """Read the whole page, columns one after the other."""
    drawn = make_notice(rng, split, ease)
    return drawn.reading("notice_lines", ask(rng, "page_text", ease, split), "\n".join(drawn.lines))


def notice_dialogue(rng: Random, split: str, ease: float) -> Item:
    """Four to six questions for parts of the page, fewer where it has few."""
    drawn = make_notice(rng, split, ease)
    return drawn.dialogue(rng, "notice_dialogue", drawn.lookups(rng, split, ease))


def make_notice(rng: Random, split: str, ease: float) -> Notice:
    """Draw a page; ease 1 gives a title and two short paragraphs in one column."""
    style = document_style(rng, split, min(ease, 0.5))
    count = 2 if rng.random() < ease else rng.randint(1, 3)
    most = max(3, round(14 - 10 * ease))
    paragraphs = [[pick_word(rng, split) for _ in range(rng.randint(3, most))] for _ in range(count)]
    if split == "train" and rng.random() >= ease:
        paragraphs = [[words[0].capitalize(), *words[1:-1], f"{words[-1]}."] for words in paragraphs]
    bullet, points = rng.choice(BULLETS), list[str]()
    if rng.random() < 0.4 * (1 - ease):
        texts = [" ".join(pick_word(rng, split) for _ in range(rng.randint(1, 2))) for _ in range(rng.randint(2, 5))]
        points = [f"{bullet.format(number)} {text}" for number, text in enumerate(texts, 1)]
    title = "" if rng.random() < 0.2 * (1 - ease) else " ".join(pick_word(rng, split) for _ in range(rng.randint(1, 2)))
    draft = NoticeDraft(title=title.capitalize() if split == "train" else title, paragraphs=paragraphs, points=points)
    image, made = _draw(rng, style, draft, split, ease)
    scene = {"title": draft.title, "blocks": draft.blocks, "points": len(points), **made}
    held = tuple("\n".join(lines) for lines in draft.blocks[: len(paragraphs)])
    return Notice(image=image, scene=scene, title=draft.title, paragraphs=held, points=tuple(points))


def _draw(
    rng: Random, style: TextStyle, draft: NoticeDraft, split: str, ease: float
) -> tuple[Image.Image, dict[str, Any]]:
    """The image of a notice, and a description of how it was made. Letters shrink until all lines fit."""
    size = 16 if rng.random() < ease else choose_size(rng, 11, 20)
    easy = rng.random() < ease  # then two short paragraphs fit one size of image
    margin, leading = (6, 4) if easy else (rng.randint(4, 16), rng.randint(LEAST_LEADING, 8))
    columns = 2 if len(draft.paragraphs) + bool(draft.points) > 1 and rng.random() < 0.25 * (1 - ease) else 1
    width = whole_tokens(rng.randint(260, WIDE) if columns == 2 else 7 * FACTOR if easy else rng.randint(140, 280))
    title_scale = 1.2 if easy else rng.uniform(1.0, 1.7)
    title_style = another_face(rng, style, split, 0.5)
    while True:
        across = (width - 2 * margin - 14 * (columns - 1)) // columns
        draft.break_lines(style, size, across)
        step, gap = ink_size(style, size, "x")[1] + leading, size * 2 // 3 + leading
        split_at = (len(draft.blocks) + 1) // 2 if columns == 2 else len(draft.blocks)
        parts = [draft.blocks[:split_at], draft.blocks[split_at:]]
        tall = max(sum(len(block) * step + gap for block in part) for part in parts)
        wide = max(ink_size(style, size, line)[0] for block in draft.blocks for line in block)
        title_size = max(8, round(size * title_scale))
        title_wide, title_high = ink_size(title_style, title_size, draft.title or "x")
        fits = wide <= across and title_wide <= width - 2 * margin
        top = margin + (title_high + gap if draft.title else 0)
        if size == 8 or (fits and top + tall <= HIGH):
            break
        size, title_scale = size - 1, max(1.0, title_scale - 0.1)
    sheet = Sheet(
        rng, style, (width, min(HIGH, max(whole_tokens(top + tall + margin - gap + 2), 6 * FACTOR if easy else FACTOR)))
    )
    side = rng.choice(TABLE_OF_SIDES)
    indent = max(0, (width - 2 * margin - title_wide) // 2) if side == "centre" else 0
    sheet.write(title_size, draft.title, (margin + indent, margin), style=title_style)
    for column, part in enumerate(parts):
        _write_column(sheet, size, part, (margin + column * (across + 14), top), (step, gap))
    image, made = sheet.finish(rng, size)
    return image, {"columns": columns, **made}


def _write_column(
    sheet: Sheet, size: int, blocks: Sequence[Sequence[str]], corner: tuple[int, int], steps: tuple[int, int]
) -> None:
    """Write blocks of lines below each other. steps: distance of lines, and more between blocks."""
    x, y = corner
    for block in blocks:
        for line in block:
            sheet.write(size, line, (x, y))
            y += steps[0]
        y += steps[1]


def _filled(style: TextStyle, size: int, words: Sequence[str], width: int) -> list[str]:
    """Lines of as many words as fit a width."""
    lines = [words[0]]
    for word in words[1:]:
        longer = f"{lines[-1]} {word}"
        if ink_size(style, size, longer)[0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


TASKS = (
    Task("notice_lines", notice_lines, "ocr", lesson=True),
    Task("notice_dialogue", notice_dialogue, "ocr", lesson=True),
)
