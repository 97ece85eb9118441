"""`qwen2vl env`: versions, devices and CPU features of this machine, and what is installed, for bug reports."""

import json as jsonlib
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from qwen2vl import __version__
from qwen2vl.cli.options import CommonOptions, parse_options

LIBRARIES = ("torch", "numpy", "pillow", "safetensors", "tokenizers", "av", "tyro", "rich", "transformers")
EXTRAS = {
    "draw": "images of shapes and pages with smooth edges, for drawing training records",
    "heif": "images in HEIC",
    "plot": "the curves of qwen2vl report, and exams with charts of matplotlib",
    "train": "qwen2vl data, train and finetune, and metrics for TensorBoard",
    "dev": "the tests of this program",
}
"""What each extra of the package enables, `pip install "qwen2vl[train]"`."""
CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "bf16", "sve")
"""Instructions that decide the speed on a CPU; AMX and AVX-512 bf16 make bf16 faster than fp32. The last three are those of ARM."""


@dataclass(frozen=True, kw_only=True)
class EnvOptions(CommonOptions):
    """Versions, devices, CPU features and extras, for bug reports."""

    json: bool = False
    """Print one JSON object."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(EnvOptions, argv, "qwen2vl env")
    facts = environment()
    if options.json:
        print(jsonlib.dumps(facts))
    else:
        print("\n".join(as_lines(facts)))
    return 0


def as_lines(facts: dict[str, Any]) -> list[str]:
    """The facts for people, one a line."""
    lines = []
    for name, value in facts.items():
        if name == "extras":
            lines += [f"extra {each['name']}: {extra_state(each)}; enables {each['enables']}" for each in value]
        else:
            shown = ", ".join(value) if isinstance(value, list) else value
            lines.append(f"{name}: {shown or 'none'}")
    return lines


def extra_state(extra: dict[str, Any]) -> str:
    """Whether an extra is installed, in words."""
    if not extra["missing"]:
        return "installed"
    return f'without {", ".join(extra["missing"])} (pip install "qwen2vl[{extra["name"]}]")'


def environment() -> dict[str, Any]:
    """Facts by name; None as the version of a library that is not installed."""
    import torch  # takes seconds, which the help does not need

    from qwen2vl.model.checkpoint.load import choose_device, free_bytes
    from qwen2vl.spec.hub_cache import cache_folder

    device = choose_device(None)
    free = free_bytes(torch.device("cpu"))
    return {
        "qwen2vl": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": cpu_fact("model name") or platform.processor() or platform.machine(),
        "cpu_cores": os.cpu_count(),
        "cpu_features": [name for name in CPU_FEATURES if name in (cpu_fact("flags") or cpu_fact("Features")).split()],
        "torch_cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch_threads": torch.get_num_threads(),
        "free_memory_gb": None if free is None else round(free / 1e9, 1),
        "gpus": [describe_gpu(index) for index in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
        "default_device": str(device),
        "hub_cache": str(cache_folder()),
        **{package: version_of(package) for package in LIBRARIES},
        "extras": [describe_extra(name) for name in EXTRAS if name in extras_of(metadata_of("qwen2vl"))],
    }


def cpu_fact(name: str) -> str:
    """A line of /proc/cpuinfo about the first core; "" where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(rf"^{name}\s*: (.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def describe_gpu(index: int) -> str:
    """Name, memory and compute capability of a GPU."""
    import torch

    facts = torch.cuda.get_device_properties(index)
    return f"{facts.name}, {facts.total_memory / 1e9:.1f} GB, compute capability {facts.major}.{facts.minor}"


def version_of(package: str) -> str | None:
    """Version of an installed package; None without it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def metadata_of(package: str) -> list[str]:
    """Requirements of an installed package as it declares them; [] without it."""
    try:
        return metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return []


def extras_of(requirements: Sequence[str]) -> dict[str, list[str]]:
    """The packages of every extra: "pyarrow>=18; extra == 'train'" gives {"train": ["pyarrow"]}."""
    extras: dict[str, list[str]] = {}
    for requirement in requirements:
        found = re.match(r"([\w.-]+).*;.*\bextra == [\"']([\w.-]+)", requirement)
        if found:
            extras.setdefault(found[2], []).append(found[1])
    return extras


def describe_extra(name: str) -> dict[str, Any]:
    """An extra of this package: what it enables, and which of its packages are missing."""
    packages = extras_of(metadata_of("qwen2vl"))[name]
    missing = [package for package in packages if version_of(package) is None]
    return {"name": name, "enables": EXTRAS[name], "missing": missing}
