"""Scores of the same weights in the same exam by an older and by today's judging, side by side.

git show c424708:benchmarks/results/exam.json > old.json
qwen2vl eval exam --out benchmarks/results/exam.json
python -m experiments.judging_change old.json benchmarks/results/exam.json

benchmarks/results/judging_change.json   `make tables` writes the table
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from qwen2vl.common.files import write_atomically
from tools import exam_tables
from tools.results import RESULTS
from tools.script import say

SAME = ("weights", "exam", "digest", "platform")
"""What must be equal, or the two scores differ for other reasons than judging."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="scores by the older judging, from `qwen2vl eval --out`")
    parser.add_argument("new", type=Path, help="scores by today's judging")
    parser.add_argument("--out", type=Path, default=RESULTS / "judging_change.json")
    options = parser.parse_args(argv)
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (options.old, options.new))
    if different := [name for name in SAME if old[name] != new[name]]:
        parser.error(f"{', '.join(different)} of the two files differ: score the same weights on the same machine")
    result = compare(old, new)
    write_atomically(options.out, json.dumps(result, indent=1) + "\n")
    say(f"{exam_tables.judging_change({'judging_change': result})}\nwritten to {options.out}")
    return 0


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Old and new score of every task and their means; `old` and `new` are contents of scores files."""
    tasks = {
        task: {"metric": line["metric"], "n": line["n"], "old": old["tasks"][task]["score"], "new": line["score"]}
        for task, line in new["tasks"].items()
    }
    means = {side: round(fmean(line[side] for line in tasks.values()), 4) for side in ("old", "new")}
    return {name: new[name] for name in SAME} | {"mean": means, "tasks": tasks}


if __name__ == "__main__":
    raise SystemExit(main())
