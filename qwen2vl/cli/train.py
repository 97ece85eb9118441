"""`qwen2vl train`: start the run of a recipe, or resume it with the same command.

Several processes on one machine: `torchrun --nproc-per-node 2 -m qwen2vl train nano`.
"""

import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen2vl.cli.options import UsageError, require_at_least
from qwen2vl.cli.recipe_options import RecipeOptions, parse_recipe
from qwen2vl.cli.terminal import progress
from qwen2vl.training.run_spec import RunSpec

if TYPE_CHECKING:
    from qwen2vl.training.run import RunEnd
    from qwen2vl.training.run_data import RunData

OnStep = Callable[[dict[str, Any]], None]
PLAIN_EVERY = 50
"""Number of steps between two lines of progress where there is no terminal."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RecipeOptions):
    """Train a recipe. The same command again resumes; settings of a run that has started cannot be changed."""

    max_minutes: float = math.inf
    """Save and stop after this number of minutes of the command, for example on a machine that is lent for a time."""


def run(argv: Sequence[str]) -> int:
    began = time.monotonic()
    options, spec, run_dir = parse_recipe(argv, "train", TrainOptions)
    if not options.max_minutes > 0:
        raise UsageError(f"--max-minutes is {options.max_minutes}: it must be over 0")
    if options.max_steps is not None:
        require_at_least("--max-steps", options.max_steps, 1)
    from qwen2vl.training.run import train_run  # here, because it needs pyarrow, which --help does not

    with progress("training", line_every=PLAIN_EVERY) if leads() else nullcontext(lambda *figures: None) as show:

        def show_step(line: dict[str, Any]) -> None:
            minutes = (time.monotonic() - began) / 60
            show(line["step"], line["steps"], f"{summary(line)}  {minutes:.1f} min")

        on_step = stopping_at(began + 60 * options.max_minutes, show_step)
        end = train_run(spec, run_dir, on_step, options.num_workers, options.max_steps, show_course)
    if leads():
        print(closing_line(end, spec, run_dir), file=sys.stderr)
    return 0


def closing_line(end: "RunEnd", spec: RunSpec, run_dir: Path) -> str:
    """What was done, and the commands that use it."""
    run = shlex.quote(str(run_dir))
    if spec.adapter is None:
        then = f"weights: qwen2vl convert {run} --out DIR"
    else:
        base, adapter = shlex.quote(spec.begin_with), shlex.quote(str(run_dir / "adapter"))
        then = (
            f"adapter: qwen2vl chat --model {base} --adapter {adapter}, or in one checkpoint: "
            f"qwen2vl convert {base} --adapter {adapter} --out DIR"
        )
    return f"{end.steps} steps done, {end.skips}, in {run_dir}; curves: qwen2vl report {run}; {then}"


def show_course(data: "RunData") -> None:
    """Print what the run will read, before it begins."""
    from qwen2vl.training.planning import course_in_words

    if leads():
        for stage in data.stages:
            print(course_in_words(stage, data.selections[stage.name]), file=sys.stderr)


def leads() -> bool:
    """Whether this process prints: only the first of those that torchrun started does."""
    return os.environ.get("RANK", "0") == "0"


def stopping_at(end: float, on_step: OnStep) -> OnStep:
    """A function that calls `on_step` and, from the time `end` on, raises SIGTERM, which stops all processes after their next step.

    end: in seconds of `time.monotonic`.
    """

    def pass_on(line: dict[str, Any]) -> None:
        on_step(line)
        if time.monotonic() >= end:
            signal.raise_signal(signal.SIGTERM)

    return pass_on


def summary(line: dict[str, Any]) -> str:
    rates = "  ".join(f"{part} {rate:.1e}" for part, rate in line["learning_rate"].items())
    return (
        f"{line['stage']}  loss {line['loss']:.3f}  tokens right {line['token_accuracy']:.1%}  "
        f"{line['supervised_tokens_per_s']:.0f} supervised tokens/s  wait {line['data_wait_s'] / line['step_s']:.0%}  {rates}"
    )
