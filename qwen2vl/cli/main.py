"""`qwen2vl <verb>`: the table of verbs, and what becomes of errors.

Exit codes: 0 done; 2 wrong use or wrong input, with one sentence on stderr; 130 after Ctrl-C; 1 a fault of the program
or of the machine. Verbs are imported when they are called, so `qwen2vl --help` answers at once.
"""

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qwen2vl import __version__
from qwen2vl.common.errors import Qwen2VLError


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One verb: its module has `run(argv) -> exit code`."""

    help: str
    module: str


VERBS: Mapping[str, Verb] = {
    "chat": Verb(help="ask about images and videos, or talk", module="qwen2vl.cli.chat"),
    "cost": Verb(help="tokens, work and memory of images and videos, before asking", module="qwen2vl.cli.cost"),
    "convert": Verb(help="rewrite a checkpoint in the published layout", module="qwen2vl.cli.convert"),
    "plan": Verb(help="what a run will need and read, before it begins", module="qwen2vl.cli.plan"),
    "train": Verb(help="train a recipe, or go on with it", module="qwen2vl.cli.train"),
    "data": Verb(help="build stores of training records, check them, look at them", module="qwen2vl.cli.data"),
    "report": Verb(help="draw the curves of a run", module="qwen2vl.cli.report"),
    "eval": Verb(help="put a model to an exam", module="qwen2vl.cli.evaluate"),
    "env": Verb(help="versions and devices, for reports of faults", module="qwen2vl.cli.env"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"qwen2vl {__version__}")
        return 0
    verb, *rest = argv
    if verb not in VERBS:
        complain(f'"{verb}" is not a verb: valid are {", ".join(VERBS)}, and --version')
        return 2
    level = logging.INFO if {"-v", "--verbose"} & set(rest) else logging.WARNING
    logging.basicConfig(format="%(message)s", level=level)
    return guarded(verb, lambda: int(importlib.import_module(VERBS[verb].module).run(rest)), "--debug" in rest)


def guarded(verb: str, run: Callable[[], int], debug: bool) -> int:
    """The exit code of `run`, with its errors told in one sentence."""
    try:
        code = run()
        sys.stdout.flush()  # here, where a reader that has left is no surprise
        return code
    except SystemExit as end:  # the help of a verb
        return int(end.code or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if debug:
            traceback.print_exc()
        is_users = isinstance(error, Qwen2VLError)
        complain(f"qwen2vl {verb}: {error if is_users else fault(error)}")
        return 2 if is_users else 1


def fault(error: Exception) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "the memory is not enough: use --max-pixels, fewer images, a shorter video or a smaller model"
    return f"a fault of this program ({type(error).__name__}): run it again with --debug and report what it shows"


def complain(sentence: str) -> None:
    print(" ".join(sentence.split()), file=sys.stderr)


def help_text() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:{width}}  {verb.help}" for name, verb in VERBS.items())
    return (
        "usage: qwen2vl VERB ...\n\n"
        f"{verbs}\n\n"
        "Options of a verb: qwen2vl VERB --help. Version: qwen2vl --version.\n"
        'First steps:       qwen2vl chat --image page.png "What does the title say?"'
    )
