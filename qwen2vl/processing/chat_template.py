"""The text of a conversation for the model: messages to spans, spans to ids and labels [paper 1.6, 5.1].

    <|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n
    <|im_start|>user\\n<|vision_start|><|image_pad|>...<|vision_end|>What is this?<|im_end|>\\n
    <|im_start|>assistant\\nA lamp.<|im_end|>\\n

The assistant's turn continues after the results of its calls, which are messages of the role "function" [paper 5.3]:

    <|im_start|>assistant\\nI look.\\n✿FUNCTION✿: Home\\n✿ARGS✿: {}\\n
    ✿RESULT✿: <|vision_start|><|image_pad|>...<|vision_end|>\\n
    ✿RETURN✿: It is open now.<|im_end|>\\n

Spans are control tokens, texts and places of media. Text between two control tokens is tokenised at once, as in the
published processor ("user\\nWhat" is one text), and can never become a control token.
`CHAT_TEMPLATE` renders the same text in other programs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qwen2vl.processing.agent_text import FUNCTION, RESULT, RETURN, Action, declare
from qwen2vl.processing.grounding import MARKERS, box_markup, point_markup
from qwen2vl.processing.messages import BoxPart, ImagePart, Message, PointPart, Role, TextPart, VideoPart
from qwen2vl.processing.tokenizer import Tokenizer
from qwen2vl.spec.tokens import (
    IGNORED,
    IM_END,
    IM_START,
    IMAGE_PAD,
    REF_END,
    REF_START,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
)

DEFAULT_SYSTEM = "You are a helpful assistant."


@dataclass(frozen=True, slots=True)
class Special:
    """One control token."""

    name: str
    supervised: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Text between two control tokens."""

    text: str
    supervised: tuple[tuple[int, int], ...] = ()
    """Characters (begin, end) that belong to replies of the assistant."""

    def wholly_supervised(self, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mask of the tokens whose characters, given as offsets [N, 2], are all in supervised ranges."""
        supervised = np.zeros(len(self.text) + 1, np.int64)
        for begin, end in self.supervised:
            supervised[begin + 1 : end + 1] = 1
        before = np.cumsum(supervised)  # supervised characters before each position
        begins, ends = offsets[:, 0], offsets[:, 1]
        return before[ends] - before[begins] == ends - begins


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one image or video: its start token, one placeholder per visual token, its end token."""

    part: ImagePart | VideoPart

    @property
    def pad(self) -> str:
        """Name of the placeholder of one visual token."""
        return IMAGE_PAD if isinstance(self.part, ImagePart) else VIDEO_PAD


Span = Special | Text | Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenised:
    """Ids and labels of a rendered conversation."""

    ids: NDArray[np.int64]
    """[T]."""
    labels: NDArray[np.int64] | None
    """[T], the id where it is supervised, else -100; None when labels were not requested."""


def render(
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = True,
    add_vision_id: bool = False,
    supervised: Sequence[bool] | None = None,
    continue_final_message: bool = False,
) -> tuple[Span, ...]:
    """Spans of one conversation.

    A conversation without a system message gets the default one.

    Args:
        add_generation_prompt: start the next reply, or continue the one whose result is the last message.
        add_vision_id: write "Picture N: " and "Video N: " before media, numbered over the whole conversation.
        supervised: for each message, whether it is a target of training; only those of the assistant can be. None = all of them.
            Affects labels, never ids.
        continue_final_message: leave the turn of the last message open, so that the next token continues its text. An
            empty one gives the same prompt as add_generation_prompt.
    """
    writer = _Writer(add_vision_id)
    if messages[0].role != "system":
        writer.message(Message(role="system", parts=(TextPart(text=DEFAULT_SYSTEM),)))
    mask = [True] * len(messages) if supervised is None else supervised
    is_open = continue_final_message and any(part != TextPart(text="") for part in messages[-1].parts)
    kept = len(messages) - (continue_final_message and not is_open)
    for message, is_supervised in zip(messages[:kept], mask[:kept], strict=True):
        writer.message(message, is_supervised)
    if not is_open:
        writer.end(add_generation_prompt or continue_final_message)
    return writer.spans()


class _Writer:
    """Collects spans and joins adjacent texts, so that each text between control tokens is tokenised once."""

    def __init__(self, add_vision_id: bool) -> None:
        self._done: list[Span] = []
        self._pieces: list[str] = []
        self._length = 0
        self._ranges: list[tuple[int, int]] = []
        self._name_media = add_vision_id
        self._seen = {"Picture": 0, "Video": 0}
        self._role: Role | None = None
        """Role of the last message, whose turn is still open; None before the first."""
        self._is_supervised = False
        """Whether the last message is supervised."""

    def message(self, message: Message, is_supervised: bool = False) -> None:
        is_reply = message.role == "assistant"
        is_supervised = is_supervised and is_reply
        self.header(message.role)
        if is_reply and self._role == "function":
            self.text(" ", is_supervised)  # one token with the next word
        for part in message.parts:
            match part:
                case TextPart():
                    self.marked(part.text, is_supervised) if is_reply else self.text(part.text)
                case BoxPart():
                    self.marked_part(part.label, box_markup(part.box), is_supervised)
                case PointPart():
                    self.marked_part(part.label, point_markup(part.point), is_supervised)
                case _:
                    self.media(part)
        self._role, self._is_supervised = message.role, is_supervised

    def header(self, role: Role) -> None:
        """Write the start of a message: the keyword that continues the open turn, or a new turn."""
        if role == "function":
            self.text("\n", self._is_supervised)  # one token with the closing brace of the call
            self.text(f"{RESULT}: ")
        elif role == "assistant" and self._role == "function":
            self.text(f"\n{RETURN}:")
        else:
            self.close()
            self.special(IM_START)
            self.text(f"{role}\n")

    def close(self) -> None:
        if self._role is not None:
            self.special(IM_END, self._is_supervised)
            self.text("\n")

    def end(self, add_generation_prompt: bool) -> None:
        """End the conversation. A turn that ends with a result stays open for its reply."""
        if add_generation_prompt:
            self.header("assistant")
        elif self._role != "function":
            self.close()

    def text(self, text: str, supervised: bool = False) -> None:
        if supervised and text:
            self._ranges.append((self._length, self._length + len(text)))
        self._pieces.append(text)
        self._length += len(text)

    def special(self, name: str, supervised: bool = False) -> None:
        self._close_text()
        self._done.append(Special(name, supervised))

    def marked(self, text: str, supervised: bool) -> None:
        """Write text in which grounding tokens are control tokens."""
        for i, piece in enumerate(MARKERS.split(text)):
            self.special(piece, supervised) if i % 2 else self.text(piece, supervised)

    def marked_part(self, label: str, markup: str, supervised: bool) -> None:
        """Write a box or point part. Its label is plain text, its markup consists of control tokens."""
        if label:
            self.special(REF_START, supervised)
            self.text(label, supervised)
            self.special(REF_END, supervised)
        self.marked(markup, supervised)

    def media(self, part: ImagePart | VideoPart) -> None:
        kind = "Picture" if isinstance(part, ImagePart) else "Video"
        self._seen[kind] += 1
        if self._name_media:
            self.text(f"{kind} {self._seen[kind]}: ")
        self._close_text()
        self._done.append(Slot(part))

    def spans(self) -> tuple[Span, ...]:
        self._close_text()
        return tuple(self._done)

    def _close_text(self) -> None:
        if self._length:
            self._done.append(Text("".join(self._pieces), tuple(self._ranges)))
        self._pieces, self._length, self._ranges = [], 0, []


def media_parts(spans: Sequence[Span]) -> tuple[ImagePart | VideoPart, ...]:
    """Images and videos of a conversation, in textual order."""
    return tuple(span.part for span in spans if isinstance(span, Slot))


def declare_tools(messages: Sequence[Message], actions: Sequence[Action]) -> tuple[Message, ...]:
    """Messages whose system message also declares the actions. Raises MessageError for a repeated name."""
    is_given = messages[0].role == "system"
    system = messages[0] if is_given else Message(role="system", parts=(TextPart(text=DEFAULT_SYSTEM),))
    declaration = TextPart(text=declare(actions, system=""))
    return (replace(system, parts=(*system.parts, declaration)), *messages[is_given:])


def declares_actions(messages: Sequence[Message]) -> bool:
    """Whether the system message says how actions are called, so that replies can contain calls."""
    parts = messages[0].parts if messages[0].role == "system" else ()
    return any(isinstance(part, TextPart) and FUNCTION in part.text for part in parts)


def reply_text(message: Message) -> str:
    """The text of a message with the marks of its boxes and points, without its images and videos."""
    pieces = []
    for part in message.parts:
        match part:
            case TextPart():
                pieces.append(part.text)
            case BoxPart():
                pieces.append(box_markup(part.box, part.label))
            case PointPart():
                pieces.append(point_markup(part.point, part.label))
    return "".join(pieces)


def render_text(spans: Sequence[Span]) -> str:
    """The rendered conversation as one string with one placeholder per image or video, for display and tests."""
    pieces = []
    for span in spans:
        match span:
            case Special():
                pieces.append(span.name)
            case Text():
                pieces.append(span.text)
            case Slot():
                pieces.append(VISION_START + span.pad + VISION_END)
    return "".join(pieces)


def tokenise(
    spans: Sequence[Span], tokenizer: Tokenizer, num_tokens: Sequence[int], with_labels: bool = False
) -> Tokenised:
    """Ids, and labels on request. num_tokens: visual tokens of each image and video, in textual order. Linear in the length.

    Supervised tokens lie wholly inside a reply, or are the end token after it. A token that begins before the reply (the
    header's newline can merge with newlines of the reply) is not supervised, and neither are placeholders.
    """
    counts = iter(num_tokens)
    pieces: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    masks: list[NDArray[np.bool_]] = [np.zeros(0, bool)]
    for span in spans:
        ids, mask = _span_tokens(span, tokenizer, counts, with_labels)
        pieces.append(ids)
        masks.append(mask)
    assert next(counts, None) is None, "more media than slots"
    ids = np.concatenate(pieces)
    return Tokenised(ids=ids, labels=np.where(np.concatenate(masks), ids, IGNORED) if with_labels else None)


def _span_tokens(
    span: Span, tokenizer: Tokenizer, counts: Iterator[int], with_labels: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Ids of one span, and a mask of the supervised ones."""
    if isinstance(span, Special):
        return np.array([tokenizer.special(span.name)]), np.array([span.supervised])
    if isinstance(span, Slot):
        pads = np.full(next(counts) + 2, tokenizer.special(span.pad))
        pads[0], pads[-1] = tokenizer.special(VISION_START), tokenizer.special(VISION_END)
        return pads, np.zeros(len(pads), bool)
    if with_labels and span.supervised:
        encoded, offsets = tokenizer.encode_text(span.text)
        return np.array(encoded, np.int64), span.wholly_supervised(np.array(offsets).reshape(-1, 2))
    ids = np.array(tokenizer.encode(span.text), np.int64)
    return ids, np.zeros(len(ids), bool)


CHAT_TEMPLATE = """\
{%- set seen = namespace(pictures=0, videos=0) -%}
{%- macro coordinates(numbers) -%}
    {%- for n in numbers -%}
        {{- '(' if loop.index0 is even else ',' -}}{{- n -}}{{- ')' if loop.index0 is odd -}}
        {{- ',' if loop.index0 is odd and not loop.last -}}
    {%- endfor -%}
{%- endmacro -%}
{%- if messages[0].role != 'system' -%}
    {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {%- if message.role == 'function' -%}
        {{- '\\n✿RESULT✿: ' -}}
    {%- elif message.role == 'assistant' and not loop.first and messages[loop.index0 - 1].role == 'function' -%}
        {{- '\\n✿RETURN✿: ' -}}
    {%- else -%}
        {{- '<|im_start|>' ~ message.role ~ '\\n' -}}
    {%- endif -%}
    {%- if message.content is string -%}
        {{- message.content -}}
    {%- else -%}
        {%- for part in message.content -%}
            {%- set kind = part.type or (part.keys() | list | join(' ')) -%}
            {%- if 'image' in kind -%}
                {%- set seen.pictures = seen.pictures + 1 -%}
                {{- 'Picture ' ~ seen.pictures ~ ': ' if add_vision_id -}}
                {{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
            {%- elif 'video' in kind -%}
                {%- set seen.videos = seen.videos + 1 -%}
                {{- 'Video ' ~ seen.videos ~ ': ' if add_vision_id -}}
                {{- '<|vision_start|><|video_pad|><|vision_end|>' -}}
            {%- elif 'box' in kind or 'point' in kind -%}
                {{- '<|object_ref_start|>' ~ part.label ~ '<|object_ref_end|>' if part.label -}}
                {{- '<|box_start|>' ~ coordinates(part.box or part.point) ~ '<|box_end|>' -}}
            {%- else -%}
                {{- part.text -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if message.role != 'function' and (loop.last or messages[loop.index0 + 1].role != 'function') -%}
        {{- '<|im_end|>\\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '\\n✿RETURN✿:' if messages[-1].role == 'function' else '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""
"""A Jinja template that renders the same text, for programs that read it from a checkpoint. Control tokens in the text of
users are safe only in our own renderer: a program that tokenises rendered text cannot distinguish them."""
