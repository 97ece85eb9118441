"""Planning a step: how full packs are, how fast they are planned, how evenly 64 processes share them.

transformers does not plan steps, so the peers are other ways of packing and dealing, on the same lengths.
"""

import argparse
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.other_packers import emptiest, first_come, first_fit
from benchmarks.photo_store import BUDGETS, SIDES, build_photo_store, config_of, plan_of, random_lengths, write_photos
from qwen2vl.common.arrays import Ints
from qwen2vl.data.dealing import deal
from qwen2vl.data.packing import pack_window
from qwen2vl.data.plan import Cursor, Lengths, Pack, Plan
from qwen2vl.data.store import Store
from tools.measuring import interleave, stopwatch
from tools.results import Comparison, Result
from tools.script import Disagreement, options_parser, parse_options, run_script, say

Packer = Callable[[Ints, tuple[int, int, int]], list[list[int]]]

WINDOW = 2048
OTHERS: dict[str, Packer] = {
    "first come, first served": first_come,
    "first fit": first_fit,
    "the emptiest pack, as nanoVLM": emptiest,
}
PACKS_EACH = 4
"""Number of packs of a process in one step."""


@dataclass(frozen=True, slots=True)
class PlanningAmount:
    """Amount of data to plan."""

    windows: int
    processes: int
    steps: int
    records: int
    photos: int
    sides: tuple[int, int]


FULL = PlanningAmount(windows=96, processes=64, steps=24, records=4000, photos=1000, sides=SIDES)
SMALL = PlanningAmount(windows=2, processes=4, steps=2, records=80, photos=4, sides=(60, 120))


def main(argv: Sequence[str] | None = None) -> int:
    parser = options_parser(__doc__)
    parser.add_argument(
        "--store", type=Path, default=None, help="deal the packs of this store (a store of drawn records)"
    )
    options = parse_options(parser, argv, repeats=9)
    say(f"planning: written to {measure(options).write(options)}")
    return 0


def measure(options: argparse.Namespace) -> Result:
    amount = SMALL if options.small else FULL
    lengths = random_lengths(amount.windows * WINDOW)
    plan = Plan({"drawn": lengths}, config_of({"drawn": 1}, PACKS_EACH * amount.processes))
    checks: list[dict[str, Any]] = [check_plan(plan, len(lengths))]
    comparisons = densities(lengths, checks)
    comparisons += rates(plan, lengths, options.repeats)
    say("  packed; dealing")
    comparisons += balance("drawn lengths", plan, amount)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.store:
            store = Store(options.store)
        else:
            photos = write_photos(folder, amount.photos, amount.sides)
            store = build_photo_store(folder, "store", photos, amount.records, workers=1)
        _, planned = plan_of(store, PACKS_EACH * amount.processes)
        comparisons += balance("a store", planned, amount)
    return Result(
        name="planning",
        title="Packs of a step, and who gets which",
        peer="the other way",
        settings={
            "budget_of_tokens": BUDGETS.tokens, "window": WINDOW, "drawn_lengths": len(lengths),
            "mean_tokens": float(lengths.tokens.mean()), "processes": amount.processes,
            "packs_of_a_process": PACKS_EACH, "steps": amount.steps, "records_of_the_store": len(store),
            "repeats": options.repeats, "store_is_drawn": options.store is None,
        },
        agreement={"checks": checks},
        comparisons=comparisons,
    )  # fmt: skip


def sizes_of(lengths: Lengths) -> Ints:
    """Tokens, visual tokens and media of every sample, [samples, 3]."""
    return np.stack([lengths.tokens, lengths.visual_tokens, lengths.media], axis=1)


def densities(lengths: Lengths, checks: list[dict[str, Any]]) -> list[Comparison]:
    """Share of a pack that is filled. First come, first served packs all samples at once: it needs no windows."""
    sizes = sizes_of(lengths)
    windows = [sizes[first : first + WINDOW] for first in range(0, len(sizes), WINDOW)]
    ours = [density(window, pack_window, "ours", checks) for window in windows]
    found = []
    for name, packer in OTHERS.items():
        cut = [sizes] if packer is first_come else windows
        theirs = [density(window, packer, name, checks) for window in cut]
        found.append(
            Comparison(
                what=f"Share of a pack that is filled, beside {name}",
                unit="",
                ours=ours,
                theirs=theirs,
                better="higher",
                least=0.995 if packer is first_come else None,
            )
        )
    return found


