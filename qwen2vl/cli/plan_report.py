"""The report of `qwen2vl plan`: as a JSON object, and as tables."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any

import torch

from qwen2vl.training.estimate import Memory, shortage_of
from qwen2vl.training.planning import RunOutlook, StageOutlook
from qwen2vl.training.run_spec import RunSpec
from qwen2vl.training.train_config import PARTS


def report_of(
    outlook: RunOutlook,
    spec: RunSpec,
    device: torch.device,
    *,
    processes: int,
    peak: float,
    mfu: float,
    is_here: bool,
) -> dict[str, Any]:
    """The JSON object.

    Args:
        outlook: what the run needs and reads.
        spec: the run.
        device: device of each process.
        processes: number of processes that train.
        peak: FLOP/s of all processes together.
        mfu: share of the peak that the run reaches.
        is_here: whether this machine is the one that trains, so that its free memory counts.
    """
    flops = sum(stage.work.flops for stage in outlook.stages)
    fits = not any(shortage_of(stage.needs.memory, device) for stage in outlook.stages) if is_here else None
    return {
        "recipe": spec.name,
        "device": device.type,
        "processes": processes,
        "precision": spec.train.precision,
        "recompute": spec.train.recompute,
        "peak_tflops": peak / 1e12,
        "mfu": mfu,
        "fits": fits,
        "parameters": with_total({part: count for part, (count, _) in outlook.stages[0].needs.parameters.items()}),
        "flops": flops,
        "seconds": flops / (peak * mfu),
        "stages": [stage_report(stage, peak * mfu, outlook.sources is not None) for stage in outlook.stages],
        "sources": [
            {"source": name} | asdict(use) | {"epochs": use.epochs} for name, use in (outlook.sources or {}).items()
        ],
    }


def stage_report(outlook: StageOutlook, rate: float, from_store: bool) -> dict[str, Any]:
    """One stage of the JSON object. rate: FLOP/s that the run reaches."""
    needs, work = outlook.needs, outlook.work
    budgets, memory = needs.stage.budgets, needs.memory
    return {
        "stage": needs.stage.name,
        "trained": with_total({part: trained for part, (_, trained) in needs.parameters.items()}),
        "memory": {name: size for name, size in asdict(memory).items() if name != "accumulated"},
        "device_bytes": memory.device,
        "host_bytes": memory.host,
        "from_store": from_store,
        "steps": work.steps,
        "packs": work.packs,
        "samples": round(work.samples) if from_store else None,
        "samples_per_step": work.samples / work.steps if from_store else None,
        "course": outlook.course,
        "tokens": round(work.tokens),
        "visual_tokens": round(work.visual_tokens),
        "fill_tokens": work.tokens / work.packs / budgets.tokens,
        "fill_visual_tokens": work.visual_tokens / work.packs / budgets.visual_tokens,
        "flops_per_token": work.flops / work.tokens,
        "flops_per_step": work.flops / work.steps,
        "flops": work.flops,
        "seconds": work.flops / rate,
    }


def with_total(counts: dict[Any, int]) -> dict[str, int]:
    return {**counts, "total": sum(counts.values())}


def tables_of(report: dict[str, Any]) -> list[str]:
    """The lines that are printed without --json."""
    stages = report["stages"]
    several = "es" if report["processes"] > 1 else ""
    lines = [
        f"{report['recipe']}: {report['processes']} process{several} on {report['device']}, {report['precision']}, "
        f"recompute {report['recompute']}",
        "parameters: " + ", ".join(f"{name} {count:,}" for name, count in report["parameters"].items()),
        *(stage["course"] for stage in stages if stage["course"]),
        "",
        *aligned([("stage", *(stage["stage"] for stage in stages)), *stage_rows(stages)]),
    ]
    if report["sources"]:
        names = ("source", "samples", "lowered", "refused", "drawn", "epochs")
        rows = [
            (source["source"], *(f"{source[name]:,.0f}" for name in names[1:-1]), f"{source['epochs']:.2f}")
            for source in report["sources"]
        ]
        lines += ["", *aligned([names, *rows])]
    lines.append("")
    if not stages[0]["from_store"]:
        lines.append("No store yet: every pack is taken to be full, so work and time are upper bounds.")
    lines.append(
        f"Time: {duration(report['seconds'])} in total, at {report['mfu']:.0%} of {report['peak_tflops']:.3g} TFLOP/s."
    )
    lines.append(
        "FLOPs as in the mfu_with_tower of a run: forward and backward with the tower, without head and recomputing."
    )
    if report["fits"] is not None:
        lines.append(f"This machine has {'enough' if report['fits'] else 'NOT enough'} memory free for it.")
    return lines


def stage_rows(stages: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """One row for every figure, one column for every stage."""

    def row(name: str, show: Callable[[Any], str], *path: str) -> tuple[str, ...]:
        values = []
        for stage in stages:
            value: Any = stage
            for key in path:
                value = value[key]
            values.append("-" if value is None else show(value))
        return (name, *values)

    memory = [field.name for field in fields(Memory) if field.name != "accumulated"]
    return [
        *(row(f"trained in {part}", "{:,.0f}".format, "trained", part) for part in PARTS),
        *(row(name.replace("_", " "), size, "memory", name) for name in memory),
        row("device at its fullest", size, "device_bytes"),
        row("host, in addition", size, "host_bytes"),
        *(
            row(name.replace("_", " "), "{:,.0f}".format, name)
            for name in ("steps", "packs", "samples", "tokens", "visual_tokens")
        ),
        row("samples per step", "{:,.2f}".format, "samples_per_step"),
        row("tokens of a pack used", "{:.1%}".format, "fill_tokens"),
        row("FLOPs per token", operations, "flops_per_token"),
        row("FLOPs per step", operations, "flops_per_step"),
        row("FLOPs", operations, "flops"),
        row("time", duration, "seconds"),
    ]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines; the first column is aligned to the left, the others to the right."""
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others, strict=True))])
        for name, *cells in rows
    ]


def size(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:,.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:,.1f} MB"


def operations(flops: float) -> str:
    for exponent, letter in ((21, "Z"), (18, "E"), (15, "P"), (12, "T"), (9, "G")):
        if flops >= 10**exponent:
            return f"{flops / 10**exponent:.3g} {letter}FLOP"
    return f"{flops / 1e6:.3g} MFLOP"


def duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 60 / 24:.1f} days"
