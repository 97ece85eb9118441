"""One drawn item: the question, the answer, and the truth that scoring needs.

Here: the record, and small functions that build it for every task. Not here: drawing, which is in the rooms.
The truth has one of three kinds, so that scoring needs three rules (screens/actions.py and charts add one each):
    {"kind": "text",  "accept": ["red circle", ...]}
    {"kind": "box",   "box_px": [x1, y1, x2, y2], "size": [width, height], "label": "the red circle"}
    {"kind": "point", "box_px": [x1, y1, x2, y2], "size": [width, height], "label": "the button Save"}
Boxes are in pixels of the image, right and bottom edge exclusive. "read" lists words that come from the word list.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from qwen2vl.processing.grounding import box_markup, point_markup, to_thousandths

Size = tuple[int, int]
"""Width and height in pixels."""
Box = tuple[int, int, int, int]
"""Left, top, right and bottom edge in pixels; right and bottom are exclusive."""
Turn = tuple[str, str]
"""A question and its answer."""
MAX_TURNS = 6
"""Largest number of questions in a dialogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question with its supervised answer."""

    task: str
    """Name of the task or lesson."""
    messages: list[dict[str, Any]]
    """Messages up to the last question: media parts first, then one text part; only dialogues have earlier turns."""
    answer: str
    """The supervised text."""
    truth: dict[str, Any]
    """Facts for scoring, as JSON can hold them; the docstring of the module describes them."""


def image_item(task: str, images: list[Image.Image], question: str, answer: str, truth: dict[str, Any]) -> Item:
    """An item with one question about images, or without any image."""
    content = [*images_part(images), {"type": "text", "text": question}]
    return Item(task=task, messages=[{"role": "user", "content": content}], answer=answer, truth=truth)


def images_part(images: Sequence[Image.Image]) -> list[dict[str, Any]]:
    """The media parts of several images."""
    return [{"type": "image", "image": image} for image in images]


def video_part(frames: Sequence[Image.Image]) -> list[dict[str, Any]]:
    """The media parts of one video."""
    return [{"type": "video", "video": list(frames)}]


def talk(task: str, media: Sequence[dict[str, Any]], turns: Sequence[Turn], **more: Any) -> Item:
    """A dialogue: several questions about the same media, so that they share the cost of the media.

    The truth is that of the last answer, with `more` facts.
    """
    messages: list[dict[str, Any]] = []
    for index, (question, answer) in enumerate(turns):
        text = {"type": "text", "text": question}
        content = [*media, text] if index == 0 else [text]
        messages += [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    answer = turns[-1][1]
    return Item(task=task, messages=messages[:-1], answer=answer, truth=text_truth(answer, **more))


def dialogue_item(task: str, image: Image.Image, turns: Sequence[Turn]) -> Item:
    """A dialogue about one image."""
    return talk(task, images_part([image]), turns)


def video_item(task: str, frames: list[Image.Image], question: str, answer: str, truth: dict[str, Any]) -> Item:
    """An item with one question about one video, given as its frames."""
    content = [*video_part(frames), {"type": "text", "text": question}]
    return Item(task=task, messages=[{"role": "user", "content": content}], answer=answer, truth=truth)


def replace_media(messages: list[dict[str, Any]], change: Callable[[Any], Any]) -> list[dict[str, Any]]:
    """A copy of the messages in which `change` replaced every image and every frame of a video."""

    def part(content: dict[str, Any]) -> dict[str, Any]:
        if content["type"] == "image":
            return content | {"image": change(content["image"])}
        if content["type"] == "video":
            return content | {"video": [change(frame) for frame in content["video"]]}
        return content

    return [
        message if isinstance(message["content"], str) else message | {"content": [part(p) for p in message["content"]]}
        for message in messages
    ]


def text_truth(*accept: str, read: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """The truth of an answer that is compared as text."""
    truth: dict[str, Any] = {"kind": "text", "accept": list(dict.fromkeys(accept)), **more}
    return truth | {"read": read} if read else truth


def place_truth(kind: str, box_px: Box, size: tuple[int, int], label: str) -> dict[str, Any]:
    """The truth of an answer that is compared as a place; kind is "box" or "point"."""
    return {"kind": kind, "box_px": list(box_px), "size": list(size), "label": label}


def box_answer(label: str, box_px: Box, size: tuple[int, int]) -> str:
    """The text form of a box: <|object_ref_start|>the red circle<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>."""
    return box_markup(to_thousandths(box_px, size), label)


def point_answer(box_px: Box, size: tuple[int, int]) -> str:
    """The text form of a point: the centre of the box."""
    middle = (box_px[0] + box_px[2]) / 2, (box_px[1] + box_px[3]) / 2
    return point_markup(to_thousandths(middle, size))
