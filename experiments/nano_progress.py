"""How far the run of nano has come: `python -m experiments.nano_progress RUN`, in the clone that trains.

Writes benchmarks/results/nano_progress.json: the commit of the code, the date, the step, conversations and core hours, and
the held-out loss and accuracy at every validation. A leg that begins without the checkpoints of the last one says so there.
"""

import argparse
import datetime
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qwen2vl.common.files import write_atomically
from qwen2vl.training.run_directory import read_metrics
from tools.results import RESULTS
from tools.script import say


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--processes", type=int, default=2, help="number of processes that train, each on one core")
    parser.add_argument("--note", default="", help="what happened to this leg")
    parser.add_argument("--out", type=Path, default=RESULTS / "nano_progress.json")
    options = parser.parse_args(argv)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    found = progress(list(read_metrics(options.run / "metrics.jsonl")), options.processes)
    legs = json.loads(options.out.read_text())["legs"] if options.out.exists() else []
    legs = [leg for leg in legs if (leg["commit"], leg["run"]) != (commit, options.run.name)]
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    legs.append({"commit": commit, "run": options.run.name, "date": now, "note": options.note, **found})
    write_atomically(options.out, json.dumps({"legs": legs}, indent=1) + "\n")
    say(f"step {found['step']}, {found['core_hours']:.2f} core hours; written to {options.out}")
    return 0


def progress(lines: Sequence[dict[str, Any]], processes: int) -> dict[str, Any]:
    """Step, conversations and core hours of a run, and its validations, from the lines of its metrics."""
    steps = [line for line in lines if "samples" in line]
    checks = [
        {
            "step": line["step"],
            "validation_loss": line["validation_loss"],
            "exact": sum(line["exact"].values()) / len(line["exact"]),
        }
        for line in lines
        if "validation_loss" in line
    ]
    return {
        "step": steps[-1]["step"],
        "conversations": sum(line["samples"] for line in steps),
        "core_hours": round(sum(line["step_s"] for line in steps) * processes / 3600, 3),
        "validations": checks,
    }


if __name__ == "__main__":
    raise SystemExit(main())
