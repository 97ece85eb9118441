"""Reading rows: how long a step waits for its photos, and how soon a resumed run has its first rows.

transformers has no such loader, so the peers are reading in the trainer's own process and the start of an epoch.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.photo_store import BUDGETS, SIDES, build_photo_store, plan_of, processor_2b, write_photos
from qwen2vl.common.memory import keep_freed_memory
from qwen2vl.data.loader import StepLoader
from qwen2vl.data.plan import Cursor, Plan, digest
from qwen2vl.data.quarantine import Quarantine
from qwen2vl.data.samples import SampleReader
from qwen2vl.data.store import Store
from tools.results import Comparison, Result
from tools.script import Disagreement, options_parser, parse_options, run_child, run_script, say

READ_BEFORE = 4
"""Number of steps before timing starts: the first ones wait for the workers to start."""
FULL_PACK = BUDGETS.tokens
HALF_PACK = FULL_PACK // 2


@dataclass(frozen=True, slots=True)
class ReadingAmount:
    """Amount of data to read."""

    photos: int
    sides: tuple[int, int]
    records: int
    large: int
    """Number of records of the store that is resumed from."""
    steps: int
    step_s: float
    """Simulated seconds of a step; the machine is idle in them, as while a GPU works."""
    processes: bool
    """Whether resuming runs in a separate process, and two processes build the store."""


FULL = ReadingAmount(photos=1000, sides=SIDES, records=2000, large=50_000, steps=40, step_s=0.2, processes=True)
SMALL = ReadingAmount(photos=4, sides=(60, 120), records=40, large=40, steps=2, step_s=0.01, processes=False)


def main(argv: Sequence[str] | None = None) -> int:
    parser = options_parser(__doc__)
    parser.add_argument("--child", default=None, help="resume once with these arguments, as JSON, and print the time")
    options = parse_options(parser, argv, repeats=3)
    if options.child:
        say(json.dumps(resume(**json.loads(options.child))))
        return 0
    say(f"loader: written to {measure(options).write(options)}")
    return 0


def measure(options: argparse.Namespace) -> Result:
    amount = SMALL if options.small else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = write_photos(folder, amount.photos, amount.sides)
        store = build_photo_store(folder, "store", photos, amount.records, workers=1)
        say(f"  {len(store)} records made; reading")
        checks = [check_workers(store, folder)]
        waits = compare_waiting(store, folder, amount, options.repeats)
        say("  read; making the store to resume from")
        large = build_photo_store(folder, "large", photos, amount.large, workers=2 if amount.processes else 1)
        resumes, more = compare_resuming(large, folder, amount, options)
    return Result(
        name="loader",
        title="Waiting for rows, and resuming",
        peer="the other way",
        settings={
            "photos": amount.photos, "sides": f"{SIDES[0]} to {SIDES[1]}",
            "packs_of_a_step": 1, "step_ms": 1000 * amount.step_s, "steps": amount.steps,
            "records": amount.records, "records_resumed_from": amount.large, "repeats": options.repeats,
        },
        agreement={"checks": [*checks, *more]},
        comparisons=[*waits, *resumes],
    )  # fmt: skip


def loader_of(store: Store, folder: Path, num_workers: int, tokens: int = FULL_PACK) -> StepLoader:
    """A loader of one pack of `tokens` tokens per step."""
    index, plan = plan_of(store, packs_per_step=1, tokens=tokens)
    reader = SampleReader(store, processor_2b(), index.caps)
    return StepLoader(plan, reader, Quarantine(folder / "quarantine"), num_workers=num_workers)


def check_workers(store: Store, folder: Path) -> dict[str, Any]:
    """Check that a worker reads the same rows as the process itself. Raises Disagreement."""
    own, workers = (list(loader_of(store, folder, count).steps(Cursor(), 2)) for count in (0, 1))
    for one, other in zip(own, workers, strict=True):
        (mine,), (theirs,) = one.packs, other.packs
        if any(
            not getattr(mine.inputs, name).equal(getattr(theirs.inputs, name)) for name in type(mine.inputs).__slots__
        ):
            raise Disagreement(f"step {one.step}: a worker reads other rows than the process itself")
    return {"what": "rows of a worker and of the process itself"}


@dataclass(slots=True)
class Reading:
    """Figures of one pass over the steps."""

    steps: int
    whole_s: float = 0
    waited_s: float = 0
    """Seconds from asking for a step to having it."""
    counted_s: float = 0
    """Seconds of waiting as the loader itself counts them."""
    photos: int = 0
    flops: float = 0


def read(store: Store, folder: Path, tokens: int, num_workers: int, steps: int, step_s: float) -> Reading:
    """Read some steps, each followed by a pause of `step_s` seconds."""
    found = Reading(steps)
    reading = loader_of(store, folder, num_workers, tokens).steps(Cursor(), READ_BEFORE + steps)
    for _ in range(READ_BEFORE):
        next(reading)
        time.sleep(step_s)
    began = time.perf_counter()
    for _ in range(steps):
        start = time.perf_counter()
        step = next(reading)
        found.waited_s += time.perf_counter() - start
        found.counted_s += step.waited_s
        found.photos += sum(len(pack.inputs.grids) for pack in step.packs)
        found.flops += step.flops
        time.sleep(step_s)
    found.whole_s = time.perf_counter() - began
    next(reading, None)  # ends the workers
    return found


def compare_waiting(store: Store, folder: Path, amount: ReadingAmount, repeats: int) -> list[Comparison]:
    """Share of a step that is waiting, and speed of reading without pauses."""
    paused: dict[tuple[int, int], list[Reading]] = {}
    free: dict[int, list[Reading]] = {}
    for _ in range(repeats):
        for tokens, workers in ((HALF_PACK, 0), (HALF_PACK, 1), (FULL_PACK, 0), (FULL_PACK, 1), (FULL_PACK, 2)):
            steps = amount.steps if workers else amount.steps // 3 + 1
            here = read(store, folder, tokens, workers, steps, amount.step_s)
            paused.setdefault((tokens, workers), []).append(here)
        for workers in (0, 1, 2):
            free.setdefault(workers, []).append(read(store, folder, FULL_PACK, workers, amount.steps // 2, 0))
    return [
        waiting_share(paused[tokens, workers], paused[tokens, 0], f"{tokens} tokens, {words}", amount.step_s)
        for tokens, workers, words in (
            (HALF_PACK, 1, "one worker"), (FULL_PACK, 1, "one worker"), (FULL_PACK, 2, "two workers")
        )
    ] + [
        Comparison(
            what=f"Reading packs of {FULL_PACK} tokens without a pause, {words}, beside none",
            unit="photos/s",
            ours=[run.photos / run.whole_s for run in free[workers]],
            theirs=[run.photos / run.whole_s for run in free[0]],
            better="higher",
        )
        for workers, words in ((1, "one worker"), (2, "two workers"))
    ]  # fmt: skip


def waiting_share(ours: Sequence[Reading], theirs: Sequence[Reading], words: str, step_s: float) -> Comparison:
    """The line that compares the share of waiting in two kinds of reading."""
    counted = median([100 * run.counted_s / run.whole_s for run in ours])
    first = ours[0]
    photos, flops = (each / first.steps / step_s for each in (first.photos, first.flops))
    return Comparison(
        what=f"Share of a step of {1000 * step_s:.0f} ms that is waiting, {words}, beside none",
        unit="%",
        ours=[100 * run.waited_s / run.whole_s for run in ours],
        theirs=[100 * run.waited_s / run.whole_s for run in theirs],
        ceiling=2.0,
        note=f"{photos:.0f} photos a second; training on them takes {flops / 1e12:.0f} TFLOP/s; "
        f"the loader's own counter says {counted:.2g} %",
    )


def compare_resuming(
    store: Store, folder: Path, amount: ReadingAmount, options: argparse.Namespace
) -> tuple[list[Comparison], list[dict[str, Any]]]:
    """Seconds from opening the store to the first rows, late in an epoch and at its start, and the checks."""
    _, plan = plan_of(store, packs_per_step=1)
    start, late = Cursor(), late_in_epoch(plan, 0.97 * len(store))
    took: dict[tuple[int, str], list[float]] = {}
    for _ in range(options.repeats):
        for workers in (0, 1):
            for place, cursor in (("start", start), ("late", late)):
                found = resumed(store, folder, cursor, workers, options if amount.processes else None)
                if found["digest"] != digest(plan.step(cursor)[0]):
                    raise Disagreement(
                        f"a run resumed at step {cursor.step} reads another step than an uninterrupted one"
                    )
                took.setdefault((workers, place), []).append(found["seconds"])
    start_s = median(took[1, "late"]) - median(took[0, "late"])
    lines = [
        Comparison(
            what=f"Opening the store to the first rows, step {late.step + 1}, {words}, beside step 1",
            unit="s",
            ours=took[workers, "late"],
            theirs=took[workers, "start"],
            ceiling=None if workers else 5.0,
            note=f"{start_s:.1f} s of it are the start of the worker" if workers else "",
        )
        for workers, words in ((0, "no worker"), (1, "one worker"))
    ]
    lines.append(
        Comparison(
            what="What a checkpoint keeps of the data",
            unit="kB",
            ours=[len(json.dumps(late.to_dict())) / 1000],
            ceiling=64,
        )
    )
    return lines, [{"what": f"the step of a resumed run and of the uninterrupted one, steps 1 and {late.step + 1}"}]


def late_in_epoch(plan: Plan, samples: float) -> Cursor:
    """The cursor of a run after this number of samples."""
    cursor, taken = Cursor(), 0
    while taken < samples:
        packs, cursor = plan.step(cursor)
        taken += sum(len(pack.samples) for pack in packs)
    return cursor


def resumed(
    store: Store, folder: Path, cursor: Cursor, workers: int, options: argparse.Namespace | None
) -> dict[str, Any]:
    """Seconds and digest of one resume, in a separate process if options are given."""
    arguments: dict[str, Any] = {
        "store": str(store.path),
        "quarantine": str(folder),
        "cursor": cursor.to_dict(),
        "workers": workers,
    }
    if options is None:
        return resume(**arguments)
    return run_child("benchmarks.bench_loader", options, "--child", json.dumps(arguments))


def resume(store: str, quarantine: str, cursor: dict[str, Any], workers: int) -> dict[str, Any]:
    """Seconds from opening a store to the rows of the step at a cursor, and the digest of that step."""
    processor_2b()
    began = time.perf_counter()
    loader = loader_of(Store(store), Path(quarantine), workers)
    steps = loader.steps(Cursor.from_dict(cursor), 1)
    step = next(steps)
    seconds = time.perf_counter() - began
    next(steps, None)
    return {"seconds": seconds, "digest": step.digest}


if __name__ == "__main__":
    keep_freed_memory()  # as `qwen2vl train` does
    run_script(main)
