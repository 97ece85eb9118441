"""Conversion of records of other projects, which are recognised by one key each (`FORMS`).

    LLaVA, ShareGPT      {"id", "image": ..., "conversations": [{"from": "human" | "gpt", "value": "<image>..."}]}
    official             the same, also with "video" and with lists of files                               [paper 5.4]
    chat messages        {"messages": [{"role", "content": "<image>..." or parts}], "images": [...]}
                         LLaMA-Factory, ms-swift ("objects", "loss"), OpenAI ("tool_calls", "weight"), TRL (parts)
    Alpaca               {"instruction", "input", "output", "system", "history", "images"}
    query and response   {"query", "response", "system", "history", "images"}, of ms-swift

Every key is used or the record is refused, with the name of the key and of the form. A key whose value is null or empty
is taken as absent: tables write one for every column. How text is read: `foreign_text`; calls and tools: `foreign_calls`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from qwen2vl.common.errors import RecordError
from qwen2vl.data.foreign_calls import declaration, refuse_wrong_order, reply_of
from qwen2vl.data.foreign_text import Files, Objects, SizeOf, content_of

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "function",
    "function": "function",
    "tool": "function",
    "tool_response": "function",
    "system": "system",
    "developer": "system",
}
CALLS = ("function_call", "tool_call")
"""Roles whose text is a call in JSON."""
MARKS = ("loss", "weight", "train")
"""Keys of a message that say whether the loss counts it: ms-swift, OpenAI, Axolotl."""
TURN_KEYS = frozenset({"from", "value", "role", "content", "tool_calls", "tool_call_id", "name", *MARKS})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordForm:
    """A form of records."""

    name: str
    mark: str
    """The key that it is recognised by."""
    keys: frozenset[str]
    """All keys that it may have."""


COMMON = frozenset({"id", "source", "image", "images", "video", "videos", "system", "tools", "objects"})
FORMS = (
    RecordForm(
        name="LLaVA / ShareGPT",
        mark="conversations",
        keys=COMMON
        | {"conversations", "model"},  # LLaVA's "model" says who wrote the replies; training ignores it there
    ),
    RecordForm(name="chat messages", mark="messages", keys=COMMON | {"messages"}),
    RecordForm(name="Alpaca", mark="instruction", keys=COMMON | {"instruction", "input", "output", "history"}),
    RecordForm(name="query and response", mark="query", keys=COMMON | {"query", "response", "history"}),
)


def to_record(raw: Any, name: str, source: str, size_of: SizeOf) -> dict[str, Any]:
    """Convert an entry of another project to a record; a record of our own is returned unchanged.

    name: id of an entry without id. source: source of an entry without one. size_of: opens an image that boxes in pixels
    refer to. Raises RecordError when the form of the entry is unknown, for a key that the form lacks, and when placeholders
    and files do not match.
    """
    if not isinstance(raw, Mapping):
        raise RecordError("record", f"is a {type(raw).__name__}, it must be a JSON object")
    if "kind" in raw or "document" in raw:
        return dict(raw)
    entry = _present(raw)
    form = _form_of(raw, entry)
    files = Files({kind: _files(entry, kind) for kind in ("image", "video")})
    objects = Objects.read(entry.get("objects", {}), files.named["image"], size_of)
    turns = _turns(raw, form)
    refuse_wrong_order(form.mark, turns)
    messages = _joined([_message(f"{form.mark}[{n}]", turn, files, objects) for n, turn in enumerate(turns)])
    files.refuse_unused()
    objects.refuse_unused()
    messages = _with_system(entry, messages)
    return {
        "id": str(entry.get("id", name)),
        "source": entry.get("source", source),
        "kind": _kind(messages),
        "messages": _marked(messages),
    }


def _present(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The keys whose values say something."""
    return {key: value for key, value in raw.items() if value is not None and value not in ("", [], {})}


