"""`qwen2vl plan`: what a run will need and read, before it begins; no model is built."""

import json as jsonlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any

import torch
import tyro

from qwen2vl.cli.options import UsageError, require_at_least
from qwen2vl.cli.recipe_options import RecipeOptions, parse_recipe
from qwen2vl.model.checkpoint.load import DTYPES, choose_device
from qwen2vl.training.estimate import Memory, shortage_of
from qwen2vl.training.machine import peak_flops
from qwen2vl.training.planning import RunPlan, StagePlan, plan_run
from qwen2vl.training.run import Recipe
from qwen2vl.training.train_config import PARTS

MFU = 0.4
"""Share of the peak rate that a well filled GPU reaches."""


@dataclass(frozen=True, kw_only=True)
class PlanOptions(RecipeOptions):
    """Parameters, memory, work and time of a run, before it begins. Takes what train takes."""

    processes: int = 1
    """That train, one for each GPU."""
    tflops: Annotated[float | None, tyro.conf.arg(metavar="X")] = None
    """Peak rate of one GPU of another machine, in 10^12 FLOP/s; that of this machine unless given."""
    mfu: Annotated[float, tyro.conf.arg(metavar="X")] = MFU
    """Share of the peak rate that the run is taken to reach."""
    json: bool = False
    """Print one JSON object in place of the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How work becomes time."""

    peak: float
    """FLOP/s of all processes together."""
    mfu: float

    def seconds(self, flops: float) -> float:
        return flops / (self.peak * self.mfu)


def run(argv: Sequence[str]) -> int:
    options, recipe, run_dir = parse_recipe(argv, "plan", PlanOptions)
    for name, value in (("--processes", options.processes), ("--max-steps", options.max_steps)):
        if value is not None:
            require_at_least(name, value, 1)
    if not 0 < options.mfu <= 1:
        raise UsageError(f"--mfu is {options.mfu}: it is a share of the peak rate, over 0 and at most 1")
    if options.tflops is not None and not 0 < options.tflops < math.inf:
        raise UsageError(f"--tflops is {options.tflops}: it must be over 0, as 989 for an H100")
    here = options.tflops is None
    device = choose_device(None) if here else torch.device("cuda")
    planned = plan_run(
        recipe.prepare(run_dir),
        recipe.train,
        run_dir,
        device,
        processes=options.processes,
        num_workers=options.num_workers,
        max_steps=options.max_steps,
    )
    rate = 1e12 * options.tflops if options.tflops else peak_flops(device, DTYPES[recipe.train.precision])
    speed = Speed(peak=rate * options.processes, mfu=options.mfu)
    report = report_of(planned, recipe, options, device, speed)
    print(jsonlib.dumps(report) if options.json else "\n".join(in_words(report)))
    return 0


def report_of(
    planned: RunPlan, recipe: Recipe, options: PlanOptions, device: torch.device, speed: Speed
) -> dict[str, Any]:
    """All that is printed."""
    stages = [stage_report(stage, speed, planned.sources is not None) for stage in planned.stages]
    total = sum(stage.work.flops for stage in planned.stages)
    lacking = [shortage_of(stage.needs.memory, device) for stage in planned.stages] if options.tflops is None else None
    return {
        "recipe": recipe.name,
        "device": device.type,
        "processes": options.processes,
        "precision": recipe.train.precision,
        "recompute": recipe.train.recompute,
        "peak_tflops": speed.peak / 1e12,
        "mfu": speed.mfu,
        "fits": None if lacking is None else not any(lacking),
        "parameters": counted(planned.stages[0], 0),
        "flops": total,
        "seconds": speed.seconds(total),
        "stages": stages,
        "sources": [
            {"source": name} | asdict(source) | {"epochs": source.epochs}
            for name, source in (planned.sources or {}).items()
        ],
    }


