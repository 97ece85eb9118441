"""How forms are laid out and drawn: place and marks of the values, columns of fields, sections, title, spacing.

Training layouts come from a procedure. A value in a box under its key is for val alone, a value on a line beside its key for
test alone. Not here: what a form says and the questions about it (forms.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from PIL import Image

from drawn_world import palette
from drawn_world.documents.notations import HIGH, WIDE, another_face, faint, ink_size
from drawn_world.typesetting import MAX_SIDE, Sheet, TextStyle, choose_size, whole_tokens

PLACES = {"train": ("beside", "ragged", "edge", "below", "above"), "val": ("below",), "test": ("beside",)}
"""Place of a value: in a column beside the keys, directly after its key, at the right edge, under its key, over its key."""
MARKS = {
    "train": ("none", "dots", "box", "cells", "leader", "shade", "stripes", "filled"),
    "val": ("boxed_below",),
    "test": ("line",),
}
"""What is drawn around values: nothing, dots under them, a box, cells of a table, dots from the key, a shade, shaded rows,
a white box, a box under the key, a line under them. The first of a split is the easy one."""
BOXES = ("box", "boxed_below", "shade", "cells", "filled")
"""Marks that need space around a value."""
ENDS = ("", "", "", " -", " =", ".", ")", " :")
"""What follows a key in training."""


@dataclass(slots=True, kw_only=True)
class FormLayout:
    """How one form is drawn; lengths are in pixels."""

    place: str
    """One of PLACES."""
    mark: str
    """One of MARKS."""
    end: str
    """What follows a key."""
    columns: int
    """Columns of fields, filled row by row."""
    key_style: TextStyle
    value_style: TextStyle
    size: int
    """Letter size of values."""
    key_ink: float
    """Share of ink in the colour of keys; 1 is that of values."""
    key_scale: float
    """Letter size of keys as a multiple of it."""
    margin: int
    leading: int
    """Space below every field."""
    gap: int
    """Space between a key and its value."""

    @property
    def key_size(self) -> int:
        """Letter size of keys."""
        return max(8, round(self.size * self.key_scale))

    @property
    def stacked(self) -> bool:
        """Whether key and value are on lines of their own."""
        return self.place in ("below", "above")

    def highs(self) -> tuple[int, int]:
        """Heights of a key and of a value."""
        return ink_size(self.key_style, self.key_size, "x")[1], ink_size(self.value_style, self.size, "x")[1]

    def step(self) -> int:
        """Distance from one field to the next below it."""
        key, value = self.highs()
        boxed = 6 if self.mark in BOXES else 0
        return (key + value + 4 if self.stacked else max(key, value)) + boxed + self.leading

    def key_width(self, fields: Sequence[tuple[str, str]]) -> int:
        """Width of the longest key."""
        return max(ink_size(self.key_style, self.key_size, key + self.end)[0] for key, _ in fields)

    def field_width(self, fields: Sequence[tuple[str, str]]) -> int:
        """Least width of a field."""
        keys = self.key_width(fields)
        values = max(ink_size(self.value_style, self.size, value or "x")[0] for _, value in fields) + 10
        return max(keys, values) if self.stacked else keys + self.gap + values

    def write_field(self, sheet: Sheet, field: tuple[str, str], box: tuple[int, int, int], value_x: int) -> None:
        """Write one field; an empty value leaves its place empty.

        box: left edge, top and right edge. value_x: left edge of the values in this column.
        """
        (key, value), (left, top, right), (key_high, high) = field, box, self.highs()
        pad = 3 if self.mark in BOXES else 0
        if self.stacked:
            key_y, value_y = (
                (top, top + key_high + 2 + pad) if self.place == "below" else (top + high + 3 + 2 * pad, top + pad)
            )
            x = left + (4 if pad else 0)
        else:
            key_y, value_y = top + pad, top + pad
            x = value_x + (4 if pad else 0)
        line = self.step() - self.leading
        place = (left if self.stacked else value_x, value_y - pad, right, value_y + high + pad)
        self._mark_under(sheet, place, (left, top, right, line))
        key_ink = faint(sheet.style, self.key_ink)
        end = sheet.write(self.key_size, key + self.end, (left, key_y), key_ink, self.key_style)[2]
        across = ink_size(self.value_style, self.size, value or "x")[0]
        if self.place == "edge":
            x = max(x, right - across - 4)
        if self.place == "ragged" and not pad:
            x = min(end + self.gap, right - across)
        if self.mark == "leader" and value and not self.stacked and x - end > 16:
            sheet.rule((end + 4, value_y + high - 3, x - 4, value_y + high - 2), gap=3)
        if self.mark in ("dots", "line"):
            start = end + 3 if self.place == "ragged" and self.mark == "dots" else place[0]
            gap = 2 if self.mark == "dots" else 0
            sheet.rule((start, place[3] + 1, right, place[3] + 2), gap=gap)
            x = x + 3 if self.mark == "line" else x
        sheet.write(self.size, value, (x, value_y), style=self.value_style)

    def _mark_under(self, sheet: Sheet, place: tuple[int, int, int, int], field: tuple[int, int, int, int]) -> None:
        """Draw boxes, cells and shades, on which texts are written. field: left, top, right and height of the field."""
        left, top, right, line = field
        if self.mark in ("box", "boxed_below"):
            sheet.frame(place)
        elif self.mark == "filled":
            white = (255, 255, 255) if palette.luma(sheet.style.paper) > palette.luma(sheet.style.ink) else (0, 0, 0)
            box = (*place[:2], place[2] - 1, place[3] - 1)
            sheet.pen.rectangle(box, fill=white, outline=faint(sheet.style, 0.4))
        elif self.mark == "cells":
            half = self.leading // 2
            sheet.frame((left - 3, top - half, right, top + line + self.leading - half + 1))
            if not self.stacked:
                sheet.frame((place[0], top - half, right, top + line + self.leading - half + 1))
        elif self.mark == "shade":
            sheet.pen.rectangle((*place[:2], place[2] - 1, place[3] - 1), fill=faint(sheet.style))


def sample_layout(rng: Random, style: TextStyle, split: str, ease: float, fields: int) -> FormLayout:
    """A layout of the split; ease 1 gives values in a column after keys with a colon."""
    easy, free = rng.random() < ease, split == "train"
    mark = MARKS[split][0] if easy else rng.choice(MARKS[split])
    place = PLACES[split][0] if easy else rng.choice(PLACES[split])
    if place == "below" and mark in ("box", "filled"):
        mark = "shade"  # a box under a key is the layout of val
    end = (":" if easy or rng.random() < 0.4 else rng.choice(ENDS)) if free and place != "above" else ""
    leading = 10 if rng.random() < ease else rng.randint(5, 18)
    return FormLayout(
        place=place,
        mark=mark,
        end=end,
        columns=2 if free and fields >= 4 and rng.random() < 0.25 * (1 - ease) else 1,
        key_style=another_face(rng, style, split, 0.35 * (1 - ease)) if free else style,
        value_style=another_face(rng, style, split, 0.35 * (1 - ease)) if free else style,
        size=16 if rng.random() < ease else choose_size(rng, 11, 22) if free else choose_size(rng, 13, 18),
        key_ink=1.0 if not free or rng.random() < 0.75 + 0.25 * ease else rng.uniform(0.6, 0.9),
        key_scale=1.0 if not free or rng.random() < ease else rng.choice((0.8, 0.9, 1.0, 1.0, 1.15)),
        margin=6 if rng.random() < ease else rng.randint(4, 16 if free else 10),
        leading=leading + (6 if place in ("below", "above") else 0),  # a value is nearer to its key than to the next
        gap=8 if rng.random() < ease else rng.randint(6, 30 if free else 14),
    )


def draw_form(
    rng: Random,
    style: TextStyle,
    title: str,
    sections: Sequence[tuple[str, Sequence[tuple[str, str]]]],
    split: str,
    ease: float,
) -> tuple[Image.Image, dict[str, Any]]:
    """The image of a form, and a description of how it was made. sections: their titles, which may be empty, and fields."""
    fields = [field for _, of in sections for field in of]
    layout = sample_layout(rng, style, split, ease, len(fields))
    title_scale = 1.2 if rng.random() < ease else rng.uniform(1.0, 1.6)
    wide, high = (WIDE, HIGH) if split == "train" else (MAX_SIDE, MAX_SIDE)

    def title_high() -> int:
        return ink_size(style, round(layout.size * title_scale), "x")[1] + 8 if title else 0

    def rows() -> int:
        return sum(-(-len(of) // layout.columns) for _, of in sections)

    def need() -> tuple[int, int]:
        heads = sum(bool(name) for name, _ in sections) * (layout.highs()[0] + 12)
        across = layout.field_width(fields) * layout.columns + (layout.columns - 1) * 12 + 2 * layout.margin
        across = max(across, ink_size(style, round(layout.size * title_scale), title or "x")[0] + 2 * layout.margin)
        across = max(
            across,
            *(ink_size(layout.key_style, layout.key_size, name or "x")[0] + 2 * layout.margin for name, _ in sections),
        )
        return across, title_high() + heads + rows() * layout.step() + 2 * layout.margin

    while layout.size > 8 and (need()[0] > wide or need()[1] > high):
        if layout.columns > 1 and need()[0] > wide:
            layout.columns = 1
            continue
        layout.size, layout.leading = layout.size - 1, max(8 if layout.stacked else 4, layout.leading - 1)
        layout.gap, layout.margin = max(5, layout.gap - 2), max(4, layout.margin - 1)
    spare = 1.0 if rng.random() < ease else rng.uniform(1.0, 1.35)
    width = min(wide, whole_tokens(max(112, round(need()[0] * spare))))
    sheet = Sheet(rng, style, (width, min(high, whole_tokens(need()[1]))))
    y = layout.margin
    centred = rng.random() < 0.4 * (1 - ease)
    if title:
        size = round(layout.size * title_scale)
        across = ink_size(style, size, title)[0]
        sheet.write(size, title, (max(layout.margin, (width - across) // 2) if centred else layout.margin, y))
        y += title_high()
    ruled = rng.random() < 0.5
    for name, of in sections:
        y = _draw_section(sheet, layout, name, of, y, layout.key_width(fields) + layout.gap, ruled)
    image, made = sheet.finish(rng, layout.size)
    return image, {"shape": layout.mark, "place": layout.place, "end": layout.end, "columns": layout.columns, **made}


def _draw_section(
    sheet: Sheet,
    layout: FormLayout,
    name: str,
    fields: Sequence[tuple[str, str]],
    y: int,
    key_width: int,
    ruled: bool,
) -> int:
    """Draw the fields of one section below its title; returns the top of what follows."""
    margin, width = layout.margin, sheet.image.width
    if name:
        bottom = sheet.write(layout.key_size, name, (margin, y + 2), style=layout.key_style)[3]
        if ruled:
            sheet.rule((margin, bottom + 1, width - margin, bottom + 2))
        y += layout.highs()[0] + 12
    across = (width - 2 * margin - 12 * (layout.columns - 1)) // layout.columns
    for index, field in enumerate(fields):
        row, column = divmod(index, layout.columns)
        left, top = margin + column * (across + 12), y + row * layout.step()
        if layout.mark == "stripes" and row % 2 == 0 and column == 0:
            box = (margin - 3, top - 2, width - margin + 2, top + layout.step() - 3)
            sheet.pen.rectangle(box, fill=faint(sheet.style))
        layout.write_field(sheet, field, (left, top, left + across), left + key_width)
    return y + -(-len(fields) // layout.columns) * layout.step()
