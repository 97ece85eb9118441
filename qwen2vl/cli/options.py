"""Parsing what was typed into a frozen dataclass, strictly: unknown options name the valid ones.

tyro does the work; its parse errors, which fill a box of several lines, become one sentence here.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin

import tyro
from tyro import _errors  # its structured parse errors; tyro has no public door to them yet

from qwen2vl.common.errors import Qwen2VLError

T = TypeVar("T")

_POSITIONAL = get_args(tyro.conf.Positional[int])[1]


def told_as(metavar: str) -> Any:
    """An option without a default of its own: the help shows this word for its value, and no "default: None"."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


class UsageError(Qwen2VLError):
    """A command line that cannot be understood or carried out."""


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every verb takes."""

    debug: bool = False
    """Show the traceback of an error."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"])] = False
    """Tell more about what is done, on stderr."""


def require_at_least(name: str, value: float, least: float) -> None:
    """Raises UsageError for a number under the least that has a meaning."""
    if not value >= least:
        raise UsageError(f"{name} is {value}: it must be at least {least}")


def parse_options(options: type[T], argv: Sequence[str], prog: str) -> T:
    """An instance of `options`, a dataclass with a docstring under each field. Raises UsageError; --help exits."""
    names = list_options(options)
    for word in argv[: argv.index("--")] if "--" in argv else argv:
        name, equals, value = word.partition("=")
        if equals and names.get(name) is bool:
            raise UsageError(f'{name} takes no value, but "{value}" was given: leave it out')

    def refuse(event: _errors.ParseErrorEvent) -> None:
        if isinstance(event, _errors.InstantiationFailure) and event.argument is not None:
            name = shown(event.argument)
            raise UsageError(f'{name} is "{given(name, argv)}": it must be {rule_of(names.get(name))}')
        raise UsageError(f"{describe(event, list(names))}; see {prog} --help")

    with _errors.on_parse_error(refuse):
        return tyro.cli(options, args=list(argv), prog=prog, config=(tyro.conf.FlagCreatePairsOff,))


def list_options(options: Any, prefix: str = "") -> dict[str, Any]:
    """Every option as it is typed, with the type of its value; the fields of a dataclass inside get dotted names."""
    found: dict[str, Any] = {}
    for field in fields(options):
        kind, *marks = get_args(field.type) if get_origin(field.type) is Annotated else (field.type,)
        if _POSITIONAL in marks:
            continue
        named = next((mark.name for mark in marks if getattr(mark, "name", None) is not None), field.name)
        if is_dataclass(kind):
            found |= list_options(kind, f"{prefix}{named}." if named else prefix)
        else:
            found["--" + f"{prefix}{named}".replace("_", "-")] = kind
    return found


def describe(event: _errors.ParseErrorEvent, valid: Sequence[str]) -> str:
    """One clause that names the thing, the value and the rule."""
    match event:
        case _errors.UnrecognizedArgs(tokens=tokens) | _errors.MissingArgs(unrecognized_tokens=[_, *_] as tokens):
            word = next((token for token in tokens if token.startswith("-")), None)
            if word is None:
                return f'"{tokens[0]}" is too much: put a text of several words in quotes'
            plain = ", ".join(name for name in valid if "." not in name)
            dotted = " and dotted settings" if any("." in name for name in valid) else ""
            return f"{word.partition('=')[0]} is not an option{nearest(word, valid)}: valid are {plain}{dotted}"
        case _errors.InvalidChoice(argument=argument, value=value, choices=choices):
            return f'{shown(argument)} is "{value}": it must be one of {", ".join(choices)}'
        case _errors.BadValue(argument=argument):
            return f"{shown(argument)} has no value: write one after it"
        case _errors.MissingArgs(missing_arguments=missing):
            return f"{', '.join(shown(found.arg) for found in missing)} is missing: give it"
    return "the options do not fit together: give each as the help says"


def shown(argument: Any) -> str:
    """The name of an option as it is typed, of a positional as the help shows it."""
    lowered = argument.lowered
    return str(lowered.metavar) if argument.is_positional() else max(lowered.name_or_flags, key=len)


def given(name: str, argv: Sequence[str]) -> str:
    """What was typed as the value of an option, the last time if several."""
    for at in range(len(argv) - 1, -1, -1):
        typed, equals, value = argv[at].partition("=")
        if typed.replace("_", "-") == name:
            return value if equals else (argv[at + 1] if at + 1 < len(argv) else "")
    return ""


def rule_of(kind: Any) -> str:
    """What a value must be, from its type: int, float | None."""
    kinds = get_args(kind) or (kind,)
    return "a whole number" if int in kinds else "a number" if float in kinds else "of the form that the help shows"


def nearest(word: str, valid: Sequence[str]) -> str:
    close = difflib.get_close_matches(word.partition("=")[0], valid, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
