"""`qwen2vl train`: run a recipe, or go on with it: the same command again resumes.

Several processes on one machine: `torchrun --nproc-per-node 2 -m qwen2vl train nano`.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from qwen2vl.cli.options import CommonOptions, parse_options
from qwen2vl.recipes.nano import NanoRecipe, export_nano, train_nano

PLAIN_EVERY = 50
"""Without a terminal, a line of progress comes every so many steps."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(CommonOptions):
    """Train a recipe. The same command again resumes; settings of a started run cannot be changed."""

    recipe: tyro.conf.Positional[Literal["nano"]]
    """Which recipe."""
    run_dir: Path | None = None
    """Where the run lives; runs/RECIPE unless given."""
    max_steps: int | None = None
    """Stop early, after this many steps of the schedule, which keeps its shape."""
    save_every: int | None = None
    """Steps between checkpoints."""
    seed: int | None = None
    """Decides initial weights and data."""
    num_workers: int = 1
    """Processes that draw data, per training process."""
    export: Path | None = None
    """When done, write the weights as a checkpoint directory."""
    settings: Annotated[NanoRecipe, tyro.conf.arg(name="")] = field(default_factory=NanoRecipe)
    """Any other setting of the recipe, by its dotted path, as --train.steps 2000."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(TrainOptions, argv, "qwen2vl train")
    recipe = with_short_options(options)
    run_dir = options.run_dir or Path("runs") / options.recipe
    end = min(recipe.train.steps, options.max_steps or recipe.train.steps)
    with shown_progress(end) as on_step:
        done = train_nano(recipe, run_dir, on_step, options.num_workers, options.max_steps)
    if not leads():
        return 0
    print(f"{done} of {recipe.train.steps} steps done, in {run_dir}; curves: qwen2vl report {run_dir}", file=sys.stderr)
    if options.export:
        step = export_nano(run_dir, options.export)
        print(f"weights of step {step}: {options.export}; scores: qwen2vl eval nano --model {options.export}")
    return 0


def with_short_options(options: TrainOptions) -> NanoRecipe:
    """The recipe with --seed and --save-every, which stand for dotted paths."""
    train = options.settings.train
    if options.seed is not None:
        train = replace(train, seed=options.seed)
    if options.save_every is not None:
        train = replace(train, save_every=options.save_every)
    return replace(options.settings, train=train)


def leads() -> bool:
    """Whether this is the one of torchrun's processes that talks."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def shown_progress(steps: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Gives a function that takes one step's metrics and shows them: a bar on a terminal, lines in a pipe."""
    if not leads():
        yield lambda line: None
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("drawing the first step", total=steps)
            yield lambda line: bar.update(task, completed=line["step"], description=summary(line))
        return
    began = time.monotonic()

    def tell(line: dict[str, Any]) -> None:
        if line["step"] % PLAIN_EVERY == 0 or line["step"] == steps:
            minutes = (time.monotonic() - began) / 60
            print(f"step {line['step']}/{steps}  {summary(line)}  {minutes:.1f} min", file=sys.stderr, flush=True)

    yield tell


def summary(line: dict[str, Any]) -> str:
    return (
        f"loss {line['loss']:.3f}  tokens right {line['token_accuracy']:.1%}  "
        f"{line['samples'] / line['step_s']:.0f} samples/s  rate {line['learning_rate']:.1e}"
    )