def _form_of(raw: Mapping[str, Any], entry: Mapping[str, Any]) -> RecordForm:
    """The form of an entry. Raises RecordError for none, and for a key that the form does not have."""
    form = next((form for form in FORMS if raw.get(form.mark) is not None), None)
    if form is None:
        marks = ", ".join(f'"{form.mark}"' for form in FORMS)
        raise RecordError(
            "record", f'has none of the keys by which known forms are recognised: {marks}; ours has "kind"'
        )
    _refuse_unknown(
        "", entry, form.keys, f'the form {form.name}, for which this record was taken because of "{form.mark}"'
    )
    return form


def _refuse_unknown(where: str, entry: Mapping[str, Any], keys: frozenset[str], form: str) -> None:
    for key in entry:
        if key not in keys:
            raise RecordError(f"{where}{key}", f"is no key of {form}: valid are {', '.join(sorted(keys))}")


def _files(entry: Mapping[str, Any], kind: str) -> list[Any]:
    """The files that an entry names with the singular or the plural key. Raises RecordError when it has both."""
    if kind in entry and f"{kind}s" in entry:
        raise RecordError(f"{kind}s", f'is given beside "{kind}": write one of them')
    value = entry.get(kind, entry.get(f"{kind}s", []))
    return [_path(kind, file) for file in (value if isinstance(value, list) else [value])]


def _path(kind: str, file: Any) -> Any:
    """A file; of the form {"path": ..., "bytes": null}, which tables have, its path."""
    if not isinstance(file, Mapping):
        return file
    if set(_present(file)) != {"path"}:
        raise RecordError(kind, "is an object without a path, or with more than a path: name a file")
    return file["path"]


def _turns(raw: Mapping[str, Any], form: RecordForm) -> list[Any]:
    """The turns of an entry in the form of LLaVA, or of chat messages. Raises RecordError."""
    if form.mark in ("conversations", "messages"):
        turns = raw[form.mark]
        if not isinstance(turns, list):
            raise RecordError(form.mark, f"is a {type(turns).__name__}, it must be a list of messages")
        return turns
    asked, answered = ("instruction", "output") if form.mark == "instruction" else ("query", "response")
    history = raw.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise RecordError("history", "must be a list of [question, reply]")
    question = "\n".join(str(raw[key]) for key in (asked, "input") if raw.get(key))
    texts = [text for pair in [*history, [question, raw.get(answered)]] for text in pair]
    return [{"role": role, "content": text} for role, text in zip(cycle(("user", "assistant")), texts, strict=False)]


def _message(where: str, turn: Any, files: Files, objects: Objects) -> dict[str, Any]:
    """One turn as a message of ours, with "loss" if the turn has a mark. Raises RecordError."""
    if not isinstance(turn, Mapping):
        raise RecordError(where, f"is a {type(turn).__name__}, it must be an object")
    present = {key: value for key, value in turn.items() if value is not None}
    _refuse_unknown(f"{where}.", present, TURN_KEYS, "a message")
    named = present.get("from", present.get("role"))
    role = ROLES.get(str(named))
    if role is None:
        raise RecordError(where, f"has the role {named!r}: known are {', '.join(ROLES)}")
    raw, calls = present.get("value", present.get("content")), present.get("tool_calls")
    message = {"role": role} | _mark(where, present)
    if named in CALLS:
        return message | {"content": reply_of(where, "", raw), "acts": True}
    if raw is None and not calls:
        raise RecordError(where, "has no text")
    content = _content(where, raw or "", role == "assistant", files, objects)
    if not calls:
        return message | {"content": content}
    if role != "assistant" or not isinstance(content, str):
        raise RecordError(f"{where}.tool_calls", "belong to a message of the assistant whose content is text or null")
    return message | {"content": reply_of(where, content, calls), "acts": True}


def _mark(where: str, turn: Mapping[str, Any]) -> dict[str, bool]:
    """{"loss": ...} of a turn with one of `MARKS`. Raises RecordError for shares between 0 and 1."""
    found = [(key, turn[key]) for key in MARKS if key in turn]
    for key, value in found:
        if value not in (True, False):  # 1 and 0 included
            raise RecordError(f"{where}.{key}", f"is {value!r}, it must be true or false, or 1 or 0")
    if len({bool(value) for _, value in found}) > 1:
        raise RecordError(where, f"has {' and '.join(key for key, _ in found)}, which say different things")
    return {"loss": bool(found[0][1])} if found else {}


