"""Parser from the words of a command line to a frozen dataclass. Unknown options are refused with the valid names.

tyro parses. It reports a mistake in a box of several lines; here it becomes one sentence that names the option, the value
and the rule. The text of tyro is used only for mistakes that `find_mistake` does not look for.
"""

import contextlib
import difflib
import io
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import tyro

from qwen2vl.common.errors import Qwen2VLError

T = TypeVar("T")


class UsageError(Qwen2VLError):
    """A command line that cannot be understood or executed."""


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """Options of every verb."""

    debug: bool = False
    """Show the traceback of an error."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"])] = False
    """Show more about what is done, on stderr."""


def optional(metavar: str) -> Any:
    """Mark of an option whose default is None: the help shows `metavar` for its value and no default."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


def open_named(name: str) -> Any:
    """The media that a word of the command line names: "-" is the standard input, read to its end; else the word itself."""
    if name != "-":
        return name
    content = io.BytesIO(sys.stdin.buffer.read())
    content.name = "the standard input"  # its name in messages
    return content


def check_standard_input(names: Sequence[str]) -> None:
    """Raises UsageError when more than one of the files of a command line is the standard input."""
    if list(names).count("-") > 1:
        raise UsageError(
            "- is given more than once: the standard input can be read only once, name files for the others"
        )


def require_at_least(name: str, value: float, least: float) -> None:
    """Raises UsageError if the value of the option `name` is below `least`."""
    if not value >= least:
        raise UsageError(f"{name} is {value}: it must be at least {least}")


def parse_options(options: type[T], argv: Sequence[str], prog: str) -> T:
    """An instance of `options`, a dataclass with a docstring under each field. Raises UsageError; --help exits."""
    arguments = list_arguments(options)
    switches = {name for argument in arguments if argument.kinds == {bool} for name in argument.names}
    for word in takewhile(lambda word: word != "--", argv):
        name, equals, value = word.partition("=")
        if equals and name in switches:  # tyro would take the value for the next positional argument
            raise UsageError(f'{name} takes no value, but "{value}" was given: leave it out')
    box = io.StringIO()
    _options.clear()
    _options.update({argument.python_name: argument.names[0] for argument in arguments if not argument.is_positional})
    try:
        with contextlib.redirect_stderr(box):
            parsed = tyro.cli(options, args=list(argv), prog=prog, config=(tyro.conf.FlagCreatePairsOff,))
        return with_home(parsed)
    except SystemExit as end:
        if not end.code:  # --help
            raise
    raise UsageError(f"{find_mistake(argv, arguments) or text_of_box(box.getvalue())}; see {prog} --help")


_options: dict[str, str] = {}
"""Options of the command line that was parsed last, by the names of their arguments in Python."""


def in_terms_of_options(sentence: str) -> str:
    """A message for callers in Python with the names of options: "max_pixels is -5" becomes "--max-pixels is -5".

    A name of several words is replaced anywhere, one of a single word ("stop") only where it cannot be a word of the sentence:
    before its value, and in a list in brackets. Remarks in brackets that end with "in Python" are removed.
    """
    sentence = re.sub(r" \([^()]* in Python\)", "", sentence)
    for name, option in _options.items():
        if "_" in name:
            sentence = re.sub(rf"(?<![\w./\"'-]){name}(?![\w\"'=])", option, sentence)
        else:
            sentence = re.sub(
                rf"^{name}(?= (?:is|fp16)\b| [\"'\d-])|(?<=[(]){name}(?=[,)])|(?<=, ){name}(?=[)])", option, sentence
            )
    return sentence


FILES = ("model", "image", "video")
"""Options that are texts, because they may be URLs or names, but mostly are files."""


def with_home(options: T) -> T:
    """Options with ~ replaced in files: a shell does not replace it in `--draw=~/out.png` and in quotes."""
    changed: dict[str, Any] = {}
    for each in fields(options):  # type: ignore[arg-type]
        value = getattr(options, each.name)
        if is_dataclass(value):
            changed[each.name] = with_home(value)
        elif isinstance(value, Path):
            changed[each.name] = Path(os.path.expanduser(value))  # noqa: PTH111  Path raises for an unknown ~name
        elif each.name in FILES and isinstance(value, str):
            changed[each.name] = os.path.expanduser(value)  # noqa: PTH111  Path would drop slashes of URLs
        elif each.name in FILES and isinstance(value, tuple):
            changed[each.name] = tuple(os.path.expanduser(file) for file in value)  # noqa: PTH111
    changed = {name: value for name, value in changed.items() if value != getattr(options, name)}
    return replace(options, **changed) if changed else options  # type: ignore[type-var]


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """An option or a positional argument of a verb."""

    names: tuple[str, ...]
    """Names as they are typed, "--verbose" and "-v"; for a positional argument, the word that the help shows."""
    kinds: frozenset[Any]
    """Types of its value without None: {int} for `int | None` and for `tuple[int, ...]`."""
    is_positional: bool
    is_required: bool
    takes_many: bool
    """Takes all values that follow it, `--tasks a b`."""
    is_repeatable: bool = False
    """Takes one value each time that it is given, `--image a --image b`."""

    @property
    def python_name(self) -> str:
        """Its name as an argument in Python."""
        return self.names[0].removeprefix("--").replace("-", "_")

    def rule_broken_by(self, value: str) -> str | None:
        """The rule that the value breaks, or None. Only numbers and choices are checked."""
        if all(get_origin(kind) is Literal for kind in self.kinds):
            choices = [str(choice) for kind in self.kinds for choice in get_args(kind)]
            return None if value in choices else f"one of {', '.join(choices)}"
        if not self.kinds <= {int, float}:
            return None
        number, rule = (float, "a number") if float in self.kinds else (int, "a whole number")
        try:
            number(value)
        except ValueError:
            return rule
        return None


