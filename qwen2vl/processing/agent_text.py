"""The text form of agents: actions declared in the system message, calls and results inside one assistant turn.

    You are a helpful assistant.

    # Actions
    ## You have the following actions:
    ### Tap
    Tap: touch a point of the screen
    Parameters: [{"name": "point", "description": "(x, y) in thousandths", "required": true}]
    ...
    I open the menu.
    ✿FUNCTION✿: Tap
    ✿ARGS✿: {"point": [348, 291]}
    ✿RESULT✿: <the next screenshot>
    ✿RETURN✿: It is open now. ...

The flower strings are the published ones [paper 5.3]. Several calls may follow each other; then one result for each call
follows, and one return. The model writes up to the first result, the program that runs the actions writes the results, and
the model continues after the return (`STOPS`). Reading is tolerant, because models make mistakes: `ReplyReader`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen2vl.common.errors import MessageError

FUNCTION, ARGS, RESULT, RETURN = "✿FUNCTION✿", "✿ARGS✿", "✿RESULT✿", "✿RETURN✿"
STOPS = (RESULT, RETURN)
"""Strings at which the model must stop, because the program writes what follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument of an action."""

    name: str
    description: str
    required: bool = True
    choices: tuple[str, ...] = ()
    """Allowed values; empty when any value is allowed."""

    def declared(self) -> dict[str, Any]:
        """The parameter as JSON of the declaration."""
        shown: dict[str, Any] = {"name": self.name, "description": self.description, "required": self.required}
        return shown | ({"choices": list(self.choices)} if self.choices else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action that an agent may take."""

    name: str
    description: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an action with its arguments, as the model wrote it."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadCall:
    """A call whose arguments are not a JSON object, kept so that the agent can be informed."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReply:
    """A part of the assistant's turn: a thought, and calls."""

    thought: str
    """Text before the first call; the whole answer if there is no call."""
    calls: tuple[Call | BadCall, ...] = ()


def declare(actions: Sequence[Action], system: str = "You are a helpful assistant.") -> str:
    """The system message that declares actions. Raises MessageError without actions or with a repeated name."""
    names = [action.name for action in actions]
    if not names or len(set(names)) < len(names):
        raise MessageError(f"the actions are {', '.join(names) or 'none'}: an agent needs at least one, each name once")
    lines = [system, "", "# Actions", "", "## You have the following actions:", ""]
    for action in actions:
        parameters = json.dumps([parameter.declared() for parameter in action.parameters], ensure_ascii=False)
        lines += [f"### {action.name}", "", f"{action.name}: {action.description}", f"Parameters: {parameters}", ""]
    lines += [
        "## Continuously take action until the task is completed.",
        "",
        f"{FUNCTION}: The action to take, one of [{','.join(names)}]",
        f"{ARGS}: The input of the action",
        f"{RESULT}: The result of the action",
        f"{RETURN}: What the result says about the task",
    ]
    return "\n".join(lines)


def render_reply(reply: AgentReply) -> str:
    """Thought and calls in the form that a model writes, without results."""
    pieces = [reply.thought] if reply.thought else []
    for call in reply.calls:
        written = call.text if isinstance(call, BadCall) else json.dumps(dict(call.arguments), ensure_ascii=False)
        pieces.append(f"{FUNCTION}: {call.name}\n{ARGS}: {written}")
    return "\n".join(pieces)


def parse_reply(text: str) -> AgentReply:
    """Thought and calls of a complete reply; `ReplyReader` says what is tolerated."""
    reader = ReplyReader()
    reader.feed(text)
    return reader.finish()


@dataclass(slots=True)
class ReplyReader:
    """Reads a reply while it is written.

    `feed` returns new text of the thought, never a part of a keyword. Tolerated: a missing colon or space after a keyword,
    arguments in a code fence, words after the closing brace, missing arguments (for actions without any), and a turn
    that ends inside a call.
    """

    text: str = ""
    _shown: int = field(default=0, repr=False)

    def feed(self, piece: str) -> str:
        """Add a piece of the reply; returns the text of the thought that can be shown now."""
        self.text += piece
        end = self._thought_end()
        fresh, self._shown = self.text[self._shown : end], max(self._shown, end)
        return fresh

    def _thought_end(self) -> int:
        """End of the thought: at a keyword, or before text that may become one."""
        found = [at for at in (self.text.find(word) for word in (FUNCTION, *STOPS)) if at >= 0]
        if found:
            return min(found)
        for length in range(len(FUNCTION), 0, -1):  # the longest keyword
            tail = self.text[-length:]
            if any(word.startswith(tail) for word in (FUNCTION, *STOPS)):
                return len(self.text) - len(tail)
        return len(self.text)

    def finish(self) -> AgentReply:
        """The complete reply after the last piece; results and the text after them are left out."""
        written = self.text
        for word in STOPS:
            written = written.split(word, 1)[0]
        thought, *calls = written.split(FUNCTION)
        return AgentReply(thought=thought.strip(), calls=tuple(_read_call(call) for call in calls))


def _read_call(text: str) -> Call | BadCall:
    name, _, arguments = text.partition(ARGS)
    name, arguments = (part.strip().removeprefix(":").strip() for part in (name, arguments))
    if arguments.startswith("```"):
        arguments = arguments.split("\n", 1)[-1].rsplit("```", 1)[0].strip()
    if not arguments:
        return Call(name, {})
    try:
        value, _ = json.JSONDecoder().raw_decode(arguments)
    except ValueError:
        return BadCall(name, arguments)
    return Call(name, value) if isinstance(value, dict) else BadCall(name, arguments)
