"""The recipe micro from scratch to its scores, in pieces: the same command again resumes.

    python -m experiments.micro_on_gpu --minutes 9          three or four times on one datacenter GPU

Every step is a verb from docs/nano.md: draw, build, train until the minutes are used up, and after the last training step
draw the curves, convert to shards and answer the exam. Finished steps are skipped. Needs the fonts of
scripts/install-fonts.sh.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from qwen2vl.cli.main import main as qwen2vl
from qwen2vl.recipes import micro
from qwen2vl.training.checkpoints import Checkpoints
from tools.script import say

SHARD = "15MB"
FEWEST_MINUTES = 0.5
"""A shorter piece would spend more time loading and saving than training."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, default=9.0, help="minutes of this command, without conversion and exam"
    )
    parser.add_argument(
        "--share", type=float, default=0.25, help="share of the records of one pass; they are read several times"
    )
    parser.add_argument("--workers", type=int, default=8, help="number of processes that draw, build and read")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="more options of `qwen2vl train`")
    options = parser.parse_args(argv)
    end = time.monotonic() + 60 * options.minutes
    run = options.runs / "micro"
    if code := (0 if steps_done(run) else prepare(options)) or train(options, run, end):
        return code
    total = sum(stage.steps for stage in micro.STAGES)
    if steps_done(run) < total:
        say(f"{steps_done(run)} of {total} steps; the same command again resumes")
        return 0
    return finish(options.runs / "micro-weights", run)


def prepare(options: argparse.Namespace) -> int:
    """Draw the records and build the store; returns an exit code."""
    records, workers = options.runs / "micro-records", ["--num-workers", str(options.workers)]
    code = qwen2vl(["data", "draw", str(records), "--recipe", "micro", "--share", str(options.share), *workers])
    if code:
        return code
    lines = [str(path) for path in sorted(records.glob("*.jsonl"))]
    out = ["--out", str(store_of(options)), "--tokenizer", str(records / "tokenizer")]
    return qwen2vl(["data", "build", *lines, *out, *workers])


def train(options: argparse.Namespace, run: Path, end: float) -> int:
    """Train until the time `end`, as `time.monotonic` counts; returns an exit code."""
    left = (end - time.monotonic()) / 60
    if left < FEWEST_MINUTES:
        return 0
    words = ["train", "micro", "--run-dir", str(run), "--store", str(store_of(options))]
    readers = ["--num-workers", str(max(1, options.workers // 4))]
    return qwen2vl([*words, *readers, "--max-minutes", f"{left:.2f}", *options.more])


def finish(weights: Path, run: Path) -> int:
    """Draw the curves, write the newest weights in shards, and score them; returns an exit code."""
    if not weights.exists():
        if code := qwen2vl(["report", str(run)]):
            return code
        shards = ["--dtype", "bf16", "--max-shard-size", SHARD]
        if code := qwen2vl(["convert", str(run), "--out", str(weights), *shards]):
            return code
    scores = run / "exam.json"
    if scores.exists():
        say(f"done: weights in {weights}, scores in {scores}")
        return 0
    out = ["--out", str(scores), "--report", str(run / "exam.html")]
    return qwen2vl(["eval", "exam", "--model", str(weights), *out])


def store_of(options: argparse.Namespace) -> Path:
    return Path(options.runs) / "micro-store"


def steps_done(run: Path) -> int:
    steps = Checkpoints(run / "checkpoints", keep=1).steps()
    return steps[-1] if steps else 0


if __name__ == "__main__":
    raise SystemExit(main())
