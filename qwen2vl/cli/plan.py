"""`qwen2vl plan`: what a run will need and read, before it begins; no model is built."""

import json as jsonlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import tyro

from qwen2vl.cli.options import UsageError, require_at_least
from qwen2vl.cli.recipe_options import RecipeOptions, parse_recipe
from qwen2vl.model.checkpoint.load import DTYPES, choose_device
from qwen2vl.training.machine import peak_flops


@dataclass(frozen=True, kw_only=True)
class PlanOptions(RecipeOptions):
    """Parameters, memory, work and time of a run, before it begins. Takes the options of train."""

    processes: int = 1
    """Number of processes that train, one for each GPU."""
    tflops: Annotated[float | None, tyro.conf.arg(metavar="X")] = None
    """Peak rate of one GPU of another machine, in 10^12 FLOP/s; that of this machine unless given."""
    mfu: Annotated[float, tyro.conf.arg(metavar="X")] = 0.4
    """Share of the peak rate that the run reaches; well filled GPUs reach 0.4."""
    json: bool = False
    """Print one JSON object in place of the tables."""


def run(argv: Sequence[str]) -> int:
    options, spec, run_dir = parse_recipe(argv, "plan", PlanOptions)
    for name, value in (("--processes", options.processes), ("--max-steps", options.max_steps)):
        if value is not None:
            require_at_least(name, value, 1)
    if not 0 < options.mfu <= 1:
        raise UsageError(f"--mfu is {options.mfu}: it is a share of the peak rate, over 0 and at most 1")
    if options.tflops is not None and not 0 < options.tflops < math.inf:
        raise UsageError(f"--tflops is {options.tflops}: it must be over 0, for example 989 for an H100")
    # Here, because they need pyarrow, which --help does not.
    from qwen2vl.cli.plan_report import report_of, tables_of
    from qwen2vl.training.planning import plan_run

    device = torch.device("cuda") if options.tflops else choose_device(None)
    outlook = plan_run(
        spec,
        run_dir,
        device,
        processes=options.processes,
        num_workers=options.num_workers,
        max_steps=options.max_steps,
    )
    peak = 1e12 * options.tflops if options.tflops else peak_flops(device, DTYPES[spec.train.precision])
    report = report_of(
        outlook,
        spec,
        device,
        processes=options.processes,
        peak=peak * options.processes,
        mfu=options.mfu,
        is_here=options.tflops is None,
    )
    print(jsonlib.dumps(report) if options.json else "\n".join(tables_of(report)))
    return 0
