"""Training records: one JSON object per line, checked before a store is built from it.

    {"id": "a1", "source": "pages", "kind": "ocr", "messages": [{"role": "user", "content": [...]}, ...]}
    {"id": "b7", "source": "news", "kind": "interleaved", "document": [{"type": "text", ...}, {"type": "image", ...}]}

In a conversation the replies of the assistant are supervised; if any message has the key "loss", only replies with
"loss": true are. Boxes and points are parts, or markup in replies (`record_markup`). The trace of an agent is a
conversation with results of the role "function", which are never supervised. A document is text and media in reading
order, and all of its text is supervised: pre-training [paper 6].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwen2vl.common.errors import MessageError, RecordError
from qwen2vl.data.record_markup import refuse_wrong_markup
from qwen2vl.processing.messages import ImagePart, Message, TextPart, VideoPart, parse_messages

KINDS = ("caption", "ocr", "interleaved", "vqa", "video", "knowledge", "text", "grounding", "multi_image", "agent")
"""Kinds of data in the paper. They are labels for metrics and mixtures; the form of a record does not depend on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A parsed record; exactly one of `messages` and `document` is not empty."""

    id: str
    source: str
    kind: str
    messages: tuple[Message, ...] = ()
    supervised: tuple[bool, ...] = ()
    """For every message, True if the loss counts it."""
    document: tuple[TextPart | ImagePart | VideoPart, ...] = ()

    @property
    def media(self) -> tuple[ImagePart | VideoPart, ...]:
        """Images and videos in reading order."""
        parts = self.document or [part for message in self.messages for part in message.parts]
        return tuple(part for part in parts if isinstance(part, (ImagePart, VideoPart)))


def parse_record(raw: Any) -> Record:
    """Check one decoded line. Raises RecordError with the field and the reason."""
    if not isinstance(raw, Mapping):
        raise RecordError("record", f"is a {type(raw).__name__}, it must be a JSON object")
    keys = {"id", "source", "kind", "messages", "document"}
    unknown = sorted(set(raw) - keys)
    if unknown:
        raise RecordError(unknown[0], f"is not a key of a record: valid are {', '.join(sorted(keys))}")
    name, source, kind = (_name(raw, key) for key in ("id", "source", "kind"))
    if kind not in KINDS:
        raise RecordError("kind", f'is "{kind}": the kinds are {", ".join(KINDS)}')
    if ("messages" in raw) == ("document" in raw):
        raise RecordError("messages", 'a record has either "messages" or "document"')
    if "messages" in raw:
        messages, supervised = _conversation(raw["messages"])
        record = Record(id=name, source=source, kind=kind, messages=messages, supervised=supervised)
    else:
        record = Record(id=name, source=source, kind=kind, document=_document(raw["document"]))
    for number, part in enumerate(record.media):
        _check_source(f"media {number}", part.source)
    return record


def _name(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RecordError(key, f"is {value!r}, it must be a text that is not empty")
    return value


def _conversation(raw: Any) -> tuple[tuple[Message, ...], tuple[bool, ...]]:
    """Messages, and for each of them, True if it is supervised."""
    marks: list[bool | None] = []
    plain: list[Any] = []
    for number, message in enumerate(raw if isinstance(raw, list) else []):
        mark = message.get("loss") if isinstance(message, Mapping) else None
        if mark is not None and not isinstance(mark, bool):
            raise RecordError(f"messages[{number}].loss", f"is {mark!r}, it must be true or false")
        marks.append(mark)
        plain.append({k: v for k, v in message.items() if k != "loss"} if isinstance(message, Mapping) else message)
    try:
        messages = parse_messages(plain if isinstance(raw, list) else raw)
    except MessageError as error:
        raise RecordError("messages", str(error)) from error
    refuse_wrong_markup(messages)
    replies = [message.role == "assistant" for message in messages]
    for number, (mark, reply) in enumerate(zip(marks, replies, strict=True)):
        if mark and not reply:
            raise RecordError(f"messages[{number}].loss", "is true, but only replies of the assistant are supervised")
    any_marked = any(mark is not None for mark in marks)
    supervised = tuple(reply and (bool(mark) or not any_marked) for mark, reply in zip(marks, replies, strict=True))
    if not any(supervised):
        raise RecordError("messages", "no reply is supervised, so nothing can be learned from it")
    return messages, supervised


def _document(raw: Any) -> tuple[TextPart | ImagePart | VideoPart, ...]:
    if not isinstance(raw, list) or not raw:
        raise RecordError("document", "must be a list of text, image and video parts that is not empty")
    try:
        (message,) = parse_messages([{"role": "user", "content": raw}])
    except MessageError as error:
        raise RecordError("document", str(error).replace("message 0, ", "")) from error
    parts = tuple(part for part in message.parts if isinstance(part, (TextPart, ImagePart, VideoPart)))
    if len(parts) < len(message.parts):
        raise RecordError("document", "holds a box or point part: write places as text")
    if not any(isinstance(part, TextPart) and part.text.strip() for part in parts):
        raise RecordError("document", "has no text, so nothing can be learned from it")
    return parts


def _check_source(field: str, source: Any) -> None:
    """Raise RecordError for media that are not named by a path or URI: a line of text cannot hold pixels."""
    named = source if isinstance(source, list) else [source]
    if not all(isinstance(each, str) and each for each in named):
        raise RecordError(field, "must be a path or a URI, or a list of them for the frames of a video")
