"""What the studies ask: held-out items of a source, and the share of an answer that is right."""

from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any

from drawn_world import Item, draw
from drawn_world.slides import draw_slides, is_slides
from drawn_world.write_records import item_key, parse_source
from qwen2vl.evaluation.metrics import IOU_HIT, iou
from qwen2vl.evaluation.runner import Answerer
from qwen2vl.processing.grounding import FRAME, Places, parse_places

SPLIT = "test"
NEAR = 0.1
"""Of the image's sides: a point counts as found within it, on both axes."""
BATCH = 32
MAX_NEW_TOKENS = 128


def held_out(source: str, number: int) -> Item:
    """Item `number` of a source, from the half of the world that no training sees."""
    if is_slides(source):
        return draw_slides(source, number, SPLIT)
    task, ease = parse_source(source)
    return draw(task, item_key(0, source, number), SPLIT, ease)


def ask(model: Answerer, source: str, count: int) -> tuple[list[float], list[int]]:
    """Of every item the share of its answer that is right, and its visual tokens. Greedy."""
    shares, tokens = list[float](), list[int]()
    items: Iterator[Item] = (held_out(source, number) for number in range(count))
    while group := list(islice(items, BATCH)):
        replies: Sequence[Any] = model.batch(
            [item.messages for item in group], batch_size=BATCH, max_new_tokens=MAX_NEW_TOKENS
        )
        shares += [share_right(item.answer, reply.text) for item, reply in zip(group, replies, strict=True)]
        tokens += [reply.usage.visual_tokens for reply in replies]
    return shares, tokens


def share_right(answer: str, reply: str) -> float:
    """Share of the parts of an answer that the reply has at their place: its lines, and what commas part in them.

    A box counts from an overlap of one half on, a point within a tenth of the image. Parts too many count as wrong.
    """
    pairs = list(zip_longest(parts(answer), parts(reply), fillvalue=""))
    return sum(is_right(wanted, given) for wanted, given in pairs) / len(pairs)


def parts(text: str) -> list[str]:
    """Names or places of an answer, in order. Commas between names have a blank behind them, those inside places have not."""
    return [part.strip() for line in text.strip().split("\n") for part in line.split(", ")]


def is_right(wanted: str, given: str) -> bool:
    true, found = places(wanted), places(given)
    if true.boxes:
        return bool(found.boxes) and iou(found.boxes[0].xyxy_1000, true.boxes[0].xyxy_1000) >= IOU_HIT
    if true.points:
        pairs = zip(true.points[0].xy_1000, found.points[0].xy_1000, strict=True) if found.points else [(0, FRAME)]
        return all(abs(a - b) <= NEAR * FRAME for a, b in pairs)
    return wanted == given


def places(text: str) -> Places:
    """On an image of a thousand thousandths: overlaps and shares of sides are the same on any other."""
    return parse_places(text, [(FRAME, FRAME)])
