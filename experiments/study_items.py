"""Questions of the studies: held-out items of a source, and scores of their answers."""

from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any

from drawn_world import Item
from drawn_world.slides import draw_slides, is_slides
from drawn_world.write_records import draw_from, item_key
from qwen2vl.evaluation.metrics import IOU_HIT, iou
from qwen2vl.evaluation.runner import Answerer
from qwen2vl.processing.grounding import FRAME, Places, parse_places

SPLIT = "test"
BATCH = 32
MAX_NEW_TOKENS = 128


def held_out(source: str, number: int) -> Item:
    """Item `number` of a source, from the test split, which no training sees."""
    if is_slides(source):
        return draw_slides(source, number, SPLIT)
    return draw_from(source, item_key(0, source, number), SPLIT)


def ask(model: Answerer, source: str, count: int) -> tuple[list[float], list[int]]:
    """Ask `count` items greedily; returns the right share of every answer and the visual tokens of every item."""
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
    """Share of the parts of an answer that the reply has in the same order. Parts are lines, and names between commas.

    A box is right from an overlap of one half, a point within a tenth of the image. Additional parts count as wrong.
    """
    pairs = list(zip_longest(parts(answer), parts(reply), fillvalue=""))
    return sum(is_right(wanted, given) for wanted, given in pairs) / len(pairs)


def parts(text: str) -> list[str]:
    """Names or places of an answer in order. Commas between names are followed by a space, those inside places are not."""
    return [part.strip() for line in text.strip().split("\n") for part in line.split(", ")]


def is_right(wanted: str, given: str) -> bool:
    """Whether one part of a reply is right."""
    true, found = places(wanted), places(given)
    if true.boxes:
        return bool(found.boxes) and iou(found.boxes[0].xyxy_1000, true.boxes[0].xyxy_1000) >= IOU_HIT
    if true.points:
        pairs = zip(true.points[0].xy_1000, found.points[0].xy_1000, strict=True) if found.points else [(0, FRAME)]
        return all(abs(a - b) <= 0.1 * FRAME for a, b in pairs)
    return wanted == given


def places(text: str) -> Places:
    """Boxes and points of a text, on an image of 1000x1000 pixels: overlaps are the same on images of any size."""
    return parse_places(text, [(FRAME, FRAME)])
