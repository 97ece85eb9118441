"""`qwen2vl data <sub-verb>`: stores of training records. One module each, imported when it is called."""

import importlib
from collections.abc import Mapping, Sequence

from qwen2vl.cli.main import Verb
from qwen2vl.cli.options import UsageError

VERBS: Mapping[str, Verb] = {
    "build": Verb(help="tokenise files of records into a store", module="qwen2vl.cli.data.build"),
    "check": Verb(help="compare a store with its checksums and count what it holds", module="qwen2vl.cli.data.check"),
    "show": Verb(help="draw records as the model sees them, as an HTML page", module="qwen2vl.cli.data.show"),
    "bench": Verb(help="time the reading of a store, with no model", module="qwen2vl.cli.data.bench"),
    "draw": Verb(help="draw the records that nano is trained on", module="qwen2vl.cli.data.draw"),
    "draw-exam": Verb(help="draw the items of the packaged exam again", module="qwen2vl.cli.data.draw_exam"),
}


def run(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0 if argv else 2
    name, *rest = argv
    if name not in VERBS:
        raise UsageError(f'"{name}" is nothing that data can do: valid are {", ".join(VERBS)}')
    return int(importlib.import_module(VERBS[name].module).run(rest))


def help_text() -> str:
    width = max(map(len, VERBS))
    lines = "\n".join(f"  {name:{width}}  {verb.help}" for name, verb in VERBS.items())
    return f"usage: qwen2vl data VERB ...\n\n{lines}\n\nOptions of each: qwen2vl data VERB --help."
