"""Arguments of an agent's call as models write them: JSON, Python literals, fenced code; and points in their several forms.

    {"point": [348, 291]}      JSON, the form that is trained
    {"point": (348,291)}       the form of the paper [paper 5.3]; also single quotes, True, None, keys without quotes
    "{\"point\": [1, 2]}"      an object inside a JSON string, as in the OpenAI API
    ```py ... ```              an object or, for tools that run code, the code itself

Text after the closing brace is ignored. Which text is a call: `agent_text`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from qwen2vl.spec.tokens import BOX_END, BOX_START

CODE = "code"
"""Name of the argument that holds fenced code."""


def read_arguments(text: str) -> dict[str, Any] | None:
    """The arguments of a call; {} for an empty text, None when the text is in none of the known forms."""
    text = text.strip()
    if not text:
        return {}
    fenced = _FENCE.match(text)
    if fenced is None:
        return _read_object(text)
    content = fenced["content"].strip()
    is_code = fenced["language"] != "json" and not content.startswith("{")
    return {CODE: content} if is_code and content else _read_object(content)


_FENCE = re.compile(r"(`{3,}|~{3,})(?:(?P<language>[\w+-]*)[ \t]*\n|json\b)?(?P<content>.*?)(?:\1|\Z)", re.DOTALL)


def _read_object(text: str, *, inside_string: bool = False) -> dict[str, Any] | None:
    value = _decode(text)
    if value is None and text.startswith("{"):
        value = _decode("".join(_as_json(text)))
    if isinstance(value, str) and not inside_string:
        return _read_object(value.strip(), inside_string=True)
    return value if isinstance(value, dict) else None


def _decode(text: str) -> Any:
    """The JSON value with which a text begins; None without one."""
    try:
        return json.JSONDecoder(strict=False).raw_decode(text)[0]  # not strict: code has line breaks inside strings
    except (ValueError, RecursionError):  # RecursionError: thousands of nested brackets
        return None


_TOKEN = re.compile(
    r"""(?P<double>"(?:[^"\\]|\\.)*")|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<unfinished>["'])
    |(?P<number>[-+]?\.?\d[\w.+-]*)|(?P<word>[^\W\d]\w*)|(?P<comma>,\s*(?=[\])}]))|.""",
    re.DOTALL | re.VERBOSE,
)
_WORDS = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false", "null": "null"}
_BRACKETS = {"(": "[", ")": "]"}


def _as_json(text: str) -> Iterator[str]:
    """Pieces of JSON for a Python or JavaScript literal, up to the bracket that closes the first one; linear time."""
    depth = 0
    for token in _TOKEN.finditer(text):
        piece = token[0]
        if token.lastgroup == "unfinished":
            return
        if token.lastgroup == "single":
            yield '"' + re.sub(r"""\\'|(\\.)|"|'""", _requote, token["single"], flags=re.DOTALL) + '"'
        elif token.lastgroup == "word":
            yield _WORDS.get(piece, f'"{piece}"')
        elif token.lastgroup != "comma":  # a comma before a closing bracket
            yield _BRACKETS.get(piece, piece)
            depth += (piece in "([{") - (piece in ")]}")
            if depth == 0 and piece in ")]}":
                return


def _requote(found: re.Match[str]) -> str:
    """A quote or an escape of a single-quoted string, as a double-quoted one has it."""
    return found[1] or ('\\"' if found[0] == '"' else "'")


def read_point(value: Any) -> tuple[float, float] | None:
    """x, y of an argument that is a point: [348, 291], "(348, 291)", "348,291", {"x": 348, "y": 291} or a box markup of one pair.

    None for anything else, and for numbers that are not finite.
    """
    if isinstance(value, str):
        found = _POINT.fullmatch(value.replace(BOX_START, "").replace(BOX_END, "").strip())
        value = [float(number) for number in (found["x"], found["y"])] if found else None
    if isinstance(value, Mapping) and value.keys() == {"x", "y"}:
        value = [value["x"], value["y"]]
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    x, y = value
    for number in (x, y):  # JSON also has true, NaN and integers that no float holds
        if not isinstance(number, int | float) or isinstance(number, bool) or not abs(number) < 1e9:
            return None
    return x, y


_POINT = re.compile(
    r"(?P<open>[(\[])?\s*(?P<x>-?\d{1,9}(?:\.\d*)?)\s*,\s*(?P<y>-?\d{1,9}(?:\.\d*)?)\s*(?(open)[)\]])", re.ASCII
)
