"""`qwen2vl env`: versions and devices of this machine, for bug reports."""

import json as jsonlib
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from qwen2vl import __version__
from qwen2vl.cli.options import CommonOptions, parse_options


@dataclass(frozen=True, kw_only=True)
class EnvOptions(CommonOptions):
    """Versions and devices, for bug reports."""

    json: bool = False
    """Print one JSON object."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(EnvOptions, argv, "qwen2vl env")
    facts = environment()
    if options.json:
        print(jsonlib.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name}: {value}")
    return 0


def environment() -> dict[str, Any]:
    """Facts by name; None as the version of a library that is not installed."""
    import torch  # takes seconds, which the help does not need

    versions: dict[str, str | None] = {}
    for package in ("torch", "numpy", "pillow", "safetensors", "tokenizers", "av", "tyro", "rich", "transformers"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "qwen2vl": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu_cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpus": gpus,
        **versions,
    }
