"""Scores of a model on the set: answers read leniently, the share of right ones by kind, and their mean.

* colour, shape, motion: the answer names the right value and no other of its category (`names.value_of`);
* count: the right number, as a digit or a word, and no other number;
* where: the first box overlaps the true one with an IoU of at least 0.5. Where the question does not ask for a box and the
  answer has none, the first point lies within the true box.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from experiments.plain_pictures.names import CATEGORIES, value_of
from qwen2vl.evaluation.intervals import wilson_interval
from qwen2vl.evaluation.items import ExamItem
from qwen2vl.evaluation.judging import ReplyLike
from qwen2vl.evaluation.metrics import IOU_HIT, iou, is_inside
from qwen2vl.evaluation.runner import Answerer

BATCH = 20
MAX_NEW_TOKENS = 64


def score(model: Answerer, items: Sequence[ExamItem]) -> dict[str, Any]:
    """Ask every item greedily; number of right answers, share and 95 % interval by kind, mean share, and all answers."""
    replies = model.batch([item.messages for item in items], batch_size=BATCH, max_new_tokens=MAX_NEW_TOKENS)
    answers = [
        {"id": item.id, "question": question_of(item), "text": reply.text, "right": is_right(item, reply)}
        for item, reply in zip(items, replies, strict=True)
    ]
    kinds: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys(item.task for item in items):
        right = [bool(answer["right"]) for item, answer in zip(items, answers, strict=True) if item.task == kind]
        share, interval = fmean(right), wilson_interval(sum(right), len(right))
        kinds[kind] = {"right": sum(right), "items": len(right), "share": share, "interval": interval}
    return {"mean": fmean(kind["share"] for kind in kinds.values()), "kinds": kinds, "answers": answers}


def is_right(item: ExamItem, reply: ReplyLike) -> bool:
    """Whether a reply answers its item."""
    truth = item.truth
    if truth["kind"] != "box":
        return value_of(reply.text, CATEGORIES[item.task]) == str(truth["value"])
    if reply.boxes:
        return iou(reply.boxes[0].xyxy_px, truth["box_px"]) >= IOU_HIT
    return truth["point"] and bool(reply.points) and is_inside(reply.points[0].xy_px, truth["box_px"])


def question_of(item: ExamItem) -> str:
    """The question in words."""
    return item.messages[-1]["content"][-1]["text"]


def table(result: dict[str, Any]) -> str:
    """The scores by kind, one a line, in per cent."""
    lines = [
        f"{kind:8} {100 * of['share']:5.1f} %  ({100 * of['interval'][0]:.0f} to {100 * of['interval'][1]:.0f})"
        for kind, of in result["kinds"].items()
    ]
    return "\n".join([*lines, f"{'mean':8} {100 * result['mean']:5.1f} %"])
