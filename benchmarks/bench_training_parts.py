"""Cost of a training step with frozen parts of the model, and with activations that are computed again.

All variants have the same first weights and the same steps, in turns in one process. Peak memory is that of a separate
process per variant. The first variant, everything trained and nothing computed twice, is the peer of the others.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from benchmarks.mixed_size_runs import ALL, Run, build_store, load_kernels
from qwen2vl.common.memory import keep_freed_memory
from qwen2vl.data.loader import StepData
from qwen2vl.recipes.nano import RATE
from qwen2vl.training.activations import recompute
from qwen2vl.training.loss import token_loss
from qwen2vl.training.train_config import Rates
from tools.measuring import MEGABYTE, growth, interleave
from tools.results import Comparison, Result
from tools.script import Disagreement, options_parser, parse_options, run_child, run_script, say

Mode = Literal["none", "selective", "full"]

FIRST = "everything trained"
VARIANTS: dict[str, tuple[Rates, Mode]] = {
    FIRST: (ALL, "none"),
    "tower frozen": (Rates(merger=RATE, decoder=RATE), "none"),
    "decoder frozen": (Rates(tower=RATE, merger=RATE), "none"),
    "everything trained, selective recomputing": (ALL, "selective"),
    "everything trained, full recomputing": (ALL, "full"),
}
STEPS = 3
"""Number of steps that every timed turn trains on."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = options_parser(__doc__)
    parser.add_argument("--no-memory", action="store_true", help="leave out peak memory, which takes more processes")
    parser.add_argument(
        "--child", choices=VARIANTS, default=None, help="measure one variant's memory, print it as JSON"
    )
    parser.add_argument("--store", type=Path, default=None, help="store for a child, built for all variants")
    options = parse_options(parser, argv, repeats=4)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        if options.child:
            say(json.dumps({"growth_mb": memory_of(options.child, options, Path(folder)) / MEGABYTE}))
            return 0
        say(f"training_parts: written to {measure(options, Path(folder)).write(options)}")
    return 0


def measure(options: argparse.Namespace, folder: Path) -> Result:
    store = build_store(folder, 40 if options.small else 600)
    runs = {name: run_of(name, store, folder / f"run {name}", options.small) for name in VARIANTS}
    steps = list(runs[FIRST].steps(1 if options.small else STEPS))
    checks = check_first_losses({name: run.train(steps[0]) for name, run in runs.items()})
    kept = {name: kept_bytes(run, steps[0]) / MEGABYTE for name, run in runs.items() if VARIANTS[name][1] == "none"}
    times = interleave({name: lambda run=run: train(run, steps) for name, run in runs.items()}, options.repeats)
    say("  timed")
    seconds = {name: [one / len(steps) for one in raw] for name, raw in times.items()}
    lines = [line("One step", "s", name, seconds[FIRST], seconds[name]) for name in VARIANTS]
    if not options.no_memory:
        grown = {name: [memory_in_child(name, store, options)] for name in VARIANTS}
        lines += [line("Peak memory", "MB", name, grown[FIRST], grown[name]) for name in VARIANTS]
    lines += [line("Kept for the backward pass of one pack", "MB", name, [kept[FIRST]], [kept[name]]) for name in kept]
    return Result(
        name="training_parts",
        title="Training nano with frozen parts, and with activations computed again",
        settings={
            "packs_per_step": runs[FIRST].stage.packs_per_step, "tokens_per_pack": runs[FIRST].stage.budgets.tokens,
            "dtype": "fp32", "steps_in_a_turn": len(steps), "turns": options.repeats,
        },
        agreement={"checks": checks},
        comparisons=lines,
        peer=FIRST,
    )  # fmt: skip


def run_of(name: str, store: Path, folder: Path, small: bool) -> Run:
    rates, mode = VARIANTS[name]
    return Run(store, folder, small, rates, lambda model: recompute(model, mode))


def train(run: Run, steps: Sequence[StepData]) -> None:
    for step in steps:
        run.train(step)


def check_first_losses(losses: dict[str, float]) -> list[dict[str, Any]]:
    """Check that all variants have the same loss before the first update. Raises Disagreement."""
    furthest = max(abs(loss / losses[FIRST] - 1) for loss in losses.values())
    tolerance = 1e-5
    if not furthest <= tolerance:
        raise Disagreement(f"the losses of the first step are {losses}: they must be equal")
    what = "loss of the first step, all variants"
    return [{"what": what, "largest_relative_difference": furthest, "tolerance": tolerance}]


def kept_bytes(run: Run, step: StepData) -> int:
    """Bytes that autograd keeps for the backward pass of the first pack, without weights."""
    own = {parameter.untyped_storage().data_ptr() for parameter in run.model.parameters()}
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = token_loss(run.model, step.packs[0].inputs)
    assert loss.total.requires_grad, "nothing of the variant is trained"
    return sum(sizes.values())


def line(what: str, unit: str, name: str, first: Sequence[float], here: Sequence[float]) -> Comparison:
    return Comparison(what=f"{what}, {name}", unit=unit, ours=here, theirs=() if name == FIRST else first)


def memory_in_child(name: str, store: Path, options: argparse.Namespace) -> float:
    """Megabytes of `memory_of` in a separate process."""
    found = run_child("benchmarks.bench_training_parts", options, "--child", name, "--store", str(store))
    say(f"  {name}: {found['growth_mb']:.0f} MB")
    return float(found["growth_mb"])


def memory_of(name: str, options: argparse.Namespace, folder: Path) -> int:
    """Bytes that training some steps adds to model and data."""
    run = run_of(name, options.store, folder / "run", options.small)
    steps = list(run.steps(1 if options.small else 2 * STEPS))
    load_kernels(run, steps[0])
    return growth(lambda: train(run, steps))


if __name__ == "__main__":
    run_script(main)
