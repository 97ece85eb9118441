"""`qwen2vl data <verb>`: stores of training records. Each verb is a module, imported when it is called."""

import importlib
from collections.abc import Mapping, Sequence

from qwen2vl.cli.main import Verb, verb_table
from qwen2vl.cli.options import UsageError

VERBS: Mapping[str, Verb] = {
    "build": Verb(help="tokenise files of records into a store", module="qwen2vl.cli.data.build"),
    "check": Verb(help="compare a store with its checksums and count its rows", module="qwen2vl.cli.data.check"),
    "show": Verb(help="write a page of records as the model sees them", module="qwen2vl.cli.data.show"),
    "bench": Verb(help="measure how fast a store is read, without a model", module="qwen2vl.cli.data.bench"),
    "draw": Verb(help="draw the records that nano is trained on", module="qwen2vl.cli.data.draw"),
    "draw-exam": Verb(help="draw the items of the packaged exam again", module="qwen2vl.cli.data.draw_exam"),
}


def run(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        usage = f"usage: qwen2vl data VERB ...\n\n{verb_table(VERBS)}\n\nOptions of each: qwen2vl data VERB --help."
        print(usage)
        return 0 if argv else 2
    name, *rest = argv
    if name not in VERBS:
        raise UsageError(f'"{name}" is not a verb of data: valid are {", ".join(VERBS)}')
    return int(importlib.import_module(VERBS[name].module).run(rest))
