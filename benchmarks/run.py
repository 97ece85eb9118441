"""All measurements of docs/benchmarks.md, one after the other, then the tables: `make bench`.

Each script runs in a separate process, so none shares memory or compiled code with another.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools import tables

SCRIPTS = {
    "tower": ("benchmarks.bench_tower", 240),
    "first_token": ("benchmarks.bench_first_token", 150),
    "preprocess": ("benchmarks.bench_preprocess", 30),
    "prompt_memory": ("benchmarks.bench_prompt_memory", 80),
    "long_video": ("experiments.long_video", 120),
    "planning": ("benchmarks.bench_planning", 30),
    "drawing": ("experiments.drawing_speed", 60),
    "loader": ("benchmarks.bench_loader", 240),
    "training": ("benchmarks.bench_training", 270),
    "training_parts": ("benchmarks.bench_training_parts", 150),
}
"""Name of a result -> module that measures it, and its approximate time in seconds on two cores."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure beside transformers. Needs a quiet machine.")
    parser.add_argument("--only", choices=SCRIPTS, action="append", help="only this one (may be given several times)")
    parser.add_argument("--small", action="store_true", help="tiny shapes; needs --out, leaves the tables alone")
    parser.add_argument("--out", type=Path, default=None, help="folder of the results (benchmarks/results)")
    parser.add_argument("--threads", type=int, default=None, help="threads of both sides (all cores)")
    options = parser.parse_args(argv)
    if options.small and options.out is None:
        parser.error("--small needs --out DIR: its figures mean nothing and must not replace measured ones")
    names = list(dict.fromkeys(options.only or SCRIPTS))
    minutes = max(1, sum(SCRIPTS[name][1] for name in names) / 60)
    print(f"{len(names)} benchmarks, about {minutes:.0f} minutes on two quiet cores", flush=True)
    failed = [name for number, name in enumerate(names, 1) if not run_one(name, f"{number}/{len(names)}", options)]
    if failed:
        print(
            f"failed: {', '.join(failed)}; tables are not changed, `make tables` writes them from the existing results",
            file=sys.stderr,
        )
        return 1
    if options.out is not None:
        return 0
    return tables.main([])


def run_one(name: str, place: str, options: argparse.Namespace) -> bool:
    """Run a script, which prints for itself; returns whether it succeeded."""
    module, expected_s = SCRIPTS[name]
    command = [sys.executable, "-m", module]
    command += ["--small"] if options.small else []
    command += ["--out", str(options.out)] if options.out else []
    command += ["--threads", str(options.threads)] if options.threads else []
    print(f"[{place}] {name}, about {expected_s} s", flush=True)
    start = time.perf_counter()
    code = subprocess.run(command, check=False).returncode
    outcome = "done" if code == 0 else f"failed with code {code}"
    print(f"[{place}] {name} {outcome} after {time.perf_counter() - start:.0f} s", flush=True)
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
