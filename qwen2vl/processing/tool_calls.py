"""Calls of tools in the shape of the OpenAI API, converted to and from the agent format.

    {"role": "assistant", "content": "I look.", "tool_calls": [{"id": "call_0", "type": "function",
        "function": {"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}}]}
    {"role": "tool", "tool_call_id": "call_0", "content": "4 degrees"}

become the messages "I look.\\n✿FUNCTION✿: weather\\n✿ARGS✿: {...}" of the assistant and "4 degrees" of the role "function".
The text form of calls is in `agent_text`, declared tools are in `declared_tools`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwen2vl.common.errors import MessageError
from qwen2vl.processing.agent_text import AgentReply, BadCall, Call, parse_reply, render_reply
from qwen2vl.processing.call_arguments import read_arguments

UNUSED = frozenset({"refusal", "annotations", "audio", "function_call", "tool_calls"})
"""Keys of an assistant's message that clients of the OpenAI API fill with null."""
CALL_KEYS = frozenset({"id", "type", "index", "function", "name", "arguments"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a tool that an answer makes."""

    id: str
    """Name of the call within its answer, "call_0": the result refers to it as `tool_call_id`."""
    name: str
    arguments: Mapping[str, Any] | None
    """None when they cannot be read."""
    text: str
    """The arguments as JSON, or as the model wrote them when they cannot be read."""

    def to_openai(self) -> dict[str, Any]:
        """The call in the shape of the OpenAI API, whose arguments are text."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.text}}


def calls_of(reply: AgentReply) -> tuple[ToolCall, ...]:
    """The calls of a parsed reply, numbered from 0."""
    return tuple(
        ToolCall(id=f"call_{number}", name=call.name, arguments=None, text=call.text)
        if isinstance(call, BadCall)
        else ToolCall(
            id=f"call_{number}",
            name=call.name,
            arguments=call.arguments,
            text=json.dumps(dict(call.arguments), ensure_ascii=False),
        )
        for number, call in enumerate(reply.calls)
    )


def message_of(text: str, calls: Sequence[ToolCall]) -> dict[str, Any]:
    """The message of an assistant that wrote `text`, with its calls in the shape of the OpenAI API."""
    if not calls:
        return {"role": "assistant", "content": text}
    return {
        "role": "assistant",
        "content": parse_reply(text).thought,
        "tool_calls": [call.to_openai() for call in calls],
    }


def plain_messages(messages: Sequence[Any]) -> list[Any]:
    """Messages without the keys and roles of tools; the others are not changed.

    Results are put in the order of their calls. Raises MessageError for calls and results of a wrong form, and for results
    that do not belong to the calls before them.
    """
    plain: list[Any] = []
    results: dict[str, Any] = {}
    """Results of the open calls by their ids, in the order of the calls; None where one is missing."""
    for number, message in enumerate(messages):
        where = f"message {number}"
        if not isinstance(message, Mapping):
            plain.append(message)
        elif message.get("role") in ("tool", "function"):
            result = {key: value for key, value in message.items() if key not in ("tool_call_id", "name")}
            plain.append(result | {"role": "function"})
            if message.get("tool_call_id") is not None:
                _place(results, plain, message["tool_call_id"], where)
        else:
            _refuse_missing(results, where)
            results = {}
            if message.get("role") == "assistant":
                message, ids = _assistant(message, where)
                results = dict.fromkeys(ids)
            plain.append(message)
    _refuse_missing(results, "the end of the conversation")
    return plain


def _place(results: dict[str, Any], plain: list[Any], id: Any, where: str) -> None:
    """Move the last message to the place of its call among the results."""
    is_known = isinstance(id, str) and id in results
    if not is_known or results[id] is not None:
        what = "a second result of" if is_known else "a result of"
        raise MessageError(
            f"{where} is {what} the call {id!r}: the calls of the assistant before it are {', '.join(results) or 'none'}, "
            "each with one result"
        )
    results[id] = plain.pop()
    found = [result for result in results.values() if result is not None]
    plain[len(plain) - len(found) + 1 :] = found


def _refuse_missing(results: Mapping[str, Any], where: str) -> None:
    missing = [id for id, result in results.items() if result is None]
    if missing and len(missing) < len(results):
        raise MessageError(f"the call {missing[0]!r} has no result before {where}: give one result for each call")


def _assistant(message: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], list[str]]:
    """A message of the assistant with its calls as text, and the ids of the calls."""
    raw = message.get("tool_calls") or ([message["function_call"]] if message.get("function_call") else [])
    kept = {key: value for key, value in message.items() if key not in UNUSED or (value and key not in _CALLS)}
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise MessageError(f'{where} has "tool_calls" of type {type(raw).__name__}: they must be a list')
    if not raw:
        return kept, []
    calls = tuple(_call(call, f"{where}, call {i}") for i, call in enumerate(raw))
    ids = [str(call["id"]) for call in raw if call.get("id") is not None]
    if len(set(ids)) < len(ids):
        raise MessageError(f"{where} has calls with the same id: give every call its own")
    content = kept.get("content") or ""
    if isinstance(content, str):
        return kept | {"content": render_reply(AgentReply(thought=content.strip(), calls=calls))}, ids
    written = render_reply(AgentReply(thought="", calls=calls))
    return kept | {"content": [*content, {"type": "text", "text": f"\n{written}" if content else written}]}, ids


_CALLS = ("tool_calls", "function_call")


def _call(raw: Any, where: str) -> Call | BadCall:
    if not isinstance(raw, Mapping) or set(raw) - CALL_KEYS:
        raise MessageError(
            f'{where} is not of the form {{"id": ..., "type": "function", "function": {{"name": ..., "arguments": ...}}}}'
        )
    call = raw.get("function", raw)
    name = call.get("name") if isinstance(call, Mapping) else None
    if not isinstance(name, str) or not name.strip():
        raise MessageError(f'{where} has no "name": write the name of the function there')
    arguments = call.get("arguments")
    if isinstance(arguments, str):
        read = read_arguments(arguments)
        return BadCall(name, arguments) if read is None else Call(name, read)
    if not isinstance(arguments, Mapping | None):
        raise MessageError(
            f'{where} has "arguments" of type {type(arguments).__name__}: they must be an object or JSON'
        )
    return Call(name, dict(arguments or {}))
