"""How soon skills are learnt: the loss of every task over the steps, for runs that begin in different ways.

    python -m experiments.skill_curves NAME=RUN [NAME=RUN ...]      writes benchmarks/results/skill_curves.json

RUN is a run directory or its metrics.jsonl. The result has the mean loss in nats per token of every 50 steps, by task.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from qwen2vl.common.files import write_atomically
from qwen2vl.training.run_directory import read_metrics
from tools.results import RESULTS
from tools.script import say

WINDOW = 50


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--until", type=int, default=2400, help="last step")
    parser.add_argument("--out", type=Path, default=RESULTS / "skill_curves.json")
    options = parser.parse_args(argv)
    result = json.loads(options.out.read_text()) if options.out.exists() else {}
    for each in options.runs:
        name, _, path = each.partition("=")
        file = Path(path) if path.endswith(".jsonl") else Path(path) / "metrics.jsonl"
        result[name] = curve(read_metrics(file), options.until)
    write_atomically(options.out, json.dumps(result, indent=1) + "\n")
    say(f"{', '.join(result)}: written to {options.out}")
    return 0


def curve(lines: Iterable[dict[str, Any]], until: int) -> dict[str, Any]:
    """Mean loss by task of every 50 steps, and the tokens and conversations of a step."""
    steps = [line for line in lines if "samples" in line and line["step"] <= until]
    windows: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in steps:
        for source, loss in line["loss_by_source"].items():
            windows[(line["step"] - 1) // WINDOW][source].append(loss)
    return {
        "tokens_per_step": round(fmean(line["text_tokens"] + line["visual_tokens"] for line in steps)),
        "conversations_per_step": round(fmean(line["samples"] for line in steps)),
        "losses": {
            str((window + 1) * WINDOW): {source: round(fmean(losses), 3) for source, losses in sorted(found.items())}
            for window, found in sorted(windows.items())
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