def density(sizes: Ints, packer: Packer, name: str, checks: list[dict[str, Any]]) -> float:
    """Share of the packs that is filled; adds its check to `checks`. Raises Disagreement if a pack breaks a rule."""
    packs = packer(sizes, BUDGETS.sizes)
    if sorted(sample for pack in packs for sample in pack) != list(range(len(sizes))):
        raise Disagreement(f"{name}: not every sample is in one pack")
    if any((sizes[pack].sum(axis=0) > BUDGETS.sizes).any() for pack in packs):
        raise Disagreement(f"{name}: a pack is over a budget")
    passed = {"what": f"every sample in one pack, no budget exceeded, {name}"}
    if passed not in checks:
        checks.append(passed)
    return float(sizes[:, 0].sum() / (len(packs) * BUDGETS.tokens))


def rates(plan: Plan, lengths: Lengths, repeats: int) -> list[Comparison]:
    """Samples per second of planning whole steps, and of packing alone."""
    sizes = sizes_of(lengths)
    windows = [sizes[first : first + WINDOW] for first in range(0, len(sizes), WINDOW)]
    steps, planned = whole_steps(plan, len(lengths))
    paths: dict[str, Callable[[], object]] = {
        "planning": lambda: consume(walk(plan, steps)),
        "packing": lambda: consume(pack_window(window, BUDGETS.sizes) for window in windows),
        "first come": lambda: consume(first_come(window, BUDGETS.sizes) for window in windows),
    }
    times = interleave(paths, repeats)
    rate = {name: [len(lengths) / 1e6 / seconds for seconds in values] for name, values in times.items()}
    return [
        Comparison(
            what="Planning, from the index to the packs of a step, one core",
            unit="M samples/s",
            ours=[planned / 1e6 / seconds for seconds in times["planning"]],
            better="higher",
            least=0.5,
        ),
        Comparison(
            what="Packing by itself, beside first come, first served",
            unit="M samples/s",
            ours=rate["packing"],
            theirs=rate["first come"],
            better="higher",
        ),
    ]


def consume(found: Iterable[object]) -> None:
    """Consume an iterator without storing, as a training run does: storing all packs of an epoch costs more than making them."""
    deque(found, maxlen=0)


def walk(plan: Plan, steps: int) -> Iterator[list[Pack]]:
    """The packs of the first steps, without the packs that the plan has cached."""
    plan.packs_of.cache_clear()
    cursor = Cursor()
    for _ in range(steps):
        packs, cursor = plan.step(cursor)
        yield packs


def whole_steps(plan: Plan, samples: int) -> tuple[int, int]:
    """Number of steps in the first epoch, at least one, and number of samples in them."""
    cursor, steps, held = Cursor(), 0, 0
    while True:
        packs, cursor = plan.step(cursor)
        here = sum(len(pack.samples) for pack in packs)
        if steps and held + here > samples:
            return steps, held
        steps, held = steps + 1, held + here


def check_plan(plan: Plan, samples: int) -> dict[str, Any]:
    """Check that no sample occurs twice in an epoch. Raises Disagreement."""
    steps, _ = whole_steps(plan, samples)
    seen = Counter(sample for packs in walk(plan, steps) for pack in packs for sample in pack.samples)
    if max(seen.values()) > 1:
        raise Disagreement("the plan has a sample twice in one epoch")
    return {"what": "no sample twice in the epoch that is planned"}


@dataclass(frozen=True, slots=True)
class Imbalance:
    """Largest share of a process over the mean share, step by step."""

    flops: list[float] = field(default_factory=list)
    visual_tokens: list[float] = field(default_factory=list)

    def add(self, packs: Sequence[Pack], shares: Sequence[Sequence[int]]) -> None:
        for name, values in (("flops", self.flops), ("visual_tokens", self.visual_tokens)):
            sums = [sum(getattr(packs[pack], name) for pack in share) for share in shares]
            values.append(max(sums) * len(sums) / sum(sums))


def balance(where: str, plan: Plan, amount: PlanningAmount) -> list[Comparison]:
    """Compare the shares of the processes by cost and by visual tokens with dealing in turn, and measure the time of dealing."""
    ours, theirs, seconds = Imbalance(), Imbalance(), []
    processes = amount.processes
    for packs in walk(plan, amount.steps):
        shares: list[list[int]] = []
        seconds.append(stopwatch(lambda packs=packs, shares=shares: shares.extend(deal(packs, processes))))
        ours.add(packs, shares)
        theirs.add(packs, [range(process, len(packs), processes) for process in range(processes)])
    return [
        Comparison(
            what=f"Largest of {processes} shares over their mean, {what}, {where}, beside round robin",
            unit="",
            ours=getattr(ours, name),
            theirs=getattr(theirs, name),
            ceiling=ceiling,
        )
        for what, name, ceiling in (("cost", "flops", 1.03), ("visual tokens", "visual_tokens", 1.10))
    ] + [
        Comparison(
            what=f"Dealing {PACKS_EACH * processes} packs to {processes} processes, {where}",
            unit="ms",
            ours=[1000 * each for each in seconds],
        )
    ]


if __name__ == "__main__":
    run_script(main)
