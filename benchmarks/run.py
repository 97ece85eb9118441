"""All benchmarks, one after the other, then the tables: `make bench`.

Each script is a process of its own, so none meets the memory or the compiled code of another.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools import tables

SCRIPTS = {
    "tower": 240,
    "first_token": 150,
    "preprocess": 30,
    "prompt_memory": 80,
    "long_video": 120,
    "planning": 30,
    "drawing": 60,
    "loader": 240,
    "training": 270,
    "training_parts": 150,
}
"""Name of a script, and about how many seconds it takes on two cores."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Side by side with transformers. Wants a quiet machine.")
    parser.add_argument("--only", choices=SCRIPTS, action="append", help="this one (may be given several times)")
    parser.add_argument("--small", action="store_true", help="tiny shapes; needs --out, leaves the tables alone")
    parser.add_argument("--out", type=Path, default=None, help="folder of the results (benchmarks/results)")
    parser.add_argument("--threads", type=int, default=None, help="of both sides (all cores)")
    options = parser.parse_args(argv)
    if options.small and options.out is None:
        parser.error("--small needs --out DIR: its figures mean nothing and must not replace measured ones")
    names = list(dict.fromkeys(options.only or SCRIPTS))
    print(f"{len(names)} benchmarks, about {total_minutes(names)} minutes on two quiet cores", flush=True)
    failed = [name for number, name in enumerate(names, 1) if not run_one(name, f"{number}/{len(names)}", options)]
    if failed:
        print(
            f"failed: {', '.join(failed)}; tables are left alone, `make tables` writes them from what is there",
            file=sys.stderr,
        )
        return 1
    if options.out is not None:
        return 0
    return tables.main([])


def total_minutes(names: Sequence[str]) -> int:
    return max(1, round(sum(SCRIPTS[name] for name in names) / 60))


def run_one(name: str, place: str, options: argparse.Namespace) -> bool:
    """Whether the script went through; it prints for itself."""
    command = [sys.executable, "-m", f"benchmarks.bench_{name}"]
    command += ["--small"] if options.small else []
    command += ["--out", str(options.out)] if options.out else []
    command += ["--threads", str(options.threads)] if options.threads else []
    print(f"[{place}] {name}, about {SCRIPTS[name]} s", flush=True)
    began = time.perf_counter()
    code = subprocess.run(command, check=False).returncode
    outcome = "done" if code == 0 else f"failed with code {code}"
    print(f"[{place}] {name} {outcome} after {time.perf_counter() - began:.0f} s", flush=True)
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
