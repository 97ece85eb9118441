"""Forms on paper: where keys and values of a shape stand. What they are is forms' business."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image

from drawn_world.typesetting import COLUMN, COLUMNS, MAX_SIDE, Sheet, TextStyle, fit_texts, whole_tokens
from qwen2vl.spec.config import FACTOR

SHAPES = {"train": ("colon", "dotted", "boxed", "cells"), "val": ("under",), "test": ("lined",)}
"""Where a value stands: behind a colon, on dots, in a box beside or under its key, in the cell beside it, on a line."""
Fields = Sequence[tuple[str, str]]  # key and value, "" for an empty field
Drawn = tuple[Image.Image, dict[str, Any]]  # image, and how it was made


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where the fields of a form lie, in pixels."""

    size: int
    """Of the letters."""
    margin: int
    step: int
    """From field to field."""
    value_x: int
    """Where values begin that stand in a column."""
    ragged: bool
    """Values stand right behind their keys instead, where the shape allows it."""


def draw_in_columns(rng: Random, style: TextStyle, fields: Fields) -> Drawn:
    """Every field in 28 pixels of its own, values from the seventh column on."""
    sheet = Sheet(rng, style, (COLUMNS * COLUMN, FACTOR * len(fields)))
    for row, (key, value) in enumerate(fields):
        sheet.write(FACTOR, key, (0, row * FACTOR))
        _put(sheet, FACTOR, value, (COLUMNS // 2 * COLUMN, row * FACTOR))
    return sheet.finish(rng, FACTOR)


def draw_freely(rng: Random, style: TextStyle, shape: str, title: str, fields: Fields, ease: float) -> Drawn:
    """One letter size for all fields, from the longest of them."""
    margin = 6 if rng.random() < ease else rng.randint(4, 10)
    step = FACTOR if rng.random() < ease else rng.randint(22, 32)
    step = min(2 * step - 8 if shape == "under" else step, (MAX_SIDE - 2 * margin - 28) // len(fields))
    width = (6 if rng.random() < ease else rng.randint(5, 7)) * FACTOR
    high = min(step // 2 - 4 if shape == "under" else step - 6, 20 if rng.random() < ease else rng.randint(15, 22))
    longest = (max(texts, key=lambda text: style.face.ink_size(32, text)[0]) for texts in zip(*fields, strict=True))
    width, size = fit_texts(style, [":      ".join(longest)], width, margin, high)
    gap = 8 if rng.random() < ease else rng.randint(6, 14)
    at = Geometry(
        size=size,
        margin=margin,
        step=step,
        value_x=margin + max(style.face.ink_size(size, f"{key}:")[0] for key, _ in fields) + gap,
        ragged=rng.random() >= ease and rng.random() < 0.5,
    )
    top = margin + (24 if title else 0)
    sheet = Sheet(rng, style, (width, whole_tokens(min(MAX_SIDE, top + step * len(fields) + margin - 4))))
    _put(sheet, min(20, size + 3), title, (margin, margin))
    for row, (key, value) in enumerate(fields):
        _DRAW[shape](sheet, at, key, value, top + row * step)
    return sheet.finish(rng, size)


def _colon(sheet: Sheet, at: Geometry, key: str, value: str, y: int) -> None:
    end = sheet.write(at.size, f"{key}:", (at.margin, y))[2]
    _put(sheet, at.size, value, (end + 7 if at.ragged else at.value_x, y))


def _dotted(sheet: Sheet, at: Geometry, key: str, value: str, y: int) -> None:
    _, _, end, bottom = sheet.write(at.size, key, (at.margin, y))
    sheet.rule((end + 3, bottom + 1, sheet.image.width - at.margin, bottom + 2), gap=2)
    _put(sheet, at.size, value, (end + 7 if at.ragged else at.value_x, y))


def _lined(sheet: Sheet, at: Geometry, key: str, value: str, y: int) -> None:
    _, _, _, bottom = sheet.write(at.size, key, (at.margin, y))
    sheet.rule((at.value_x, bottom + 1, sheet.image.width - at.margin, bottom + 2))
    _put(sheet, at.size, value, (at.value_x + 3, y))


def _boxed(sheet: Sheet, at: Geometry, key: str, value: str, y: int) -> None:
    _, top, _, bottom = sheet.write(at.size, key, (at.margin, y + 2))
    sheet.frame((at.value_x, top - 3, sheet.image.width - at.margin, bottom + 3))
    _put(sheet, at.size, value, (at.value_x + 4, y + 2))


def _cells(sheet: Sheet, at: Geometry, key: str, value: str, y: int) -> None:
    """The cells share their lines with those of the next field."""
    right, bottom = sheet.image.width - at.margin + 2, y + at.step + 1
    sheet.frame((at.margin - 3, y, at.value_x + 1, bottom))
    sheet.frame((at.value_x, y, right, bottom))
    down = (at.step - sheet.style.face.ink_size(at.size, key)[1]) // 2
    sheet.write(at.size, key, (at.margin, y + down))
    _put(sheet, at.size, value, (at.value_x + 4, y + down))


def _under(sheet: Sheet, at: Geometry, key: str, value: str, y: int) -> None:
    _, _, _, bottom = sheet.write(at.size, key, (at.margin, y))
    high = sheet.style.face.ink_size(at.size, key)[1]
    sheet.frame((at.margin, bottom + 1, sheet.image.width - at.margin, bottom + high + 5))
    _put(sheet, at.size, value, (at.margin + 4, bottom + 3))


def _put(sheet: Sheet, size: int, text: str, corner: tuple[int, int]) -> None:
    if text:
        sheet.write(size, text, corner)


_DRAW: dict[str, Callable[[Sheet, Geometry, str, str, int], None]] = {
    "colon": _colon,
    "dotted": _dotted,
    "lined": _lined,
    "boxed": _boxed,
    "cells": _cells,
    "under": _under,
}
