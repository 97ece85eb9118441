"""`qwen2vl report`: the curves of a run as an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options
from qwen2vl.training.curves import draw_curves
from qwen2vl.training.run_directory import read_metrics


@dataclass(frozen=True, kw_only=True)
class ReportOptions(CommonOptions):
    """Draw losses, rates, speed and held-out answers of a run as a PNG."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """The file to write; RUN/curves.png unless given."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(ReportOptions, argv, "qwen2vl report")
    metrics = options.run / "metrics.jsonl"
    if not metrics.is_file():
        raise UsageError(f'"{options.run}" has no metrics.jsonl: give the folder of a run, for example runs/nano')
    out = options.out or options.run / "curves.png"
    draw_curves(read_metrics(metrics), out)
    print(out)
    return 0
