"""The public message form, checked and parsed: dictionaries in, frozen `Message`s out [paper 4.6].

    [{"role": "user", "content": [{"type": "image", "image": "page.png"}, {"type": "text", "text": "Read it."}]}]

Roles are system, user, assistant and function. A function message is the result of an assistant's calls, as text or a
screenshot, inside its turn [paper 5.3]. Every error is a MessageError that names the place ("message 0, part 1"), the key
and the valid values. Files are opened by `sources`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from qwen2vl.common.errors import MediaError, MessageError
from qwen2vl.processing.grounding import FRAME
from qwen2vl.spec.media_settings import MediaOptions

Role = Literal["system", "user", "assistant", "function"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "function")

IMAGE_OPTIONS = frozenset({"min_pixels", "max_pixels", "resized_height", "resized_width"})
VIDEO_OPTIONS = frozenset(f.name for f in fields(MediaOptions))
KEYS = {
    "text": frozenset(),
    "image": IMAGE_OPTIONS,
    "image_url": IMAGE_OPTIONS,
    "video": VIDEO_OPTIONS,
    "video_url": VIDEO_OPTIONS,
    "box": frozenset({"label"}),
    "point": frozenset({"label"}),
}
"""Each kind of part, which is also the key of its main value, and the other keys that it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """Text of a message."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """One image, before it is opened."""

    source: Any
    """Path, `file://`, `data:` or http(s) URL, bytes, PIL image or numpy array."""
    options: MediaOptions = field(default_factory=MediaOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPart:
    """One video, before it is opened."""

    source: Any
    """A source as for images, or a list of frames, each in any form of an image."""
    options: MediaOptions = field(default_factory=MediaOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxPart:
    """A box in an image that the writer refers to."""

    box: tuple[int, int, int, int]
    """Left, top, right, bottom in thousandths of the image."""
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPart:
    """A point in an image that the writer refers to."""

    point: tuple[int, int]
    """x, y in thousandths of the image."""
    label: str = ""


Part = TextPart | ImagePart | VideoPart | BoxPart | PointPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn. The turn of an assistant that acts consists of several messages, with results ("function") between them."""

    role: Role
    parts: tuple[Part, ...]


