"""`qwen2vl train`: run a recipe, or go on with it: the same command again resumes.

Several processes on one machine: `torchrun --nproc-per-node 2 -m qwen2vl train nano`.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options
from qwen2vl.recipes import RECIPES, recipe_class
from qwen2vl.recipes.running import Recipe, run_recipe

PLAIN_EVERY = 50
"""Without a terminal, a line of progress comes every so many steps."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(CommonOptions):
    """Train a recipe. The same command again resumes; settings of a started run cannot be changed."""

    run_dir: Path | None = None
    """Where the run lives; runs/RECIPE unless given."""
    max_steps: int | None = None
    """Stop early, after this many steps of the schedule, which keeps its shape."""
    save_every: int | None = None
    """Steps between checkpoints."""
    seed: int | None = None
    """Decides initial weights and data."""
    num_workers: int = 1
    """Processes that read data, per training process; 0 reads in the trainer itself."""


def run(argv: Sequence[str]) -> int:
    name = recipe_named(argv)
    options = parse_options(options_of(name), argv[1:] if argv[0] == name else argv, f"qwen2vl train {name}")
    recipe = with_short_options(options.settings, options)
    run_dir = options.run_dir or Path("runs") / name
    with shown_progress() as on_step:
        done = run_recipe(recipe, run_dir, on_step, options.num_workers, options.max_steps)
    if leads():
        print(
            f"{done} steps done, in {run_dir}; curves: qwen2vl report {run_dir}; "
            f"weights: qwen2vl convert {run_dir} --out DIR",
            file=sys.stderr,
        )
    return 0


def recipe_named(argv: Sequence[str]) -> str:
    """The recipe, which is the first word. Raises UsageError."""
    word = argv[0] if argv else ""
    if word in RECIPES:
        return word
    if {"-h", "--help"} & set(argv):
        return next(iter(RECIPES))
    said = f'"{word}" is not a recipe' if word and not word.startswith("-") else "the recipe is missing"
    raise UsageError(f"{said}: the first word must be one of {', '.join(RECIPES)}; see qwen2vl train --help")


def options_of(name: str) -> Any:
    """Options of a recipe: those of the verb, and every setting by its dotted path."""
    kind = recipe_class(name)
    settings = ("settings", Annotated[kind, tyro.conf.arg(name="")], field(default_factory=kind))
    options = make_dataclass("TrainOptions", [settings], bases=(TrainOptions,), frozen=True, kw_only=True)
    options.__doc__ = TrainOptions.__doc__
    return options


def with_short_options(recipe: Any, options: TrainOptions) -> Recipe:
    """The recipe with --seed and --save-every, which stand for dotted paths."""
    given = {"seed": options.seed, "save_every": options.save_every}
    train = replace(recipe.train, **{name: value for name, value in given.items() if value is not None})
    changed: Recipe = replace(recipe, train=train)
    return changed


def leads() -> bool:
    """Whether this is the one of torchrun's processes that talks."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def shown_progress() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Gives a function that takes one step's metrics and shows them: a bar on a terminal, lines in a pipe."""
    if not leads():
        yield lambda line: None
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("reading the first step", total=None)
            yield lambda line: bar.update(task, completed=line["step"], total=line["steps"], description=summary(line))
        return
    began = time.monotonic()

    def tell(line: dict[str, Any]) -> None:
        if line["step"] % PLAIN_EVERY == 0 or line["step"] == line["steps"]:
            minutes = (time.monotonic() - began) / 60
            of = f"{line['step']}/{line['steps']}"
            print(f"step {of}  {summary(line)}  {minutes:.1f} min", file=sys.stderr, flush=True)

    yield tell


def summary(line: dict[str, Any]) -> str:
    rates = "  ".join(f"{part} {rate:.1e}" for part, rate in line["learning_rate"].items())
    return (
        f"{line['stage']}  loss {line['loss']:.3f}  tokens right {line['token_accuracy']:.1%}  "
        f"{line['supervised_tokens_per_s']:.0f} supervised tokens/s  wait {line['data_wait_s'] / line['step_s']:.0%}  {rates}"
    )
