"""What an agent writes and reads: actions declared in the system message, calls and results inside one assistant turn.

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

The flower strings are the published ones [paper 5.3]. Several calls may stand one after the other; then as many results
follow, and one return. The model writes up to the result; whoever runs the action writes the results, and the model goes on
after the return (`STOPS`). Reading is tolerant, because models are not careful: `ReplyReader`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen2vl.common.errors import MessageError

FUNCTION, ARGS, RESULT, RETURN = "✿FUNCTION✿", "✿ARGS✿", "✿RESULT✿", "✿RETURN✿"
STOPS = (RESULT, RETURN)
"""Where the model must stop: from here on the results are written for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument of an action."""

    name: str
    description: str
    required: bool = True
    choices: tuple[str, ...] = ()
    """The values it may have; empty when free."""

    def declared(self) -> dict[str, Any]:
        """As it stands in the declaration."""
        shown: dict[str, Any] = {"name": self.name, "description": self.description, "required": self.required}
        return shown | ({"choices": list(self.choices)} if self.choices else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that an agent may do."""

    name: str
    description: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """An action with its arguments, as the model wrote it."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadCall:
    """A call whose arguments are not a JSON object: kept, so that the agent can be told."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A stretch of the assistant's turn."""

    thought: str
    """Text before the first call; the whole answer where there is no call."""
    calls: tuple[Call | BadCall, ...] = ()


def declare(actions: Sequence[Action], system: str = "You are a helpful assistant.") -> str:
    """The system message that tells a model its actions. Raises MessageError without actions or with a name twice."""
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


def render_reply(reply: Reply) -> str:
    """Thought and calls as the model would write them, without the results."""
    pieces = [reply.thought] if reply.thought else []
    for call in reply.calls:
        written = call.text if isinstance(call, BadCall) else json.dumps(dict(call.arguments), ensure_ascii=False)
        pieces.append(f"{FUNCTION}: {call.name}\n{ARGS}: {written}")
    return "\n".join(pieces)


def parse_reply(text: str) -> Reply:
    """What a whole reply says; see `ReplyReader` for what is tolerated."""
    reader = ReplyReader()
    reader.feed(text)
    return reader.finish()


@dataclass(slots=True)
class ReplyReader:
    """Reads a reply while it is written.

    `feed` gives the thought that is certain by now: never half of a keyword. Tolerated are a missing colon or space
    after a keyword, arguments in a fence of backticks, words after the closing brace, missing arguments (an action
    without any), and a turn that ends inside a call.
    """

    text: str = ""
    _shown: int = field(default=0, repr=False)

    def feed(self, piece: str) -> str:
        """Takes more of the reply; returns what may now be shown of the thought."""
        self.text += piece
        end = self._thought_end()
        fresh, self._shown = self.text[self._shown : end], max(self._shown, end)
        return fresh

    def _thought_end(self) -> int:
        """Where the thought ends for certain: at a keyword, or before what may become one."""
        found = [at for at in (self.text.find(word) for word in (FUNCTION, *STOPS)) if at >= 0]
        if found:
            return min(found)
        for length in range(len(FUNCTION), 0, -1):  # the longest of them
            tail = self.text[-length:]
            if any(word.startswith(tail) for word in (FUNCTION, *STOPS)):
                return len(self.text) - len(tail)
        return len(self.text)

    def finish(self) -> Reply:
        """The whole reply, once no more comes; results and what follows them are left out."""
        written = self.text
        for word in STOPS:
            written = written.split(word, 1)[0]
        thought, *calls = written.split(FUNCTION)
        return Reply(thought=thought.strip(), calls=tuple(_read_call(call) for call in calls))


def _read_call(text: str) -> Call | BadCall:
    name, _, arguments = text.partition(ARGS)
    name, arguments = _after_colon(name), _after_colon(arguments)
    if arguments.startswith("```"):
        arguments = arguments.split("\n", 1)[-1].rsplit("```", 1)[0].strip()
    if not arguments:
        return Call(name, {})
    try:
        value, _ = json.JSONDecoder().raw_decode(arguments)
    except ValueError:
        return BadCall(name, arguments)
    return Call(name, value) if isinstance(value, dict) else BadCall(name, arguments)


def _after_colon(text: str) -> str:
    return text.strip().removeprefix(":").strip()