def _content(where: str, raw: Any, is_reply: bool, files: Files, objects: Objects) -> str | list[dict[str, Any]]:
    """Content of a turn: text with placeholders, or a list of parts. Raises RecordError."""
    if isinstance(raw, str):
        return content_of(where, objects.fill(where, raw), is_reply, files)
    if not isinstance(raw, list):
        raise RecordError(where, "has no text")
    parts: list[dict[str, Any]] = []
    for number, part in enumerate(raw):
        place = f"{where}[{number}]"
        if not isinstance(part, Mapping):
            raise RecordError(place, f"is a {type(part).__name__}, it must be an object")
        part = {key: value for key, value in part.items() if value is not None}
        kind = part.get("type", "text" if set(part) == {"text"} else None)
        if kind == "text" and isinstance(part.get("text"), str) and set(part) <= {"type", "text"}:
            content = content_of(place, objects.fill(place, part["text"]), is_reply, files)
            parts += [{"type": "text", "text": content}] if isinstance(content, str) else content
        elif kind in ("image", "video"):
            parts.append(_media_part(place, kind, part, files))
        else:
            parts.append(part)  # `messages.parse_messages` knows the rest, and refuses what is unknown
    return parts


def _media_part(where: str, kind: str, part: dict[str, Any], files: Files) -> dict[str, Any]:
    """A part with its file: named in the part, or the next one of the record."""
    named = [key for key in (kind, "path", "url") if key in part]
    if len(named) > 1:
        raise RecordError(where, f"names a file in {' and '.join(named)}: one is enough")
    file = part[named[0]] if named else files.take(where, kind)
    return {key: value for key, value in part.items() if key not in named} | {"type": kind, kind: _path(kind, file)}


def _joined(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with a call joined to the reply or call before it, because they are one turn. Raises RecordError."""
    joined: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        acts, before = message.pop("acts", False), joined[-1] if joined else None
        if not acts or before is None or before["role"] != "assistant":
            joined.append(message)
            continue
        if before.get("loss") != message.get("loss") or not isinstance(before["content"], str):
            raise RecordError(
                f"messages[{number}]", "continues the reply before it, but has another loss, or that is no text"
            )
        before["content"] = "\n".join(filter(None, (before["content"], message["content"])))
    return joined


def _with_system(entry: Mapping[str, Any], messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages after a system message with the text and the tools of an entry, if it has any. Raises RecordError."""
    system = entry.get("system", "")
    if not isinstance(system, str):
        raise RecordError("system", f"is a {type(system).__name__}, it must be text")
    if messages and messages[0]["role"] == "system":
        own = messages[0]["content"]
        if system and system != own:
            raise RecordError("system", "differs from the message of the role system: write one of them")
        if not isinstance(own, str):
            if "tools" in entry:
                raise RecordError("tools", "cannot be declared after a system message that is not text")
            return messages
        system, messages = own, messages[1:]
    text = declaration(entry["tools"], system) if "tools" in entry else system
    return [{"role": "system", "content": text}, *messages] if text else messages


def _marked(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with "loss" in every reply if any message has it: in other projects a reply without it counts."""
    if not any("loss" in message for message in messages):
        return messages
    return [
        ({"loss": True} | message) if message["role"] == "assistant" else _without_false(message)
        for message in messages
    ]


def _without_false(message: dict[str, Any]) -> dict[str, Any]:
    """A message that is no reply; "loss": false says nothing there."""
    return message if message.get("loss") else {key: value for key, value in message.items() if key != "loss"}


def _kind(messages: list[dict[str, Any]]) -> str:
    """The kind that an entry most likely has; users who need another kind write records of our own form."""
    if any(message["role"] == "function" for message in messages):
        return "agent"
    kinds = [part["type"] for each in messages if isinstance(each["content"], list) for part in each["content"]]
    if any(kind.startswith("video") for kind in kinds):
        return "video"
    num_images = sum(kind.startswith("image") for kind in kinds)
    return ("text", "vqa")[num_images] if num_images < 2 else "multi_image"
