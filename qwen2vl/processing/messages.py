"""The public message form, checked and parsed: dictionaries in, frozen `Message`s out [paper 4.6].

    [{"role": "user", "content": [{"type": "image", "image": "page.png"}, {"type": "text", "text": "Read it."}]}]

Roles are system, user, assistant and function (or tool). A function message is the result of an assistant's calls, as text
or a screenshot, inside its turn [paper 5.3]. Calls and results may have the shape of the OpenAI API: `tool_calls`. Every
error is a MessageError that names the place ("message 0, part 1"), the key and the valid values. Files are opened by `sources`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from qwen2vl.common.errors import MediaError, MessageError
from qwen2vl.processing.grounding import FRAME
from qwen2vl.processing.tool_calls import plain_messages
from qwen2vl.spec.media_settings import MediaOptions

Role = Literal["system", "user", "assistant", "function"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "function")
"""Roles after parsing; "tool" is read as "function"."""

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
    plain = plain_messages(messages)
    parsed = tuple(_Unparsed(f"message {i}", message).message() for i, message in enumerate(plain))
    _refuse_stray_results([message.role for message in parsed])
    return parsed


def _refuse_stray_results(roles: Sequence[Role]) -> None:
    """Raise MessageError for a result without a call, and for another role before the assistant's turn continues."""
    for i, (role, before) in enumerate(zip(roles, (None, *roles), strict=False)):
        if role == "function" and before not in ("assistant", "function"):
            raise MessageError(
                f'message {i} is of the role "function" but does not follow a call: put it after a message of the '
                '"assistant" or another "function"'
            )
        if before == "function" and role not in ("assistant", "function"):
            raise MessageError(
                f'message {i} is of the role "{role}" but follows a "function": let a message of the "assistant" end '
                "its turn first"
            )


@dataclass(frozen=True, slots=True)
class _Unparsed:
    """A message or part as the caller wrote it. Methods check what they return, and raise MessageError."""

    where: str
    """Its name in error messages, for example "message 0, part 1"."""
    raw: Any

    def message(self) -> Message:
        """The value as a message."""
        where, raw = self.where, self.raw
        if not isinstance(raw, Mapping):
            raise MessageError(f'{where} is a {type(raw).__name__}: write {{"role": "user", "content": "..."}}')
        self.refuse_unknown({"role", "content"})
        for key in ("role", "content"):
            if key not in raw:
                raise MessageError(f'{where} has no "{key}": a message has a role and a content')
        if raw["role"] not in ROLES:
            raise MessageError(f"{where} has the role {raw['role']!r}: the roles are {', '.join(ROLES)}, tool")
        content = raw["content"]
        if isinstance(content, str):
            return Message(role=raw["role"], parts=(TextPart(text=self.text("content")),))
        if isinstance(content, (bytes, Mapping)) or not isinstance(content, Sequence):
            raise MessageError(
                f"{where} has a content of type {type(content).__name__}: it must be text or a list of parts"
            )
        parts = tuple(_Unparsed(f"{where}, part {i}", part).part() for i, part in enumerate(content))
        return Message(role=raw["role"], parts=parts)

    def part(self) -> Part:
        """The value as a part of a message."""
        if not isinstance(self.raw, Mapping):
            raise MessageError(
                f'{self.where} is a {type(self.raw).__name__}: write {{"type": "text", "text": "..."}} or another part'
            )
        kind = self.kind()
        self.refuse_unknown({"type", kind, *KEYS[kind]})
        if self.raw.get(kind) is None:
            raise MessageError(f'{self.where} is of type "{kind}" but has no "{kind}": give it there')
        match kind:
            case "text":
                return TextPart(text=self.text("text"))
            case "box":
                return BoxPart(box=self.box(), label=self.label())
            case "point":
                x, y = self.thousandths("point", 2)
                return PointPart(point=(x, y), label=self.label())
        source = self.url(kind) if kind.endswith("_url") else self.raw[kind]
        options = self.options(KEYS[kind])
        if kind.startswith("image"):
            return ImagePart(source=source, options=options)
        return VideoPart(source=source, options=options)

    def kind(self) -> str:
        """Type of a part; if it is missing, as the published template allows, the one key that names a kind."""
        valid = ", ".join(KEYS)
        if "type" in self.raw:
            kind = self.raw["type"]
            if not isinstance(kind, str) or kind not in KEYS:
                raise MessageError(f"{self.where} has the type {kind!r}: the types are {valid}")
            return kind
        found = [kind for kind in KEYS if kind in self.raw]
        if len(found) != 1:
            what = f"both {' and '.join(found)}" if found else "no type"
            raise MessageError(f'{self.where} has {what}: give one "type" out of {valid}')
        return found[0]

    def refuse_unknown(self, valid: set[str]) -> None:
        unknown = [str(key) for key in self.raw if key not in valid]
        if unknown:
            raise MessageError(
                f"{self.where} has the unknown key {', '.join(unknown)}: valid here are {', '.join(sorted(valid))}"
            )

    def text(self, key: str) -> str:
        """Text that is valid Unicode."""
        value = self.raw[key]
        if not isinstance(value, str):
            raise MessageError(f'{self.where} has a "{key}" of type {type(value).__name__}: it must be text')
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise MessageError(
                    f'{self.where} has a "{key}" with half of a surrogate pair: send valid Unicode'
                ) from error
        return value

    def label(self) -> str:
        """Label of a box or point; empty when it has none."""
        return self.text("label") if self.raw.get("label") else ""

    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in thousandths."""
        left, top, right, bottom = self.thousandths("box", 4)
        if left > right or top > bottom:
            raise MessageError(
                f'{self.where} has the "box" {list(self.raw["box"])}: the order is left, top, right, bottom'
            )
        return left, top, right, bottom

    def thousandths(self, key: str, count: int) -> list[int]:
        """`count` coordinates in thousandths."""
        value = self.raw[key]
        numbers = list(value) if isinstance(value, (list, tuple)) else []
        if len(numbers) != count or not all(type(n) is int and 0 <= n <= FRAME for n in numbers):
            raise MessageError(
                f'{self.where} has the "{key}" {value!r}: it must be {count} whole numbers from 0 to {FRAME}, '
                "thousandths of the image's width and height"
            )
        return numbers

    def url(self, key: str) -> str:
        """URL of a part, given as {"url": ...} as in the OpenAI API, or as text."""
        value = self.raw[key]
        if isinstance(value, Mapping):
            _Unparsed(f"{self.where}, {key}", value).refuse_unknown({"url", "detail"})
            if value.get("detail", "auto") != "auto":
                raise MessageError(
                    f"{self.where} sets detail {value['detail']!r}, which has no effect here: "
                    'use "min_pixels" or "max_pixels"'
                )
            value = value.get("url")
        if not isinstance(value, str):
            raise MessageError(f'{self.where} has no "url" text in its "{key}": write {{"{key}": {{"url": "..."}}}}')
        return value

    def options(self, valid: frozenset[str]) -> MediaOptions:
        """Limits of an image or video."""
        try:
            return MediaOptions(**{key: self.raw[key] for key in self.raw if key in valid})
        except MediaError as error:
            raise MessageError(f"{self.where}: {error}") from error
