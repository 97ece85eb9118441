"""Options of the verbs that take a recipe: the keyword parameters of the recipe, with dotted paths for their fields."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options
from qwen2vl.recipes import RECIPES, load_recipe
from qwen2vl.training.run_spec import RunSpec


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(CommonOptions):
    """Options of a run, which is trained or only planned."""

    run_dir: Path | None = None
    """Folder of the run; runs/RECIPE unless given."""
    max_steps: int | None = None
    """Stop early, after this many steps of the schedule, which keeps its shape."""
    save_every: int | None = None
    """Steps between checkpoints."""
    seed: int | None = None
    """Decides initial weights and data."""
    num_workers: int = 1
    """Processes that read data, per training process; 0 reads in the trainer itself."""


O = TypeVar("O", bound=RecipeOptions)


def parse_recipe(argv: Sequence[str], verb: str, options: type[O]) -> tuple[O, RunSpec, Path]:
    """Parse `qwen2vl VERB RECIPE ...` into the options of the verb, the specification of the run, and its folder.

    Raises UsageError for a command line that cannot be parsed, and the errors of the recipe.
    """
    name = recipe_name(argv, verb)
    recipe, words = load_recipe(name), argv[1:] if argv[0] == name else argv
    parsed: Any = parse_options(with_settings(options, recipe), words, f"qwen2vl {verb} {name}")
    settings = {each.name: getattr(parsed.settings, each.name) for each in fields(parsed.settings)}
    short = {"seed": parsed.seed, "save_every": parsed.save_every}
    settings["train"] = replace(settings["train"], **{key: value for key, value in short.items() if value is not None})
    return parsed, recipe(**settings), parsed.run_dir or Path("runs") / name


def recipe_name(argv: Sequence[str], verb: str) -> str:
    """The recipe that the first word names; for --help without a recipe, the first one. Raises UsageError."""
    word = argv[0] if argv else ""
    if word in RECIPES:
        return word
    if {"-h", "--help"} & set(argv):
        return next(iter(RECIPES))
    wrong = f'"{word}" is not a recipe' if word and not word.startswith("-") else "the recipe is missing"
    raise UsageError(f"{wrong}: the first word must be one of {', '.join(RECIPES)}; see qwen2vl {verb} --help")


def with_settings(options: type[O], recipe: Callable[..., RunSpec]) -> type[O]:
    """Options of a verb, and a field `settings` whose fields are the parameters of a recipe and options without a prefix."""
    parameters = inspect.signature(recipe).parameters.values()
    kind: Any = make_dataclass(
        "RecipeSettings", [(each.name, each.annotation) for each in parameters], frozen=True, kw_only=True
    )
    kind.__doc__ = inspect.getdoc(getattr(recipe, "func", recipe))  # a partial's own docstring is that of its class
    defaults = kind(**{each.name: each.default for each in parameters})
    settings = ("settings", Annotated[kind, tyro.conf.arg(name="")], field(default_factory=lambda: defaults))
    found = make_dataclass(options.__name__, [settings], bases=(options,), frozen=True, kw_only=True)
    found.__doc__ = options.__doc__
    return found
