"""Speed of drawing: records per second and core of every kind, with encoding of images and writing of lines.

All tasks in their full form; lessons, which have more answers for an image, are left out. Drawing bounds training on drawn
data: nano reads about 90 conversations a second on two cores. Needs the fonts of scripts/install-fonts.sh.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from drawn_world import KINDS, TASKS
from drawn_world.write_records import Shard, draw_shard
from tools.measuring import interleave
from tools.results import Comparison, Result
from tools.script import Disagreement, options_parser, parse_options, run_script, say

SMALL_TASKS = ("colour_shape", "count", "motion", "compare")
"""Tasks that need no fonts."""


def main(argv: Sequence[str] | None = None) -> int:
    options = parse_options(options_parser(__doc__), argv, repeats=5)
    say(f"drawing: written to {measure(options).write(options)}")
    return 0


def measure(options: argparse.Namespace) -> Result:
    tasks, items = (SMALL_TASKS, 2) if options.small else (TASKS, 25)
    by_kind: dict[str, list[str]] = {}
    for task in tasks:
        by_kind.setdefault(KINDS[task], []).append(task)
    with tempfile.TemporaryDirectory() as folder:
        shards = {kind: shards_of(of, items, Path(folder)) for kind, of in by_kind.items()}
        check_repeats([shard for of in shards.values() for shard in of])  # also loads fonts and words
        paths: dict[str, Callable[[], object]] = {kind: partial(draw_all, of) for kind, of in shards.items()}
        times = interleave(paths, options.repeats)
        size = sum(path.stat().st_size for path in Path(folder).glob("media/*.bin")) / (items * len(tasks))
    whole = [items * len(tasks) / sum(of) for of in zip(*times.values(), strict=True)]
    lines = [Comparison(what="Drawing, all tasks", unit="items/s", ours=whole, better="higher")]
    for kind, taken in times.items():
        rates = [items * len(by_kind[kind]) / seconds for seconds in taken]
        note = ", ".join(by_kind[kind])
        lines.append(Comparison(what=f"Drawing, {kind}", unit="items/s", ours=rates, better="higher", note=note))
    settings = {"tasks": len(tasks), "items_of_a_task": items, "kilobytes_of_images_an_item": size / 1000}
    return Result(
        name="drawing",
        title="Drawing the world, one core",
        settings=settings | {"repeats": options.repeats},
        agreement={"checks": [{"what": "every shard drawn twice has the same bytes"}]},
        comparisons=lines,
    )


def shards_of(tasks: Sequence[str], items: int, folder: Path) -> list[Shard]:
    """One shard of training records per task."""
    (folder / "media").mkdir(exist_ok=True)
    return [Shard(folder=folder, source=f"{task}@0", number=0, count=items) for task in tasks]


def check_repeats(shards: Sequence[Shard]) -> None:
    """Draw shards twice. Raises Disagreement if a byte differs."""
    draw_all(shards)
    first = digests(shards)
    draw_all(shards)
    if digests(shards) != first:
        raise Disagreement("the same shard drawn twice has other bytes")


def draw_all(shards: Sequence[Shard]) -> None:
    for shard in shards:
        draw_shard(shard, seed=0, split="train")


def digests(shards: Sequence[Shard]) -> list[str]:
    """SHA-256 of every file that was written for these shards."""
    files = [file for shard in shards for file in (shard.records_file, shard.folder / "media" / f"{shard.name}.bin")]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


if __name__ == "__main__":
    run_script(main)
