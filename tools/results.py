"""The result of a measurement and its file: one JSON file per question, with everything needed to judge it."""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One line of a table: raw figures of both sides and what they must reach."""

    what: str
    unit: str
    """"s", "ms", "tokens/s", "MB" and so on; "" for a plain number."""
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    """Figures of the peer; empty without one."""
    better: Literal["lower", "higher"] = "lower"
    floor: float | None = None
    """Ratio that must be reached: how many times as good as the peer."""
    aim: float | None = None
    """Ratio that is aimed at."""
    ceiling: float | None = None
    """Upper bound of our median, in the unit of the line."""
    least: float | None = None
    """Lower bound of our median, in the unit of the line."""
    limit: str = ""
    """Name of the physical limit that the shares refer to."""
    our_share: float | None = None
    """Share of the limit that we reach, 0..1."""
    their_share: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ratio of both medians: over 1, ours is better; None without a peer."""
        if not self.theirs:
            return None
        ours, theirs = median(self.ours), median(self.theirs)
        return theirs / ours if self.better == "lower" else ours / theirs

    @property
    def holds(self) -> bool | None:
        """Whether floor, ceiling and least hold; None if the line has none of them."""
        checks = []
        if self.floor is not None and self.ratio is not None:
            checks.append(self.ratio >= self.floor)
        if self.ceiling is not None:
            checks.append(median(self.ours) < self.ceiling)
        if self.least is not None:
            checks.append(median(self.ours) >= self.least)
        return all(checks) if checks else None

    def to_json(self) -> dict[str, Any]:
        """The line as result files have it."""
        shares = {"limit": self.limit, "our_share": self.our_share, "their_share": self.their_share}
        return {
            "what": self.what,
            "unit": self.unit,
            "better": self.better,
            "ours": _summary(self.ours),
            "theirs": _summary(self.theirs) if self.theirs else None,
            "ratio": self.ratio,
            "floor": self.floor,
            "aim": self.aim,
            "ceiling": self.ceiling,
            **({"least": self.least} if self.least is not None else {}),
            "holds": self.holds,
            **(shares if self.limit else {}),
            **({"note": self.note} if self.note else {}),
        }


def _summary(values: Sequence[float]) -> dict[str, Any]:
    return {"median": median(values), "min": min(values), "max": max(values), "raw": list(values)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer to one question."""

    name: str
    """Name of the result, of its file, and of its block in the docs."""
    title: str
    settings: dict[str, Any]
    """Shapes, precision, repetitions: what is needed to repeat the measurement."""
    agreement: dict[str, Any]
    """Differences of both sides on the inputs that were timed."""
    comparisons: Sequence[Comparison]
    peer: str = "transformers"
    """Name of the other side."""
    limits: dict[str, float] = field(default_factory=dict)
    """Physical limits, measured on this machine in this run."""

    def write(self, options: argparse.Namespace) -> Path:
        """Write the file whole or not at all, with machine, versions and date; returns its path."""
        device = getattr(options, "device", None)
        content = {
            "name": self.name,
            "title": self.title,
            "peer": self.peer,
            "small": options.small,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": describe_machine(options.threads, torch.device(device) if device else None),
            "versions": versions(),
            "settings": self.settings,
            "agreement": self.agreement,
            "limits": self.limits,
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
        }
        options.out.mkdir(parents=True, exist_ok=True)
        path: Path = options.out / f"{self.name}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
        return path


def describe_machine(threads: int, device: torch.device | None = None) -> dict[str, Any]:
    """Processor, cores, memory and system of this machine, and its GPU if `device` is one."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    described: dict[str, Any] = {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if device is not None and device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        described["gpu"] = properties.name
        described["gpu_memory_gb"] = round(properties.total_memory / 1e9, 1)
    return described


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that speed depends on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in ("torch", "transformers", "numpy", "pillow", "av", "tokenizers", "pyarrow"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
