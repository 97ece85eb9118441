"""Control tokens that are spelled out in the texts of a conversation, checked before it is stored.

In a reply the grounding tokens are control tokens, so their places must be right: whole thousandths of the image, 0 to
1000, left before right, top before bottom. Anywhere else a spelled-out token would become letters.
"""

from collections.abc import Sequence

from qwen2vl.common.errors import RecordError
from qwen2vl.processing.grounding import FRAME, MARKERS, pairs_of
from qwen2vl.processing.messages import Message, TextPart
from qwen2vl.spec.tokens import (
    BOX_END,
    BOX_START,
    GROUNDING_TOKENS,
    QUAD_END,
    QUAD_START,
    REF_END,
    REF_START,
    SPECIAL_TOKENS,
)

END_OF = {REF_START: REF_END, BOX_START: BOX_END, QUAD_START: QUAD_END}


def refuse_wrong_markup(messages: Sequence[Message]) -> None:
    """Raise RecordError for a control token where it would be letters, and for places in replies that are wrong."""
    for number, message in enumerate(messages):
        for part in message.parts:
            if isinstance(part, TextPart) and "<|" in part.text:
                _refuse_letters(f"messages[{number}]", part.text, message.role == "assistant")
                if message.role == "assistant":
                    _refuse_wrong_places(f"messages[{number}]", part.text)


def _refuse_letters(where: str, text: str, is_reply: bool) -> None:
    for token in SPECIAL_TOKENS:
        if token in text and not (is_reply and token in GROUNDING_TOKENS):
            fix = 'write a part {"type": "box", "box": [left, top, right, bottom], "label": "..."}'
            fix = fix if token in GROUNDING_TOKENS else "write images and videos as parts, and leave out the rest"
            raise RecordError(where, f"holds {token} as text, which would be trained as letters: {fix}")


def _refuse_wrong_places(where: str, text: str) -> None:
    opened, content = "", ""
    for number, piece in enumerate(MARKERS.split(text)):
        if number % 2 == 0:
            content = piece
        elif piece in END_OF:
            if opened:
                raise RecordError(where, f"holds {opened} without {END_OF[opened]}")
            opened = piece
        else:
            if not opened or piece != END_OF[opened]:
                raise RecordError(where, f"holds {piece} without its start")
            if opened != REF_START:
                _refuse_wrong_place(where, content, is_quad=opened == QUAD_START)
            opened = ""
    if opened:
        raise RecordError(where, f"holds {opened} without {END_OF[opened]}")


def _refuse_wrong_place(where: str, content: str, *, is_quad: bool) -> None:
    pairs = pairs_of(content)
    if not pairs or len(pairs) not in ((4,) if is_quad else (1, 2)):
        raise RecordError(
            where,
            f'has the place "{content[:80]}": it must be {"4 pairs" if is_quad else "1 or 2 pairs"} (x,y) of whole numbers '
            f"from 0 to {FRAME}, thousandths of the image's width and height",
        )
    (left, top), (right, bottom) = pairs[0], pairs[-1]
    if not is_quad and (left > right or top > bottom):
        raise RecordError(where, f'has the box "{content}": the order is (left,top),(right,bottom)')
