"""Score a model on plain pictures: `python -m experiments.plain_pictures [--model DIR --out FILE]`; takes a minute on one core.

    benchmarks/results/nano_plain.json   scores of the shipped nano by kind, and its answers: what runs without options

`--archive FILE` writes the set in the form of the packaged exams (`evaluation.items`) and its digests, and asks no model.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import PIL

from experiments.plain_pictures import scoring
from experiments.plain_pictures.asking import KINDS, digest, draw_items
from qwen2vl.common.files import sha256_of, write_atomically
from qwen2vl.evaluation.items import write_items
from qwen2vl.inference import Chat
from tools.results import RESULTS
from tools.script import say


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="nano or a folder of weights")
    parser.add_argument("--out", type=Path, help="file of the result; needed for another model than nano")
    parser.add_argument("--archive", type=Path, help="write the set to this zip file instead")
    options = parser.parse_args(argv)
    if options.out is None and options.model != "nano":
        parser.error("--model needs --out FILE: the default file has the scores of the shipped nano")
    items = draw_items()
    if options.archive:
        write_items(options.archive, items, exact=KINDS)
        digests = {"items": len(items), "sha256": digest(items), "archive_sha256": sha256_of(options.archive)}
        say(json.dumps(digests | {"archive_by": f"Pillow {PIL.__version__}"}, indent=1))
        return 0
    found = {"model": Path(options.model).name, "items": len(items), "sha256": digest(items)}
    found |= scoring.score(Chat(options.model), items)
    out = options.out or RESULTS / "nano_plain.json"
    write_atomically(out, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    say(f"{scoring.table(found)}\nwritten to {out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
