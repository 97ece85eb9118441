"""Dialogues about anything: several pictures, a film, or nothing at all (item.dialogue_item is for one picture)."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from qwen2vl.nano.world.item import Item, text_truth

Turn = tuple[str, str]  # question, answer


def pictures_part(pictures: Sequence[Image.Image]) -> list[dict[str, Any]]:
    """The media parts of several pictures."""
    return [{"type": "image", "image": picture} for picture in pictures]


def film_part(frames: Sequence[Image.Image]) -> list[dict[str, Any]]:
    """The media parts of one film."""
    return [{"type": "video", "video": list(frames)}]


def talk(task: str, media: Sequence[dict[str, Any]], turns: Sequence[Turn], scene: dict[str, Any]) -> Item:
    """Several questions about the same media, each with its answer; the truth is that of the last one."""
    messages: list[dict[str, Any]] = []
    for index, (question, answer) in enumerate(turns):
        text = {"type": "text", "text": question}
        messages.append({"role": "user", "content": [*media, text] if index == 0 else [text]})
        messages.append({"role": "assistant", "content": answer})
    answer = turns[-1][1]
    return Item(task=task, messages=messages[:-1], answer=answer, truth=text_truth(answer, scene=scene))
