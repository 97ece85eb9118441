"""Ask a model every item of an exam, through the public conversation form only, and judge the answers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from qwen2vl.evaluation.metrics import IOU_HIT, exact_match, inside, iou


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamItem:
    """One question with the facts that judge its answer."""

    id: str
    task: str
    messages: list[dict[str, Any]]
    truth: dict[str, Any]
    """{"kind": "text", "accept": [...]}, or {"kind": "box" or "point", "box_px": [x1, y1, x2, y2], ...}."""


class Reply(Protocol):
    """What a model answers; `inference.Answer` is one."""

    @property
    def text(self) -> str: ...
    @property
    def boxes(self) -> Sequence[Any]: ...
    @property
    def points(self) -> Sequence[Any]: ...


class Answers(Protocol):
    """Whatever can answer conversations; `inference.Chat` is one."""

    def batch(self, conversations: Sequence[Any], batch_size: int = 16, **sampling: Any) -> Sequence[Reply]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One item with the answer it got."""

    item: ExamItem
    text: str
    right: bool
    overlap: float | None
    """IoU of the first box with the true one; None where no box was asked for."""


def judge(item: ExamItem, reply: Reply) -> Judged:
    """Text: exactly one of the accepted answers. Box: IoU at least 0.5. Point: inside the true box."""
    kind, overlap = item.truth["kind"], None
    if kind == "box":
        overlap = iou(reply.boxes[0].xyxy_px, item.truth["box_px"]) if reply.boxes else 0.0
        right = overlap >= IOU_HIT
    elif kind == "point":
        right = bool(reply.points) and inside(reply.points[0].xy_px, item.truth["box_px"])
    else:
        right = exact_match(reply.text, item.truth["accept"])
    return Judged(item=item, text=reply.text, right=right, overlap=overlap)


def run_exam(
    model: Answers,
    items: Iterable[ExamItem],
    *,
    batch_size: int = 32,
    max_new_tokens: int = 64,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Judged]:
    """All items in order, greedy. on_progress is told how many are done."""
    results: list[Judged] = []
    upcoming = iter(items)
    while group := list(islice(upcoming, batch_size)):
        replies = model.batch([item.messages for item in group], batch_size=batch_size, max_new_tokens=max_new_tokens)
        results += [judge(item, reply) for item, reply in zip(group, replies, strict=True)]
        on_progress(len(results))
    return results
