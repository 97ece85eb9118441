"""Conversion of records of other projects: LLaVA / ShareGPT, LLaMA-Factory, the official form for fine-tuning.

    LLaVA, ShareGPT    {"id", "image": ..., "conversations": [{"from": "human" | "gpt", "value": "<image>..."}]}
    official           the same, also with "video" and with lists of files                                 [paper 5.4]
    LLaMA-Factory      {"messages": [{"role", "content": "<image>..."}], "images": [...], "videos": [...]}

Every `<image>` and `<video>` is replaced by the next file that the record names; a different number of files is an error.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from qwen2vl.common.errors import RecordError
from qwen2vl.processing.agent_text import AgentReply, Call, render_reply

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "observation": "function",
    "function": "function",
    "tool": "function",
    "system": "system",
}
_PLACEHOLDER = re.compile(r"[ \t]*\n?<(image|video)>\n?")
"""A placeholder with the blanks before it and a line break on each side, which are no part of the text."""


def to_record(raw: Any, name: str, source: str) -> dict[str, Any]:
    """Convert an entry of another project to a record; a record of our own is returned unchanged.

    name: id of an entry without id. Raises RecordError when the form of the entry is unknown, or when its placeholders and
    files do not match.
    """
    if not isinstance(raw, Mapping):
        raise RecordError("record", f"is a {type(raw).__name__}, it must be a JSON object")
    if "kind" in raw:
        return dict(raw)
    turns = raw.get("conversations", raw.get("messages"))
    if not isinstance(turns, list):
        raise RecordError("conversations", 'is missing: known forms have "conversations" or "messages"')
    named = _files(raw)
    files = {kind: iter(paths) for kind, paths in named.items()}
    messages = [_message(number, turn, files) for number, turn in enumerate(turns)]
    for kind, left in files.items():
        unused = sum(1 for _ in left)
        if unused:
            total = len(named[kind])
            raise RecordError(kind, f"{total} {kind} files are named, but the text has {total - unused} <{kind}>")
    return {
        "id": str(raw.get("id", name)),
        "source": source,
        "kind": _kind(named, messages),
        "messages": messages,
    }


def _files(raw: Mapping[str, Any]) -> dict[str, list[str]]:
    """Kind -> the files that an entry names with the singular or the plural key."""
    found: dict[str, list[str]] = {}
    for kind in ("image", "video"):
        value = raw.get(kind, raw.get(f"{kind}s")) or []
        found[kind] = list(value) if isinstance(value, list) else [value]
    return found


def _message(number: int, turn: Any, files: Mapping[str, Iterator[str]]) -> dict[str, Any]:
    if not isinstance(turn, Mapping):
        raise RecordError(f"conversations[{number}]", f"is a {type(turn).__name__}, it must be an object")
    role = ROLES.get(str(turn.get("from", turn.get("role"))))
    text = turn.get("value", turn.get("content"))
    if role is None:
        raise RecordError(f"conversations[{number}]", f"has the role {turn.get('from', turn.get('role'))!r}")
    if not isinstance(text, str):
        raise RecordError(f"conversations[{number}]", "has no text")
    if turn.get("from", turn.get("role")) == "function_call":
        text = _call(number, text)
    return {"role": role, "content": _content(number, text, files)}


def _call(number: int, text: str) -> str:
    """Convert a call from the form of LLaMA-Factory, {"name": ..., "arguments": {...}}, to the form of Qwen2-VL."""
    try:
        call = json.loads(text)
        return render_reply(AgentReply(thought="", calls=(Call(call["name"], dict(call["arguments"])),)))
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"conversations[{number}]", 'is a function_call but not {"name": ..., "arguments": {...}} in JSON'
        ) from error


def _content(number: int, text: str, files: Mapping[str, Iterator[str]]) -> str | list[dict[str, Any]]:
    pieces = _PLACEHOLDER.split(text)
    if len(pieces) == 1:
        return text
    parts: list[dict[str, Any]] = []
    for index, piece in enumerate(pieces):
        if index % 2:
            file = next(files[piece], None)
            if file is None:
                raise RecordError(f"conversations[{number}]", f"has a <{piece}> for which no file is named")
            parts.append({"type": piece, piece: file})
        elif piece:
            parts.append({"type": "text", "text": piece})
    return parts


def _kind(named: Mapping[str, list[str]], messages: list[dict[str, Any]]) -> str:
    """The kind that an entry most likely has; users who need another kind write records of our own form."""
    if any(message["role"] == "function" for message in messages):
        return "agent"
    if named["video"]:
        return "video"
    if len(named["image"]) > 1:
        return "multi_image"
    return "vqa" if named["image"] else "text"
