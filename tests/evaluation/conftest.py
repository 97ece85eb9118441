"""Replies of a scripted model, and items without an exam."""

from dataclasses import dataclass, field

from qwen2vl.evaluation.items import ExamItem
from qwen2vl.processing.grounding import Box, Point


@dataclass
class Reply:
    text: str = ""
    boxes: tuple = ()
    points: tuple = ()


@dataclass
class Scripted:
    """A model with prepared answers, which records how it was asked."""

    replies: list[Reply]
    groups: list[int] = field(default_factory=list)
    settings: dict = field(default_factory=dict)

    def batch(self, conversations, batch_size=16, **sampling):
        self.groups.append(len(conversations))
        self.settings = sampling
        return [self.replies.pop(0) for _ in conversations]


def make_item(task, *images, id=None, **truth) -> ExamItem:
    content = [*({"type": "image", "image": image} for image in images), {"type": "text", "text": "?"}]
    return ExamItem(id=id or task, task=task, messages=[{"role": "user", "content": content}], truth=truth)


def box(*xyxy, image=0) -> Box:
    return Box(label="", image_index=image, xyxy_px=xyxy, xyxy_1000=(0, 0, 0, 0))


def point(*xy, image=0) -> Point:
    return Point(label="", image_index=image, xy_px=xy, xy_1000=(0, 0))
