"""Training nano on images of mixed sizes: our packed steps beside the usual padded loop with transformers.

Both sides have the same weights and the same samples in every optimizer step, float32 and AdamW: their loss curves must be
equal. Steps are timed in turns in one process, without reading; peak memory is that of a separate process per side.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from benchmarks.mixed_size_runs import CONFIG, TOKENS, Run, build_store, load_kernels, new_nano
from benchmarks.padded_loop import Batch, PaddedLoop, labels_of, padded_batches, samples_of, share_of_padding
from qwen2vl.common.memory import keep_freed_memory
from qwen2vl.data.loader import StepData
from qwen2vl.spec.tokens import IGNORED
from tools.measuring import MEGABYTE, gemm_rate, growth
from tools.results import Comparison, Result
from tools.script import Disagreement, options_parser, parse_options, run_child, run_script, say

USUAL = "micro-batches of 8"
GROUPED = "micro-batches of 8 of similar length"
SIZES = {USUAL: 8, "micro-batches of 4": 4, "micro-batches of 16": 16, GROUPED: 8}
"""Number of samples in a micro-batch of transformers. The last sorts the samples of a step, the others shuffle them."""
IN_CHILD = ("ours", *(side for side in SIZES if side != GROUPED))
WARMUP = 2
"""Number of steps before timing starts."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = options_parser(__doc__)
    parser.add_argument("--no-memory", action="store_true", help="leave out peak memory, which takes more processes")
    parser.add_argument("--child", choices=IN_CHILD, default=None, help="measure one side's memory, print it as JSON")
    parser.add_argument("--store", type=Path, default=None, help="store for a child, built for all sides")
    options = parse_options(parser, argv, repeats=10)
    with tempfile.TemporaryDirectory() as folder:
        if options.child:
            say(json.dumps(memory_of(options.child, options, Path(folder))))
            return 0
        say(f"training: written to {measure(options, Path(folder)).write(options)}")
    return 0


@dataclass(slots=True)
class Course:
    """Figures of every step; sides are "ours" and those of `SIZES`."""

    losses: dict[str, list[float]]
    seconds: dict[str, list[float]]
    padding: dict[str, list[float]]
    """Share of the tokens that transformers' decoder runs over."""
    supervised: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    flops: list[float] = field(default_factory=list)
    """FLOPs of the tokens without padding, in the count of the plan."""
    reading: list[float] = field(default_factory=list)
    """Seconds that our side took to read and pack."""


def measure(options: argparse.Namespace, folder: Path) -> Result:
    keep_freed_memory()  # as our training does; here it helps both sides
    store = build_store(folder, 40 if options.small else 1500)
    run = Run(store, folder / "run", options.small)
    course = train_all(run, WARMUP + options.repeats)
    checks = [check_curve(side, course.losses["ours"], course.losses[side]) for side in SIZES]
    gemm = gemm_rate(torch.float32, 64 if options.small else 1536)
    comparisons = compare_speed(course, gemm)
    if not options.no_memory:
        comparisons += compare_memory({side: memory_in_child(side, store, options) for side in IN_CHILD})
    return Result(
        name="training",
        title="Training nano on images of mixed sizes",
        settings={
            "image_tokens": f"{TOKENS[0]} to {TOKENS[1]}", "samples_per_step": round(fmean(course.samples)),
            "supervised_tokens_per_step": round(fmean(course.supervised)), "timed_steps": options.repeats,
            "packs_per_step": run.stage.packs_per_step, "tokens_per_pack": run.stage.budgets.tokens, "dtype": "fp32",
            "share_of_padding": {side: fmean(shares) for side, shares in course.padding.items()},
            "share_of_padding_in_micro_batches_of_8": fmean(course.padding[USUAL]), "course": asdict(course),
        },
        agreement={"checks": checks},
        comparisons=comparisons,
        limits={"gemm_gflops_fp32": gemm / 1e9},
    )  # fmt: skip


def train_all(run: Run, count: int) -> Course:
    """Train every step on all sides, in turns, so that slow changes of the machine affect all alike."""
    loops = {side: PaddedLoop(run.model, run.stage, CONFIG) for side in SIZES}
    sides = ["ours", *SIZES]
    course = Course({side: [] for side in sides}, {side: [] for side in sides}, {side: [] for side in SIZES})
    for number, step in enumerate(run.steps(count)):
        batches = batches_of(run, step)
        for side in sides[:: 1 if number % 2 == 0 else -1]:
            began = time.perf_counter()
            loss = run.train(step) if side == "ours" else loops[side].train(number, batches[side])
            course.seconds[side].append(time.perf_counter() - began)
            course.losses[side].append(loss)
        for side, of_side in batches.items():
            course.padding[side].append(share_of_padding(of_side))
        course.supervised.append(sum(int((labels_of(pack.inputs) != IGNORED).sum()) for pack in step.packs))
        course.samples.append(sum(pack.inputs.num_documents for pack in step.packs))
        course.flops.append(step.flops)
        course.reading.append(step.waited_s)
        say(f"  step {number + 1}: " + ", ".join(f"{side} {times[-1]:.2f} s" for side, times in course.seconds.items()))
    return course


