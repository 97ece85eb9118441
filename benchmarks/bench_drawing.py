"""Drawing the world: how many records a second one core makes of every kind, images encoded and lines written.

All tasks in their full form; lessons have more answers for an image. It bounds training on drawn data: nano reads about
90 conversations a second on two cores. Nothing stands beside it.
Needs the fonts of scripts/install-fonts.sh.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import record
from benchmarks.agreement import Disagreement
from benchmarks.measuring import interleave
from benchmarks.record import Comparison, Result, say
from qwen2vl.nano.records import Shard, draw_shard
from qwen2vl.nano.world import KINDS, TASKS

ITEMS = 25
"""Of every task, in one timed run."""
SMALL_TASKS = ("colour_shape", "count", "motion", "compare")
"""They need no fonts."""


def main(argv: Sequence[str] | None = None) -> int:
    options = record.parse(record.options_parser(__doc__), argv, repeats=5)
    say(f"drawing: written to {record.write(measure(options), options)}")
    return 0


def measure(options: argparse.Namespace) -> Result:
    tasks, items = (SMALL_TASKS, 2) if options.small else (TASKS, ITEMS)
    by_kind: dict[str, list[str]] = {}
    for task in tasks:
        by_kind.setdefault(KINDS[task], []).append(task)
    with tempfile.TemporaryDirectory() as folder:
        shards = {
            kind: [
                Shard(out=Path(folder), source=f"{task}@0", number=0, count=items, seed=0, split="train") for task in of
            ]
            for kind, of in by_kind.items()
        }
        for each in (Path(folder) / "media", Path(folder) / "again" / "media"):
            each.mkdir(parents=True)
        kept = {kind: digests(of) for kind, of in shards.items()}  # warms fonts and words up
        again = {
            kind: digests([replace(shard, out=shard.out / "again") for shard in of]) for kind, of in shards.items()
        }
        if kept != again:
            raise Disagreement("the same shard drawn twice has other bytes")
        paths: dict[str, Callable[[], object]] = {kind: partial(draw_all, of) for kind, of in shards.items()}
        times = interleave(paths, options.repeats)
        size = sum(path.stat().st_size for path in Path(folder).glob("*/*.bin")) / (items * len(tasks))
    rates = {kind: [items * len(by_kind[kind]) / seconds for seconds in taken] for kind, taken in times.items()}
    whole = [items * len(tasks) / sum(of) for of in zip(*times.values(), strict=True)]
    lines = [Comparison(what="Drawing, all tasks", unit="items/s", ours=whole, better="higher")]
    lines += [
        Comparison(what=f"Drawing, {kind}", unit="items/s", ours=rate, better="higher", note=", ".join(by_kind[kind]))
        for kind, rate in rates.items()
    ]
    return Result(
        name="drawing",
        title="Drawing the world, one core",
        settings={
            "tasks": len(tasks), "items_of_a_task": items, "kilobytes_of_images_an_item": size / 1000,
            "repeats": options.repeats,
        },
        agreement={"checks": [{"what": "every shard drawn twice has the same bytes"}]},
        comparisons=lines,
    )  # fmt: skip


def draw_all(shards: Sequence[Shard]) -> None:
    for shard in shards:
        draw_shard(shard)


def digests(shards: Sequence[Shard]) -> list[str]:
    """Of what is written when they are drawn."""
    draw_all(shards)
    files = [file for shard in shards for file in (shard.lines, shard.out / "media" / f"{shard.name}.bin")]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Disagreement as error:
        sys.exit(f"refused: {error}")
