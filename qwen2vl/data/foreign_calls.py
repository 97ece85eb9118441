"""Calls and declared tools of other projects, in the text form of agents.

{"name": "weather", "arguments": {"city": "Oslo"}}                                 LLaMA-Factory, ms-swift; also a list of them
{"type": "function", "function": {"name": "weather", "arguments": "{...}"}}        OpenAI, TRL: a list in "tool_calls"
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qwen2vl.common.errors import MessageError, RecordError
from qwen2vl.processing.agent_text import AgentReply, Call, declare, render_reply
from qwen2vl.processing.chat_template import DEFAULT_SYSTEM
from qwen2vl.processing.declared_tools import actions_of


def declaration(tools: Any, system: str) -> str:
    """The system text that declares tools, a list or a list in JSON; the given text without any. Raises RecordError."""
    try:
        decoded = json.loads(tools) if isinstance(tools, str) else tools
        actions = actions_of(decoded)
        return declare(actions, system or DEFAULT_SYSTEM) if actions else system
    except MessageError as error:
        raise RecordError("tools", str(error)) from error
    except ValueError as error:
        raise RecordError("tools", "is neither a list of declared tools nor such a list in JSON") from error


def reply_of(where: str, thought: str, calls: Any) -> str:
    """The reply that makes calls: one call, a list of them, or either of these in JSON. Raises RecordError.

    thought: text before the first call.
    """
    try:
        decoded = json.loads(calls) if isinstance(calls, str) else calls
        listed = decoded if isinstance(decoded, list) else [decoded]
        return render_reply(AgentReply(thought=thought, calls=tuple(map(_call, listed))))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(
            where, 'is a function_call but not {"name": ..., "arguments": {...}} in JSON, or a list of them'
        ) from error


def _call(raw: Any) -> Call:
    """One call. Raises KeyError, TypeError, AttributeError or ValueError."""
    call = raw.get("function", raw)
    if set(raw) - {"id", "type", "index", "function", "name", "arguments"} or set(call) - {"id", "name", "arguments"}:
        raise KeyError("unknown keys")
    name, arguments = call["name"], call["arguments"]
    if isinstance(arguments, str):
        arguments = json.loads(arguments)
    if not isinstance(name, str) or not name.strip() or not isinstance(arguments, Mapping):
        raise TypeError
    return Call(name, dict(arguments))


def refuse_wrong_order(where: str, turns: Sequence[Any]) -> None:
    """Raise RecordError for a result that is not in the order of its calls: the text form does not name calls.

    where: name of the list of turns in errors.
    """
    waiting: list[Any] = []
    for number, turn in enumerate(turns):
        if not isinstance(turn, Mapping):
            continue
        if isinstance(calls := turn.get("tool_calls"), list):
            waiting = [call.get("id") for call in calls if isinstance(call, Mapping)]
        answered = turn.get("tool_call_id")
        if answered is not None and (not waiting or answered != waiting.pop(0)):
            raise RecordError(
                f"{where}[{number}].tool_call_id", f"is {answered!r}: results must follow in the order of their calls"
            )
