"""What a result is, and where it goes: one JSON file for each question, with everything needed to judge it."""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.measuring import median

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
PACKAGES = ("torch", "transformers", "numpy", "pillow", "av", "tokenizers", "pyarrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One line of a table: raw figures of both sides, and what they are held against."""

    what: str
    unit: str
    """"s", "ms", "tokens/s", "MB" and so on; "" for a plain number."""
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    """Empty where there is no peer."""
    better: Literal["lower", "higher"] = "lower"
    floor: float | None = None
    """Ratio that must be reached (how many times as good as the peer)."""
    aim: float | None = None
    ceiling: float | None = None
    """Our median must stay under it, in the unit of the line."""
    least: float | None = None
    """Our median must reach it, in the unit of the line."""
    limit: str = ""
    """The physical limit that the shares are of."""
    our_share: float | None = None
    their_share: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Over 1 = ours is better."""
        if not self.theirs:
            return None
        ours, theirs = median(self.ours), median(self.theirs)
        return theirs / ours if self.better == "lower" else ours / theirs

    @property
    def holds(self) -> bool | None:
        """Whether floor, ceiling and least hold; None where there is none of them."""
        checks = []
        if self.floor is not None and self.ratio is not None:
            checks.append(self.ratio >= self.floor)
        if self.ceiling is not None:
            checks.append(median(self.ours) < self.ceiling)
        if self.least is not None:
            checks.append(median(self.ours) >= self.least)
        return all(checks) if checks else None

    def to_json(self) -> dict[str, Any]:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer to one question."""

    name: str
    """Also of its file, and of its block in the docs."""
    title: str
    settings: dict[str, Any]
    """Shapes, precision, repetitions: what one must know to repeat it."""
    agreement: dict[str, Any]
    """How far both sides differ on the very inputs that were timed."""
    comparisons: Sequence[Comparison]
    peer: str = "transformers"
    """What `theirs` is of."""
    limits: dict[str, float] = field(default_factory=dict)
    """Measured on this machine, in this run."""


def write(result: Result, options: argparse.Namespace) -> Path:
    """Write the file whole or not at all; returns where it is."""
    device = getattr(options, "device", None)
    content = {
        "name": result.name,
        "title": result.title,
        "peer": result.peer,
        "small": options.small,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(options.threads, torch.device(device) if device else None),
        "versions": versions(),
        "settings": result.settings,
        "agreement": result.agreement,
        "limits": result.limits,
        "comparisons": [comparison.to_json() for comparison in result.comparisons],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path: Path = options.out / f"{result.name}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def machine(threads: int, device: torch.device | None = None) -> dict[str, Any]:
    """What it ran on."""
    described: dict[str, Any] = {
        "cpu": _cpu_model(),
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
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def options_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every script has."""
    summary = (description or "").strip().splitlines()[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--small", action="store_true", help="tiny shapes, one repetition: does it run, do both agree")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of both sides (all cores)")
    parser.add_argument("--repeats", type=int, default=None, help="timed runs of each path")
    parser.add_argument("--out", type=Path, default=None, help="folder of the result (benchmarks/results)")
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None, *, repeats: int) -> argparse.Namespace:
    """Options, with the threads set. `repeats` is the full run's number; small runs do one and must say where to."""
    options = parser.parse_args(argv)
    if options.small and options.out is None:
        parser.error("--small needs --out DIR: its figures mean nothing and must not replace measured ones")
    options.out = options.out or RESULTS
    options.repeats = options.repeats or (1 if options.small else repeats)
    torch.set_num_threads(options.threads)
    return options


def run_child(script: str, options: argparse.Namespace, *arguments: str) -> dict[str, Any]:
    """The JSON that a script prints last when it is started with these arguments, in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{script}", *arguments, "--threads", str(options.threads)]
    command += ["--out", str(options.out), *(["--small"] if options.small else [])]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def say(text: str) -> None:
    """Progress, at once also in a pipe."""
    print(text, flush=True)


def _summary(values: Sequence[float]) -> dict[str, Any]:
    return {"median": median(values), "min": min(values), "max": max(values), "raw": list(values)}


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