def list_arguments(options: Any, prefix: str = "") -> list[Argument]:
    """All arguments of a dataclass of options; the fields of a dataclass inside it get dotted names."""
    found: list[Argument] = []
    for field in fields(options):
        kind, *marks = get_args(field.type) if get_origin(field.type) is Annotated else (field.type,)
        settings = {"name": None, "metavar": None, "aliases": None}
        for mark in marks:
            settings |= {key: getattr(mark, key) for key in settings if getattr(mark, key, None) is not None}
        name = field.name if settings["name"] is None else settings["name"]
        if is_dataclass(kind):
            found += list_arguments(kind, f"{prefix}{name}." if name else prefix)
            continue
        is_positional = tyro.conf.Positional in marks
        option = "--" + f"{prefix}{name}".replace("_", "-")
        argument = Argument(
            names=(settings["metavar"] or name,) if is_positional else (option, *(settings["aliases"] or ())),
            kinds=frozenset(value_kinds(kind)),
            is_positional=is_positional,
            is_required=field.default is MISSING and field.default_factory is MISSING,
            takes_many=get_origin(kind) is tuple and tyro.conf.UseAppendAction not in marks,
            is_repeatable=is_repeatable(field.type),
        )
        found.append(argument)
    return found


def is_repeatable(kind: Any) -> bool:
    """Whether the type of a field is `UseAppendAction[tuple[...]]`, perhaps with further marks."""
    return get_origin(kind) is Annotated and tyro.conf.UseAppendAction in get_args(kind)


def value_kinds(kind: Any) -> Iterator[Any]:
    """The types in `int | None`, `tuple[int, ...]` and the like, without None."""
    if get_args(kind) and get_origin(kind) is not Literal:
        for inner in get_args(kind):
            yield from value_kinds(inner)
    elif kind not in (type(None), ...):
        yield kind


def find_mistake(argv: Sequence[str], arguments: Sequence[Argument]) -> str | None:
    """The first mistake in a command line, as one clause, or None if no check of this function finds one."""
    options = {name: argument for argument in arguments if not argument.is_positional for name in argument.names}
    positional = [argument for argument in arguments if argument.is_positional]
    given = set[Argument]()
    crowded, last = "", ""
    for name, values in split_words(argv, options):
        if name and name not in options:
            return f"{name} is not an option{valid_options(name, list(options))}"
        if name:
            last = f"{name} {values[0]}" if values and options[name].is_repeatable else ""
        elif last and is_file(values[0]):
            option = last.partition(" ")[0]
            crowded = crowded or f'"{values[0]}" follows {last}: repeat {option}, {last} {option} {values[0]}'
        if not name and not positional:
            return crowded or too_much(values[0], options)
        argument = options[name] if name else positional[0]
        if argument.is_positional and not argument.takes_many:
            positional = positional[1:]
        if not values and not argument.takes_many and argument.kinds != {bool}:
            return f"{name} has no value: write one after it"
        for value in values:
            if rule := argument.rule_broken_by(value):
                return f'{argument.names[0]} is "{value}": it must be {rule}'
        given.add(argument)
    missing = [argument.names[0] for argument in arguments if argument.is_required and argument not in given]
    return f"{', '.join(missing)} is missing: give it" if missing else None


def is_file(word: str) -> bool:
    """Whether a word is more likely a file or URL than a question: it exists, or has no blank and an ending of letters."""
    with contextlib.suppress(OSError, ValueError):  # too long, or a null character
        if Path(word).is_file():
            return True
    return re.fullmatch(r"\S*[^\s.]\.[A-Za-z]\w{1,4}|(?:https?|file|data):\S+", word) is not None


def too_much(word: str, options: Mapping[str, Argument]) -> str:
    """The clause that refuses a word where no positional argument is left."""
    if is_file(word) and "--image" in options:
        return f'"{word}" is too much: name a file with --image or --video'
    return f'"{word}" is too much: put a text of several words in quotes'


def split_words(argv: Sequence[str], options: Mapping[str, Argument]) -> Iterator[tuple[str, list[str]]]:
    """Every option with its values, and every positional word as ("", [word])."""
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            yield from (("", [free]) for free in words)
            return
        if not is_option(word):
            yield "", [word]
            continue
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        argument = options.get(name)
        if equals or argument is None or argument.kinds == {bool}:
            yield name, [value] if equals else []
            continue
        values = list(takewhile(lambda word: not is_option(word), words))
        values = values if argument.takes_many else values[:1]
        del words[: len(values)]
        yield name, values


def is_option(word: str) -> bool:
    """True for "--size" and "-v", False for "-3" and "-"."""
    return re.match(r"-[^\d.]", word) is not None


def valid_options(word: str, names: Sequence[str]) -> str:
    """The end of a sentence that refuses an option: a similar name, and all without a dot."""
    similar = difflib.get_close_matches(word, names, n=1)
    plain = ", ".join(name for name in names if name.startswith("--") and "." not in name)
    return (
        (f" (did you mean {similar[0]}?)" if similar else "")
        + f": valid are {plain}"
        + (" and dotted settings" if any("." in name for name in names) else "")
    )


def text_of_box(box: str) -> str:
    """Text of the first part of tyro's box, on one line and without the title."""
    lines = takewhile(lambda line: "──" not in line, box.splitlines()[1:])
    text = " ".join(" ".join(lines).replace("│", " ").split()).rstrip(".")
    return re.sub(r"^Error parsing (?!--)\S+: ", "", text) or "the options do not fit together"
