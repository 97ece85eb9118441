"""What an item asks for, and how right an answer to it is. Truth has five kinds:

    {"kind": "text", "accept": ["red circle", ...]}              one of these, exactly; with "metric": "anls" nearly
    {"kind": "number", "value": 12.0, "tolerance": 0.05}         the first number of the answer is so near, relatively
    {"kind": "box", "box_px": [x1, y1, x2, y2], ...}             IoU of at least one half
    {"kind": "point", "box_px": [x1, y1, x2, y2], ...}           within the box
    {"kind": "action", "name": "Tap", "box_px": ..., "text": ...}  the call of an agent: its name, its point and its text where given

Boxes are pixels of the last image, or of what the answer calls "Picture 2".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from PIL import Image

from qwen2vl.evaluation.metrics import IOU_HIT, anls, exact_match, inside, iou, number_match
from qwen2vl.processing.agent_text import Call, parse_reply
from qwen2vl.processing.grounding import to_pixels

Metric = Literal["exact", "anls", "number", "iou", "point", "action"]
METRICS: dict[str, Metric] = {"number": "number", "box": "iou", "point": "point", "action": "action"}
"""By kind of truth, but for "text"."""
TOLERANCE = 0.05
"""Of numbers whose truth names none."""
Place = tuple[int, tuple[float, ...]]
"""Which image, from 0, and x, y of a point or left, top, right, bottom of a box in its pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamItem:
    """One question with the facts that judge its answer."""

    id: str
    task: str
    messages: list[dict[str, Any]]
    truth: dict[str, Any]
    """One of the kinds above; any other keys are for readers."""


class Reply(Protocol):
    """What a model answers; `inference.Answer` is one."""

    @property
    def text(self) -> str: ...
    @property
    def boxes(self) -> Sequence[Any]: ...
    @property
    def points(self) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The answer to one item, without the item's images, so that thousands of them are small."""

    id: str
    task: str
    truth: dict[str, Any]
    text: str
    metric: Metric
    score: float
    """0..1; only "anls" gives anything between."""
    overlap: float | None = None
    """IoU of the first box with the true one; None where no box was asked for."""
    places: tuple[Place, ...] = ()
    """All that the answer names."""

    @property
    def right(self) -> bool:
        return self.score == 1


def judge(item: ExamItem, reply: Reply) -> Judged:
    """Score an answer by the item's kind of truth."""
    truth, metric = item.truth, metric_of(item.truth)
    places, overlap = places_of(reply), None
    match metric:
        case "iou":
            overlap = iou(reply.boxes[0].xyxy_px, truth["box_px"]) if reply.boxes else 0.0
            score = float(overlap >= IOU_HIT)
        case "point":
            score = float(bool(reply.points) and inside(reply.points[0].xy_px, truth["box_px"]))
        case "number":
            score = float(number_match(reply.text, truth["value"], truth.get("tolerance", TOLERANCE)))
        case "action":
            call = first_call(reply.text)
            places = touched(call, item)
            score = float(action_match(call, places, truth))
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
    """By what a truth is scored."""
    if truth["kind"] == "text":
        return "anls" if truth.get("metric") == "anls" else "exact"
    return METRICS[truth["kind"]]


def places_of(reply: Reply) -> tuple[Place, ...]:
    boxes = tuple((box.image_index, tuple(box.xyxy_px)) for box in reply.boxes)
    return boxes + tuple((point.image_index, tuple(point.xy_px)) for point in reply.points)


def first_call(text: str) -> Call | None:
    """The first call of a reply in the agent form; None where there is none that can be read."""
    calls = parse_reply(text).calls
    return calls[0] if calls and isinstance(calls[0], Call) else None


def touched(call: Call | None, item: ExamItem) -> tuple[Place, ...]:
    """The argument "point", thousandths, as a place on the last image; none where it is no point."""
    seen = images(item.messages)
    size = item.truth.get("size") or (seen[-1].size if seen else None)
    point = call.arguments.get("point") if call else None
    if size is None or not isinstance(point, list) or len(point) != 2 or not all(map(_is_number, point)):
        return ()
    return ((max(0, len(seen) - 1), to_pixels(point, size)),)


def _is_number(value: Any) -> bool:
    """True and NaN are none, nor is what no float holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def action_match(call: Call | None, places: Sequence[Place], truth: Mapping[str, Any]) -> bool:
    """The right name; the point inside the box and the same text, where the truth has them."""
    if call is None or call.name != truth["name"]:
        return False
    box, text = truth.get("box_px"), truth.get("text")
    if box is not None and not (places and inside(places[0][1], box)):
        return False
    written = call.arguments.get("text")
    return text is None or (isinstance(written, str) and written.strip() == text)


def images(messages: Sequence[Mapping[str, Any]]) -> list[Image.Image]:
    """The images of a conversation in their order, without the frames of videos."""
    parts = [part for message in messages if not isinstance(message["content"], str) for part in message["content"]]
    return [part["image"] for part in parts if part["type"] == "image"]
