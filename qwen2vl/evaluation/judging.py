"""Scores of single answers, each by the kind of truth of its item (see `items`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from qwen2vl.evaluation.items import ExamItem, counted_media
from qwen2vl.evaluation.metrics import IOU_HIT, anls, exact_match, iou, is_inside, number_match
from qwen2vl.processing.agent_text import Call, parse_reply
from qwen2vl.processing.call_arguments import read_point
from qwen2vl.processing.grounding import to_pixels

JUDGING = 3
"""Number of the rules by which answers are scored, raised with every change of a score; files from before it have none."""
Metric = Literal["exact", "anls", "number", "iou", "point", "action"]
Place = tuple[int, tuple[float, ...]]
"""Index of an image, from 0, and x, y of a point or left, top, right, bottom of a box in its pixels."""


class ReplyLike(Protocol):
    """The answer of a model; `inference.Answer` is one."""

    @property
    def text(self) -> str: ...
    @property
    def boxes(self) -> Sequence[Any]: ...
    @property
    def points(self) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The scored answer to one item, without its images: thousands of them need little memory."""

    id: str
    task: str
    truth: dict[str, Any]
    text: str
    metric: Metric
    score: float
    """0..1; only "anls" gives values between."""
    overlap: float | None = None
    """IoU of the first box with the true one; None if the item asks for no box."""
    places: tuple[Place, ...] = ()
    """All boxes, then all points, that the answer names; for an action the point of the call."""

    @property
    def right(self) -> bool:
        """Whether the answer is entirely right."""
        return self.score == 1

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Judged":
        """The answer whose fields JSON has stored; JSON has no tuples."""
        return cls(**fields | {"places": tuple((image, tuple(place)) for image, place in fields["places"])})


def judge(item: ExamItem, reply: ReplyLike) -> Judged:
    """Score an answer by the kind of truth of its item."""
    truth, metric, overlap = item.truth, metric_of(item.truth), None
    places: tuple[Place, ...] = tuple((box.image_index, tuple(box.xyxy_px)) for box in reply.boxes)
    places += tuple((point.image_index, tuple(point.xy_px)) for point in reply.points)
    match metric:
        case "iou":
            box = _on_asked_image(reply.boxes, item)
            overlap = iou(box.xyxy_px, truth["box_px"]) if box else 0.0
            score = float(overlap >= IOU_HIT)
        case "point":
            point = _on_asked_image(reply.points, item)
            score = float(point is not None and is_inside(point.xy_px, truth["box_px"]))
        case "number":
            score = float(number_match(reply.text, truth["value"], truth.get("tolerance", 0.05)))
        case "action":
            calls = parse_reply(reply.text).calls
            call = calls[0] if calls and isinstance(calls[0], Call) else None
            places = _point_of(call, item) if call else ()
            score = float(call is not None and _is_right_action(call, places, truth))
        case "anls":
            score = anls(reply.text, truth["accept"])
        case "exact":
            score = float(exact_match(reply.text, truth["accept"]))
    return Judged(
        id=item.id,
        task=item.task,
        truth=truth,
        text=reply.text,
        metric=metric,
        score=score,
        overlap=overlap,
        places=places,
    )


def metric_of(truth: Mapping[str, Any]) -> Metric:
    """The metric by which answers are scored against a truth."""
    if truth["kind"] == "text":
        return "anls" if truth.get("metric") == "anls" else "exact"
    metrics: dict[str, Metric] = {"number": "number", "box": "iou", "point": "point", "action": "action"}
    return metrics[truth["kind"]]


def _on_asked_image(found: Sequence[Any], item: ExamItem) -> Any | None:
    """The first box or point of an answer; None without one, or if it is not on the image that the truth is about."""
    first = found[0] if found else None
    return first if first and first.image_index == _asked_image(item) else None


def _asked_image(item: ExamItem) -> int:
    """Index of the last image, or of the last video if there are only videos: the truth is about it."""
    return max(0, len(counted_media(item.messages)) - 1)


def _point_of(call: Call, item: ExamItem) -> tuple[Place, ...]:
    """The argument "point" of a call, in thousandths, as a place on the last image; empty if it is not a point."""
    size = item.truth.get("size") or _size_of_last(counted_media(item.messages))
    point = read_point(call.arguments.get("point"))
    return ((_asked_image(item), to_pixels(point, size)),) if size and point else ()


def _size_of_last(media: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """Width and height of the last image or video; None without any."""
    if not media:
        return None
    image = media[-1]["image"] if media[-1]["type"] == "image" else media[-1]["video"][0]
    return int(image.width), int(image.height)


def _is_right_action(call: Call, places: Sequence[Place], truth: Mapping[str, Any]) -> bool:
    """Whether a call has the right name and, if the truth has them, a point inside the box and the same text."""
    box, text, written = truth.get("box_px"), truth.get("text"), call.arguments.get("text")
    has_point = box is None or (bool(places) and is_inside(places[0][1], box))
    has_text = text is None or (isinstance(written, str | int) and str(written).strip() == text)  # 2013 may be a number
    return call.name == truth["name"] and has_point and has_text
