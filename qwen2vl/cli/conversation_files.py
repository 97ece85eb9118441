"""Files of a conversation on a terminal: paths as people type them, Tab completion, and conversations saved as JSON.

A saved conversation is a JSON list of messages in the public form, so that Python reads it as well.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from qwen2vl.cli.options import UsageError
from qwen2vl.common.errors import MessageError
from qwen2vl.common.files import write_atomically

TAKES_FILE = ("/image", "/video", "/draw", "/save", "/load")
"""Commands whose argument is a file."""


def typed_path(text: str) -> str:
    """A path as it is typed or dropped into a terminal: without quotes and backslashes before blanks, with ~ replaced."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    elif "\\ " in text and not Path(text).exists():
        text = text.replace("\\ ", " ")
    return os.path.expanduser(text)  # noqa: PTH111  Path would drop the slashes of URLs


def completions(line: str, commands: Iterable[str]) -> list[str]:
    """Lines that a beginning can become with Tab: a command, or the path after a command that takes a file."""
    command, blank, typed = line.partition(" ")
    if not blank:
        return [
            f"{name} " if name in TAKES_FILE else name
            for name in commands
            if line.startswith("/") and name.startswith(line)
        ]
    if command not in TAKES_FILE:
        return []
    typed = typed.lstrip().lstrip("\"'")
    folder, name = os.path.split(typed)
    try:
        found = sorted(Path(typed_path(folder) or ".").iterdir())
    except OSError:
        return []
    begin = typed[: len(typed) - len(name)]
    return [
        f"{command} {begin}{path.name}{'/' if path.is_dir() else ''}"
        for path in found
        if path.name.startswith(name) and (name.startswith(".") or not path.name.startswith("."))
    ]


def complete_with_tab(commands: Iterable[str]) -> None:
    """Give input() a history, editing and Tab completion, where the system has readline."""
    with contextlib.suppress(ImportError):
        import readline

        names = tuple(commands)
        found: list[str] = []

        def complete(line: str, state: int) -> str | None:
            if state == 0:
                found[:] = completions(line, names)
            return found[state] if state < len(found) else None

        readline.set_completer(complete)
        readline.set_completer_delims("")  # the whole line is completed: paths may contain blanks
        is_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")


def save_conversation(path: Path, messages: Sequence[dict[str, Any]]) -> None:
    """Write messages as JSON, local files with their whole paths. Raises UsageError, Qwen2VLError."""
    if not messages:
        raise UsageError(f"/save {path} has nothing to write: ask a question first")
    if path.suffix.lower() != ".json":  # so that no image is overwritten by mistake
        raise UsageError(f'/save "{path}" does not end with .json: name the file so')
    content = [message | {"content": _with_whole_paths(message["content"])} for message in messages]
    write_atomically(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def _with_whole_paths(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [
        part | {kind: str(Path(part[kind]).absolute()) for kind in ("image", "video") if _is_local(part.get(kind))}
        for part in content
    ]


def _is_local(source: Any) -> bool:
    return isinstance(source, str) and not source.startswith("data:") and Path(source).is_file()


def load_conversation(path: Path) -> list[dict[str, Any]]:
    """Messages of a file that `save_conversation` wrote. Raises MessageError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MessageError(f'there is no readable file "{path}": check the path of the conversation') from error
    except ValueError as error:
        raise MessageError(f'"{path}" is not JSON: name a file that /save wrote') from error
    if not isinstance(content, list) or not content or not all(isinstance(message, dict) for message in content):
        raise MessageError(f'"{path}" is no list of messages: name a file that /save wrote')
    return content
