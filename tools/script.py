"""Shared parts of the measuring scripts: options, child processes, refusal to time what disagrees, progress."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from tools.results import RESULTS


class Disagreement(Exception):
    """Two sides that are to be timed compute different results, so their times mean nothing."""


def run_script(main: Callable[[], int]) -> None:
    """Run a script's main function and exit with its code; after a Disagreement with one sentence."""
    try:
        sys.exit(main())
    except Disagreement as error:
        sys.exit(f"refused: {error}")


def options_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every script has, described by the first line of its docstring."""
    summary = (description or "").strip().splitlines()[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--small", action="store_true", help="tiny shapes, one repetition: does it run, do both agree")
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of both sides (all cores)"
    )
    parser.add_argument("--repeats", type=int, default=None, help="number of timed runs of each path")
    parser.add_argument("--out", type=Path, default=None, help="folder of the result (benchmarks/results)")
    return parser


def parse_options(parser: argparse.ArgumentParser, argv: Sequence[str] | None, *, repeats: int) -> argparse.Namespace:
    """Parse the options and set the number of threads.

    `repeats` is the default of a full run; a small run repeats once and must name the folder of its result.
    """
    options = parser.parse_args(argv)
    if options.small and options.out is None:
        parser.error("--small needs --out DIR: its figures mean nothing and must not replace measured ones")
    options.out = options.out or RESULTS
    options.repeats = options.repeats or (1 if options.small else repeats)
    torch.set_num_threads(options.threads)
    return options


def run_child(module: str, options: argparse.Namespace, *arguments: str) -> dict[str, Any]:
    """The JSON object that a script prints last when it runs with these arguments in a separate process."""
    command = [sys.executable, "-m", module, *arguments, "--threads", str(options.threads)]
    command += ["--out", str(options.out), *(["--small"] if options.small else [])]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def say(text: str) -> None:
    """Print progress, at once also into a pipe."""
    print(text, flush=True)