def batches_of(run: Run, step: StepData) -> dict[str, list[Batch]]:
    """The micro-batches of a step by side; samples are in random order, as transformers' loaders shuffle them."""
    samples = samples_of(run.data.reader, step)
    random.Random(step.step).shuffle(samples)
    return {side: padded_batches(run.model, samples, size, side == GROUPED) for side, size in SIZES.items()}


def check_curve(side: str, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Check that the loss of every step is the same. Raises Disagreement."""
    furthest = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))
    tolerance = 1e-3
    if not furthest <= tolerance:
        raise Disagreement(f"loss curve beside {side}: {furthest:.3g} apart, over the tolerance {tolerance:.3g}")
    what = f"losses of {len(ours)} steps from {ours[0]:.3f} to {ours[-1]:.3f}, {side}"
    return {"what": what, "largest_relative_difference": furthest, "tolerance": tolerance}


def compare_speed(course: Course, gemm: float) -> list[Comparison]:
    """Compare supervised tokens per second; gemm = floating-point operations per second of matrix products."""
    seconds = course.seconds
    best = min(SIZES, key=lambda side: median(seconds[side][WARMUP:]))
    with_reading = [step + reading for step, reading in zip(seconds["ours"], course.reading, strict=True)]

    def line(what: str, ours: Sequence[float], side: str, **more: Any) -> Comparison:
        # Steps have about equal numbers of tokens, but not of supervised ones: with its own number, the rate of a step would be noise.
        rates = [[fmean(course.supervised) / one for one in times[WARMUP:]] for times in (ours, seconds[side])]
        shares = [fmean(course.flops) / median(times[WARMUP:]) / gemm for times in (ours, seconds[side])]
        return Comparison(
            what=what, unit="supervised tokens/s", better="higher", ours=rates[0], theirs=rates[1],
            limit="GEMM rate", our_share=shares[0], their_share=shares[1], **more,
        )  # fmt: skip

    judged = {USUAL: {"floor": 1.5, "aim": 2.5}}
    lines = [line(f"Training on mixed sizes, {side}", seconds["ours"], side, **judged.get(side, {})) for side in SIZES]
    what = "Training on mixed sizes, ours reads and packs in the same process"
    return [
        *lines,
        line(what, with_reading, best, note=f"beside the fastest of them, {best}, with everything prepared"),
    ]


def compare_memory(grown: dict[str, float]) -> list[Comparison]:
    """Compare the megabytes that training adds to model and data."""
    judged = {"floor": 1.0, "aim": 1.5}
    return [
        Comparison(
            what=f"Peak memory of training, {side}",
            unit="MB",
            ours=[grown["ours"]],
            theirs=[grown[side]],
            **(judged if side == USUAL else {}),  # type: ignore[arg-type]
        )
        for side in IN_CHILD[1:]
    ]


def memory_in_child(side: str, store: Path, options: argparse.Namespace) -> float:
    """Megabytes of `memory_of` in a separate process."""
    found = run_child("benchmarks.bench_training", options, "--child", side, "--store", str(store))
    say(f"  {side}: {found['growth_mb']:.0f} MB")
    return float(found["growth_mb"])


def memory_of(side: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Memory that training some steps adds to model and data: gradients, moments, activations."""
    run = Run(options.store, folder / "run", options.small)
    steps = list(run.steps(2 if options.small else 6))
    if side == "ours":
        keep_freed_memory()
        load_kernels(run, steps[0])
        return {"growth_mb": growth(lambda: [run.train(step) for step in steps]) / MEGABYTE}
    batches = [batches_of(run, step)[side] for step in steps]
    sample = samples_of(run.data.reader, steps[0])[:1]
    PaddedLoop(new_nano(small=True), run.stage, CONFIG).train(0, padded_batches(run.model, sample, 1))
    loop = PaddedLoop(run.model, run.stage, CONFIG)
    return {"growth_mb": growth(lambda: [loop.train(n, chosen) for n, chosen in enumerate(batches)]) / MEGABYTE}


if __name__ == "__main__":
    run_script(main)