def stage_report(planned: StagePlan, speed: Speed, from_store: bool) -> dict[str, Any]:
    needs, work = planned.needs, planned.work
    budgets, memory = needs.stage.budgets, needs.memory
    parts = asdict(memory)
    parts.pop("accumulated")
    return {
        "stage": needs.stage.name,
        "trained": counted(planned, 1),
        "memory": parts,
        "device_bytes": memory.device,
        "host_bytes": memory.host,
        "from_store": from_store,
        "steps": work.steps,
        "packs": work.packs,
        "samples": round(work.samples) if from_store else None,
        "tokens": round(work.tokens),
        "visual_tokens": round(work.visual_tokens),
        "fill_tokens": work.tokens / work.packs / budgets.tokens,
        "fill_visual_tokens": work.visual_tokens / work.packs / budgets.visual_tokens,
        "flops_per_token": work.flops / work.tokens,
        "flops_per_step": work.flops / work.steps,
        "flops": work.flops,
        "seconds": speed.seconds(work.flops),
    }


def counted(planned: StagePlan, which: int) -> dict[str, int]:
    """Parameters by part and in all; which: 0 all, 1 trained."""
    counts = {part: planned.needs.parameters[part][which] for part in PARTS}
    return counts | {"total": sum(counts.values())}


def in_words(report: dict[str, Any]) -> list[str]:
    stages = report["stages"]
    from_store = stages[0]["from_store"]
    several = "es" if report["processes"] > 1 else ""
    lines = [
        f"{report['recipe']}: {report['processes']} process{several} on {report['device']}, {report['precision']}, "
        f"recompute {report['recompute']}",
        "parameters: " + ", ".join(f"{name} {count:,}" for name, count in report["parameters"].items()),
        "",
    ]
    lines += aligned([("stage", *(stage["stage"] for stage in stages)), *rows_of(stages)])
    if report["sources"]:
        columns: tuple[tuple[str, Callable[[Any], str]], ...] = (
            ("source", str), ("samples", whole), ("lowered", whole), ("refused", whole), ("drawn", whole),
            ("epochs", lambda value: f"{value:.2f}"),
        )  # fmt: skip
        table = [tuple(show(source[name]) for name, show in columns) for source in report["sources"]]
        lines += ["", *aligned([tuple(name for name, _ in columns), *table])]
    lines.append("")
    if not from_store:
        lines.append("No store yet: every pack is taken to be full, so work and time are upper bounds.")
    lines.append(
        f"Time: {duration(report['seconds'])} in all, at {report['mfu']:.0%} of {report['peak_tflops']:.3g} TFLOP/s."
    )
    lines.append(
        "FLOPs as in the mfu_with_tower of a run: forward and backward with the tower, without head and recomputing."
    )
    if report["fits"] is not None:
        lines.append(f"This machine has {'enough' if report['fits'] else 'NOT enough'} memory free for it.")
    return lines


def rows_of(stages: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """One line for every figure, one column for every stage."""

    def row(name: str, show: Callable[[Any], str], *path: str) -> tuple[str, ...]:
        values = []
        for stage in stages:
            value: Any = stage
            for key in path:
                value = value[key]
            values.append("-" if value is None else show(value))
        return (name, *values)

    parts = [field.name for field in fields(Memory) if field.name != "accumulated"]
    return [
        *(row(f"trained in {part}", whole, "trained", part) for part in PARTS),
        *(row(part.replace("_", " "), size, "memory", part) for part in parts),
        row("device at its fullest", size, "device_bytes"),
        row("host besides", size, "host_bytes"),
        *(
            row(name.replace("_", " "), whole, name)
            for name in ("steps", "packs", "samples", "tokens", "visual_tokens")
        ),
        row("tokens of a pack used", "{:.1%}".format, "fill_tokens"),
        row("FLOPs per token", operations, "flops_per_token"),
        row("FLOPs per step", operations, "flops_per_step"),
        row("FLOPs", operations, "flops"),
        row("time", duration, "seconds"),
    ]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first, *others = widths
    return [
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others, strict=True))])
        for name, *cells in rows
    ]


def whole(value: float) -> str:
    return f"{value:,.0f}"


def size(value: float) -> str:
    return f"{value / 1e9:,.1f} GB" if value >= 1e9 else f"{value / 1e6:,.1f} MB"


def operations(value: float) -> str:
    for exponent, letter in ((21, "Z"), (18, "E"), (15, "P"), (12, "T"), (9, "G")):
        if value >= 10**exponent:
            return f"{value / 10**exponent:.3g} {letter}FLOP"
    return f"{value / 1e6:.3g} MFLOP"


def duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 60 / 24:.1f} days"
