"""Text of other projects: placeholders of images and videos, boxes in the markup of three generations, objects of ms-swift.

    <image>, <video>                                           the next file that the record names
    <|vision_start|><|image_pad|><|vision_end|>                the same, as the published template renders it
    <|object_ref_start|>..<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>     markup of Qwen2-VL
    <ref>..</ref><box>(1,2),(3,4)</box>                        markup of Qwen-VL
    <ref-object>, <bbox>                                       the next label and box of the record's "objects"

A reply keeps its markup as text, which is trained as control tokens. In all other messages a box becomes a box part and
a label without a box its plain text, because markup in the text of users is letters to the model.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwen2vl.common.errors import MediaError, RecordError
from qwen2vl.processing.grounding import FRAME, Size, box_markup, point_markup, to_thousandths
from qwen2vl.spec.tokens import BOX_END, BOX_START, QUAD_END, QUAD_START, REF_END, REF_START

SizeOf = Callable[[str], Size]
"""Width and height of the upright image at a path. Raises MediaError."""

_PLACEHOLDER = re.compile(
    r"[ \t]*\n?<(image|video)>\n?|"
    + re.escape("<|vision_start|><|")
    + r"(image|video)"
    + re.escape("_pad|><|vision_end|>")
)
"""A placeholder; `<image>` with the blanks before it and a line break on each side, which are no part of the text."""

_NUMBERS = r"\(\s*\d+\s*,\s*\d+\s*\)(?:\s*,?\s*\(\s*\d+\s*,\s*\d+\s*\))*"
_OLD_MARKUP = re.compile(rf"(?:<ref>([^<]*)</ref>)?((?:<(box|quad)>\s*{_NUMBERS}\s*</\3>)+)", re.ASCII)
_PLACE = re.compile(
    f"(?:{re.escape(REF_START)}(?P<label>[^<]*){re.escape(REF_END)})?"
    rf"{re.escape(BOX_START)}\s*(?P<pairs>{_NUMBERS})\s*{re.escape(BOX_END)}"
    f"|{re.escape(REF_START)}(?P<alone>[^<]*){re.escape(REF_END)}",
    re.ASCII,
)


class Files:
    """Images and videos that a record names, taken one after the other by the placeholders of its text."""

    def __init__(self, named: Mapping[str, Sequence[Any]]) -> None:
        self.named = named
        self._left = {kind: iter(files) for kind, files in named.items()}

    def take(self, where: str, kind: str) -> Any:
        """The next file. Raises RecordError when there is none."""
        file = next(self._left[kind], None)
        if file is None:
            raise RecordError(where, f"has a <{kind}> for which no file is named")
        return file

    def refuse_unused(self) -> None:
        """Raise RecordError when no placeholder took some of the files."""
        for kind, left in self._left.items():
            unused = sum(1 for _ in left)
            if unused:
                total = len(self.named[kind])
                raise RecordError(kind, f"{total} {kind} files are named, but the text has {total - unused} <{kind}>")


@dataclass(frozen=True, slots=True)
class Objects:
    """Labels and boxes of "objects" as markup, taken one after the other by `<ref-object>` and `<bbox>`."""

    labels: Iterator[str]
    boxes: Iterator[str]

    @classmethod
    def read(cls, raw: Any, images: Sequence[Any], size_of: SizeOf) -> "Objects":
        """The "objects" of ms-swift. Boxes are in pixels of the upright image, or in shares of it if "bbox_type" is "norm1".

        Raises RecordError.
        """
        if not isinstance(raw, Mapping):
            raise RecordError("objects", 'must be {"ref": [labels], "bbox": [boxes]}')
        known = ("ref", "bbox", "bbox_type", "image_id")
        if unknown := sorted(set(raw) - set(known)):
            raise RecordError("objects", f"has the unknown key {unknown[0]}: valid are {', '.join(known)}")
        labels, boxes = raw.get("ref") or [], raw.get("bbox") or []
        if not all(isinstance(each, str) for each in labels) or not all(map(_is_box, boxes)):
            raise RecordError("objects", '"ref" holds texts, "bbox" holds lists of 2 or 4 numbers')
        kind, numbers = raw.get("bbox_type") or "real", raw.get("image_id") or [0] * len(boxes)
        if kind not in ("real", "norm1"):
            raise RecordError("objects", f'has the bbox_type {kind!r}: valid are "real" (pixels) and "norm1" (shares)')
        if len(numbers) != len(boxes):
            raise RecordError("objects", f"has {len(numbers)} image_id for {len(boxes)} bbox")
        sizes = [(1, 1) if kind == "norm1" else _image_size(number, images, size_of) for number in numbers]
        return cls(iter(labels), iter([_markup(box, size) for box, size in zip(boxes, sizes, strict=True)]))

    def fill(self, where: str, text: str) -> str:
        """The text with markup in place of `<ref-object>` and `<bbox>`. Raises RecordError when an object is missing."""

        def take(found: re.Match[str]) -> str:
            is_label = found[0] == "<ref-object>"
            taken = next(self.labels if is_label else self.boxes, None)
            if taken is None:
                raise RecordError(where, f'has a {found[0]} for which "objects" has no {"ref" if is_label else "bbox"}')
            return f"{REF_START}{taken}{REF_END}" if is_label else taken

        return re.sub("<ref-object>|<bbox>", take, text)

    def refuse_unused(self) -> None:
        """Raise RecordError when the text did not take all of the objects."""
        for name, left in (("ref", self.labels), ("bbox", self.boxes)):
            if unused := sum(1 for _ in left):
                place = "<bbox>" if name == "bbox" else "<ref-object>"
                raise RecordError("objects", f"has {unused} more {name} than the text has {place}")


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (2, 4) and all(type(each) in (int, float) for each in value)


def _image_size(number: Any, images: Sequence[Any], size_of: SizeOf) -> Size:
    if type(number) is not int or not 0 <= number < len(images):
        raise RecordError("objects", f"names image {number!r}, the record has {len(images)} images, counted from 0")
    try:
        return size_of(images[number])
    except MediaError as error:
        raise RecordError("objects", str(error)) from error


def _markup(box: Sequence[float], size: Size) -> str:
    """Markup of a box or point in units of an image of this size. Raises RecordError when it is outside the image.

    One pixel outside is rounding, and is clamped to the edge.
    """
    slack = 0 if size == (1, 1) else 1
    if any(not -slack <= value <= size[axis % 2] + slack for axis, value in enumerate(box)):
        raise RecordError("objects", f"has the bbox {box} outside its image of {size[0]}x{size[1]}")
    if list(box[:2]) > list(box[-2:]) or box[1] > box[-1]:
        raise RecordError("objects", f"has the bbox {box}: the order is left, top, right, bottom")
    numbers = to_thousandths(box, size)
    return box_markup(numbers) if len(numbers) == 4 else point_markup(numbers)


def content_of(where: str, text: str, is_reply: bool, files: Files) -> str | list[dict[str, Any]]:
    """Content of a message: text, or a list of parts when it holds images, videos or, outside replies, boxes.

    where: name of the message in errors. Raises RecordError.
    """
    text = _OLD_MARKUP.sub(_as_new_markup, text)
    parts: list[dict[str, Any]] = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        kind = found[1] or found[2]
        parts += _text_parts(text[end : found.start()], is_reply)
        parts.append({"type": kind, kind: files.take(where, kind)})
        end = found.end()
    parts += _text_parts(text[end:], is_reply)
    if any(part["type"] != "text" for part in parts):
        return parts
    return "".join(part["text"] for part in parts)


def _as_new_markup(found: re.Match[str]) -> str:
    """Markup of Qwen-VL as that of Qwen2-VL."""
    places = found[2].replace("<box>", BOX_START).replace("</box>", BOX_END)
    places = places.replace("<quad>", QUAD_START).replace("</quad>", QUAD_END)
    return (f"{REF_START}{found[1]}{REF_END}" if found[1] else "") + places


def _text_parts(text: str, is_reply: bool) -> list[dict[str, Any]]:
    """A text without placeholders as parts; boxes outside replies become parts of their own."""
    parts: list[dict[str, Any]] = []
    plain, end = "", 0
    for found in () if is_reply else _PLACE.finditer(text):
        plain, end = plain + text[end : found.start()] + (found["alone"] or ""), found.end()
        numbers = [int(number) for number in re.findall(r"\d+", found["pairs"] or "")]
        if numbers:
            if len(numbers) not in (2, 4) or max(numbers) > FRAME:
                raise RecordError("messages", f"the place {found['pairs']} must be 1 or 2 pairs from 0 to {FRAME}")
            kind = "box" if len(numbers) == 4 else "point"
            label = {"label": found["label"]} if found["label"] else {}
            parts += [{"type": "text", "text": plain}] if plain else []
            parts.append({"type": kind, kind: numbers} | label)
            plain = ""
    plain += text[end:]
    return [*parts, {"type": "text", "text": plain}] if plain else parts