def parse_messages(messages: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Check one conversation and convert it into messages. Raises MessageError."""
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise MessageError(
            f"a conversation is a list of messages, not a {type(messages).__name__}: "
            'write [{"role": "user", "content": "..."}]'
        )
    if not messages:
        raise MessageError(
            'the conversation is empty: it needs at least one message, {"role": "user", "content": "..."}'
        )
    parsed = tuple(_parse_message(f"message {i}", message) for i, message in enumerate(messages))
    _refuse_stray_results([message.role for message in parsed])
    return parsed


def _refuse_stray_results(roles: Sequence[Role]) -> None:
    """Raise MessageError for a result without a call, and for another role before the assistant's turn continues."""
    for i, (role, before) in enumerate(zip(roles, (None, *roles), strict=False)):
        if role == "function" and before not in ("assistant", "function"):
            raise MessageError(
                f'message {i} is of the role "function" but does not follow a call: put it behind a message of the '
                '"assistant" or another "function"'
            )
        if before == "function" and role not in ("assistant", "function"):
            raise MessageError(
                f'message {i} is of the role "{role}" but follows a "function": let a message of the "assistant" end '
                "its turn first"
            )


def _parse_message(where: str, raw: Any) -> Message:
    if not isinstance(raw, Mapping):
        raise MessageError(f'{where} is a {type(raw).__name__}: write {{"role": "user", "content": "..."}}')
    _refuse_unknown(where, raw, {"role", "content"})
    for key in ("role", "content"):
        if key not in raw:
            raise MessageError(f'{where} has no "{key}": a message has a role and a content')
    if raw["role"] not in ROLES:
        raise MessageError(f"{where} has the role {raw['role']!r}: the roles are {', '.join(ROLES)}")
    content = raw["content"]
    if isinstance(content, str):
        return Message(role=raw["role"], parts=(TextPart(text=_clean_text(where, "content", content)),))
    if isinstance(content, (bytes, Mapping)) or not isinstance(content, Sequence):
        raise MessageError(
            f"{where} has a content of type {type(content).__name__}: it must be text or a list of parts"
        )
    parts = tuple(_parse_part(f"{where}, part {i}", part) for i, part in enumerate(content))
    return Message(role=raw["role"], parts=parts)


def _parse_part(where: str, raw: Any) -> Part:
    if not isinstance(raw, Mapping):
        raise MessageError(
            f'{where} is a {type(raw).__name__}: write {{"type": "text", "text": "..."}} or another part'
        )
    kind = _kind_of(where, raw)
    _refuse_unknown(where, raw, {"type", kind, *KEYS[kind]})
    if raw.get(kind) is None:
        raise MessageError(f'{where} is of type "{kind}" but has no "{kind}": give it there')
    value = raw[kind]
    match kind:
        case "text":
            return TextPart(text=_clean_text(where, "text", value))
        case "box":
            return BoxPart(box=_box(where, value), label=_label(where, raw))
        case "point":
            return PointPart(point=_point(where, value), label=_label(where, raw))
        case "image" | "image_url":
            source = value if kind == "image" else _url(where, kind, value)
            return ImagePart(source=source, options=_options(where, raw, KEYS[kind]))
    source = value if kind == "video" else _url(where, kind, value)
    return VideoPart(source=source, options=_options(where, raw, KEYS[kind]))


def _kind_of(where: str, raw: Mapping[str, Any]) -> str:
    """Type of a part; if it is missing, as the published template allows, the one key that names a kind."""
    valid = ", ".join(KEYS)
    if "type" in raw:
        if not isinstance(raw["type"], str) or raw["type"] not in KEYS:
            raise MessageError(f"{where} has the type {raw['type']!r}: the types are {valid}")
        return raw["type"]
    found = [kind for kind in KEYS if kind in raw]
    if len(found) != 1:
        what = f"both {' and '.join(found)}" if found else "no type"
        raise MessageError(f'{where} has {what}: give one "type" out of {valid}')
    return found[0]


def _refuse_unknown(where: str, raw: Mapping[str, Any], valid: set[str]) -> None:
    unknown = [str(key) for key in raw if key not in valid]
    if unknown:
        raise MessageError(
            f"{where} has the unknown key {', '.join(unknown)}: valid here are {', '.join(sorted(valid))}"
        )


def _clean_text(where: str, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise MessageError(f'{where} has a "{key}" of type {type(value).__name__}: it must be text')
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise MessageError(f'{where} has a "{key}" with half of a surrogate pair: send valid Unicode') from error
    return value


def _label(where: str, raw: Mapping[str, Any]) -> str:
    return _clean_text(where, "label", raw.get("label") or "")


def _box(where: str, value: Any) -> tuple[int, int, int, int]:
    left, top, right, bottom = _thousandths(where, "box", value, 4)
    if left > right or top > bottom:
        raise MessageError(f'{where} has the "box" {list(value)}: the order is left, top, right, bottom')
    return left, top, right, bottom


def _point(where: str, value: Any) -> tuple[int, int]:
    x, y = _thousandths(where, "point", value, 2)
    return x, y


def _thousandths(where: str, key: str, value: Any, count: int) -> list[int]:
    numbers = list(value) if isinstance(value, (list, tuple)) else []
    if len(numbers) != count or not all(type(n) is int and 0 <= n <= FRAME for n in numbers):
        raise MessageError(
            f'{where} has the "{key}" {value!r}: it must be {count} whole numbers from 0 to {FRAME}, '
            "thousandths of the image's width and height"
        )
    return numbers


def _url(where: str, key: str, value: Any) -> str:
    """URL of a part, given as {"url": ...} as in the OpenAI API, or as text."""
    if isinstance(value, Mapping):
        _refuse_unknown(f"{where}, {key}", value, {"url", "detail"})
        if value.get("detail", "auto") != "auto":
            raise MessageError(
                f'{where} asks for detail {value["detail"]!r}, which has no effect here: use "min_pixels" or "max_pixels"'
            )
        value = value.get("url")
    if not isinstance(value, str):
        raise MessageError(f'{where} has no "url" text in its "{key}": write {{"{key}": {{"url": "..."}}}}')
    return value


def _options(where: str, raw: Mapping[str, Any], valid: frozenset[str]) -> MediaOptions:
    try:
        return MediaOptions(**{key: raw[key] for key in raw if key in valid})
    except MediaError as error:
        raise MessageError(f"{where}: {error}") from error
