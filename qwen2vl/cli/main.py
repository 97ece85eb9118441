"""`qwen2vl <verb>`: the table of verbs, and the exit code of every error.

Exit codes: 0 done; 2 wrong use or wrong input, with one sentence on stderr; 130 after Ctrl-C; 141 when the reader of the
output has left; 1 a fault of the program or of the machine. Each verb is a module, imported when it is called, so
`qwen2vl --help` answers at once.
"""

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qwen2vl import __version__
from qwen2vl.common.errors import PeerLostError, Qwen2VLError, shortened


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A verb. Its module has `run(argv)`, which returns the exit code."""

    help: str
    module: str


VERBS: Mapping[str, Verb] = {
    "chat": Verb(help="ask about images and videos, or talk", module="qwen2vl.cli.chat"),
    "cost": Verb(help="tokens, work and memory of images and videos, before you ask", module="qwen2vl.cli.cost"),
    "convert": Verb(help="rewrite a checkpoint in the published layout", module="qwen2vl.cli.convert"),
    "plan": Verb(help="memory, work, time and data of a training run, before it begins", module="qwen2vl.cli.plan"),
    "train": Verb(help="train a recipe, or resume it", module="qwen2vl.cli.train"),
    "data": Verb(help="build, check and show stores of training records", module="qwen2vl.cli.data"),
    "report": Verb(help="draw the curves of a run", module="qwen2vl.cli.report"),
    "eval": Verb(help="score a model on an exam", module="qwen2vl.cli.evaluate"),
    "env": Verb(help="versions and devices, for bug reports", module="qwen2vl.cli.env"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(
            f"usage: qwen2vl VERB ...\n\n{verb_table(VERBS)}\n\n"
            "Options of a verb: qwen2vl VERB --help. Version: qwen2vl --version.\n"
            'First steps:       qwen2vl chat --image page.png "What does the title say?"'
        )
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"qwen2vl {__version__}")
        return 0
    verb, *rest = argv
    if verb not in VERBS:
        print_error(f'"{verb}" is not a verb: valid are {", ".join(VERBS)}, and --version')
        return 2
    level = logging.INFO if {"-v", "--verbose"} & set(rest) else logging.WARNING
    logging.basicConfig(format="%(message)s", level=level)
    return run_verb(verb, rest)


def run_verb(verb: str, argv: Sequence[str]) -> int:
    """Run a verb; returns the exit code. Errors are printed as one sentence; with --debug the traceback comes first."""
    try:
        code = importlib.import_module(VERBS[verb].module).run(argv)
        sys.stdout.flush()  # inside the try, so that a reader that has left is noticed here
        return int(code)
    except SystemExit as end:  # the help of a verb
        return int(end.code or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if "--debug" in argv:
            traceback.print_exc()
        if isinstance(error, Qwen2VLError):
            from qwen2vl.cli.options import in_terms_of_options  # brings tyro, which help and version do not need

            print_error(f"qwen2vl {verb}: {in_terms_of_options(str(error))}")
            return 2
        if isinstance(error, PeerLostError):
            print_error(f"qwen2vl {verb}: {error}")
            return 1
        fault = f"a fault of this program ({type(error).__name__}): run it again with --debug and report what it shows"
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            fault = "the memory is not enough: use --max-pixels, fewer images, a shorter video or a smaller model"
        print_error(f"qwen2vl {verb}: {fault}")
        return 1


def print_error(sentence: str) -> None:
    """Print a sentence on one line of stderr."""
    print(shortened(" ".join(sentence.split())), file=sys.stderr)


def verb_table(verbs: Mapping[str, Verb]) -> str:
    """One line for each verb: its name and what it does."""
    width = max(map(len, verbs))
    return "\n".join(f"  {name:{width}}  {verb.help}" for name, verb in verbs.items())
