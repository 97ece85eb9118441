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

The flower strings are the published ones; the paper prints asterisks, `*FUNCTION*: Tap`, which are read as well [paper 5.3].
Several calls may follow each other; then one result for each call follows, and one return. The model writes up to the first
result, the program that runs the actions writes the results, and the model continues after the return (`STOPS`). Reading is
tolerant, because models make mistakes: `ReplyReader`, and `call_arguments` for the arguments.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen2vl.common.errors import MessageError
from qwen2vl.processing.call_arguments import read_arguments

FUNCTION, ARGS, RESULT, RETURN = "✿FUNCTION✿", "✿ARGS✿", "✿RESULT✿", "✿RETURN✿"
STOPS = (RESULT, RETURN, "*RESULT*:", "*RETURN*:")
"""Strings at which the model must stop, because the program writes what follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument of an action."""

    name: str
    description: str
    required: bool = True
    choices: tuple[str, ...] = ()
    """Allowed values; empty when any value is allowed."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """Other keys of its JSON schema, for example "type"."""

    def declared(self) -> dict[str, Any]:
        """The parameter as JSON of the declaration."""
        shown: dict[str, Any] = {"name": self.name, "description": self.description, "required": self.required}
        return shown | ({"choices": list(self.choices)} if self.choices else {}) | dict(self.schema)


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
    """A call whose arguments cannot be read, kept so that the agent can be informed."""

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


_STARS = "[*∗＊]{1,2}"
_KEYWORD = re.compile(
    rf"""(?: ✿(?=[A-Z]+✿)
           | ^[ \t]*{_STARS}(?=[A-Z]+[:：]?{_STARS})
           | {_STARS}(?=[A-Z]+(?:{_STARS}[ \t]{{0,2}}[:：]|[:：]{_STARS})) )
        (FUNCTION|ARGS|RESULT|RETURN) [:：]?(?:✿|{_STARS}) [ \t]{{0,2}}[:：]?""",
    re.VERBOSE | re.MULTILINE,
)
"""A keyword. With asterisks it begins a line or has a colon: "press the *RETURN* key" is text."""
_UNFINISHED = re.compile(r"[✿*∗＊]{1,2}[A-Z]{0,8}[:：]?[✿*∗＊]{0,2}[ \t]{0,2}\Z")
"""The end of a text that may become a keyword with the next characters."""
_LONGEST = 16
"""Characters of the longest keyword, more than `_UNFINISHED` can match."""


@dataclass(slots=True)
class ReplyReader:
    """Reads a reply while it is written.

    `feed` returns new text of the thought, never a part of a keyword. Tolerated: a missing colon or space after a keyword,
    keywords with asterisks, every form of arguments in `call_arguments`, words after the closing brace, missing arguments (for
    actions without any), and a turn that ends inside a call.
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
        """End of the text that can be shown: at a keyword, or before text that may become one."""
        end = self._first_keyword()
        if end < len(self.text):
            return end
        unfinished = _UNFINISHED.search(self.text, max(0, end - _LONGEST))
        return unfinished.start() if unfinished else end

    def _first_keyword(self) -> int:
        """Start of the first keyword other than ARGS, which means nothing before a call; else the end of the text."""
        starts = (keyword.start() for keyword in _KEYWORD.finditer(self.text) if keyword[1] != "ARGS")
        return next(starts, len(self.text))

    def finish(self) -> AgentReply:
        """The complete reply after the last piece; results and the text after them are left out."""
        start = self._first_keyword()
        pieces = _KEYWORD.split(self.text[start:])[1:]
        calls: list[list[str]] = []  # texts after FUNCTION and ARGS
        for keyword, content in zip(pieces[::2], pieces[1::2], strict=True):
            if keyword in ("RESULT", "RETURN"):
                break
            if keyword == "FUNCTION":
                calls.append([content])
            else:
                calls[-1].append(content)
        return AgentReply(thought=self.text[:start].strip(), calls=tuple(_read_call(*texts[:2]) for texts in calls))


def _read_call(name: str, arguments: str = "") -> Call | BadCall:
    name, _, rest = name.strip(_AROUND_NAMES).partition("\n")
    name, arguments = name.rstrip(_AROUND_NAMES), (arguments or rest).strip()
    found = read_arguments(arguments)
    return BadCall(name, arguments) if found is None else Call(name, found)


_AROUND_NAMES = " \t\n`'\"*:;,."
"""Characters that models put around the name of an action."""
