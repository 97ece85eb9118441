"""What the verbs that take a recipe share: finding it, and its settings as options with dotted paths."""

from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options
from qwen2vl.recipes import RECIPES, recipe_class
from qwen2vl.training.run import Recipe


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(CommonOptions):
    """Of a run, whether it is trained or only planned."""

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


O = TypeVar("O", bound=RecipeOptions)


def parse_recipe(argv: Sequence[str], verb: str, options: type[O]) -> tuple[O, Recipe, Path]:
    """The options of a verb, the recipe with all that was set, and the folder of its run. Raises UsageError."""
    name = recipe_named(argv, verb)
    parsed: Any = parse_options(
        with_settings(options, name), argv[1:] if argv[0] == name else argv, f"qwen2vl {verb} {name}"
    )
    return parsed, with_short_options(parsed.settings, parsed), parsed.run_dir or Path("runs") / name


def recipe_named(argv: Sequence[str], verb: str) -> str:
    """The recipe, which is the first word. Raises UsageError."""
    word = argv[0] if argv else ""
    if word in RECIPES:
        return word
    if {"-h", "--help"} & set(argv):
        return next(iter(RECIPES))
    said = f'"{word}" is not a recipe' if word and not word.startswith("-") else "the recipe is missing"
    raise UsageError(f"{said}: the first word must be one of {', '.join(RECIPES)}; see qwen2vl {verb} --help")


def with_settings(options: type[O], name: str) -> type[O]:
    """Options of a verb, and every setting of a recipe by its dotted path."""
    kind = recipe_class(name)
    settings = ("settings", Annotated[kind, tyro.conf.arg(name="")], field(default_factory=kind))
    found = make_dataclass(options.__name__, [settings], bases=(options,), frozen=True, kw_only=True)
    found.__doc__ = options.__doc__
    return found


def with_short_options(recipe: Any, options: RecipeOptions) -> Recipe:
    """The recipe with --seed and --save-every, which stand for dotted paths."""
    given = {"seed": options.seed, "save_every": options.save_every}
    train = replace(recipe.train, **{name: value for name, value in given.items() if value is not None})
    changed: Recipe = replace(recipe, train=train)
    return changed
