import inspect
import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
import tyro
from torch.distributed.run import get_args_parser

from qwen2vl.cli.options import CommonOptions, UsageError, list_arguments, optional, parse_options
from qwen2vl.cli.recipe_options import parse_recipe, with_settings
from qwen2vl.cli.train import TrainOptions
from qwen2vl.recipes import RECIPES, load_recipe


@dataclass(frozen=True, kw_only=True)
class Inner:
    num_steps: int = 3
    """Steps."""
    rate: float = 0.5
    """Rate."""


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Try."""

    what: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WHAT")]
    """What to do."""
    size: Annotated[int | None, optional("N")] = None
    """Size."""
    name: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Names."""
    kinds: tuple[Literal["tower", "decoder"], ...] = ()
    """Several choices."""
    pair: tuple[int, int] = (1, 2)
    """Exactly two numbers."""
    inner: Inner = field(default_factory=Inner)
    """Settings."""
    flat: Annotated[Inner, tyro.conf.arg(name="")] = field(default_factory=Inner)
    """Settings whose names have no prefix."""


def parse(*argv):
    return parse_options(Options, argv, "qwen2vl try")


def test_values_have_the_types_of_the_fields():
    options = parse("this", "--size", "3", "--name", "a", "--name=b", "--inner.num-steps", "7", "--rate", "1", "-v")
    assert (options.what, options.size, options.name, options.verbose) == ("this", 3, ("a", "b"), True)
    assert options.inner == Inner(num_steps=7)
    assert options.flat == Inner(rate=1.0)
    assert parse("--", "--this").what == "--this"
    assert parse("--kinds", "tower", "decoder", "--pair", "3", "4", "--", "this").kinds == ("tower", "decoder")
    assert parse("this", "--size", "-3").size == -3


def test_every_option_is_listed_as_it_is_typed():
    arguments = list_arguments(Options)
    assert [argument.names for argument in arguments if argument.is_positional] == [("WHAT",)]
    assert [name for argument in arguments if not argument.is_positional for name in argument.names] == [
        "--debug", "--verbose", "-v", "--size", "--name", "--kinds", "--pair",
        "--inner.num-steps", "--inner.rate", "--num-steps", "--rate",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "what is missing: give it; see qwen2vl try --help"),
        (["a", "--sise", "3"], "--sise is not an option (did you mean --size?): valid are --debug, --verbose"),
        (["a", "--inner.rat=3"], "--inner.rat is not an option (did you mean --inner.rate?)"),
        (["a", "-x"], "-x is not an option"),
        (["a", "b"], '"b" is too much'),
        (["a", "--size", "three"], '--size is "three": it must be a whole number'),
        (["a", "--size=three"], '--size is "three": it must be a whole number'),
        (["a", "--inner.rate", "fast"], '--inner.rate is "fast": it must be a number'),
        (["a", "--size"], "--size has no value: write one after it"),
        (["a", "--size", "--debug"], "--size has no value: write one after it"),
        (["--size", "3", "--name", "b"], "what is missing: give it"),
        (["a", "--kinds", "tower", "merger"], '--kinds is "merger": it must be one of tower, decoder'),
        (["a", "--kinds", "tower", "--pair", "1", "x"], '--pair is "x": it must be a whole number'),
        (["a", "--debug=no"], '--debug takes no value, but "no" was given'),
    ],
)
def test_a_mistake_is_one_sentence_with_the_option_the_value_and_the_rule(argv, message, capsys):
    with pytest.raises(UsageError) as caught:
        parse(*argv)
    assert message.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().err == "", "tyro's own box is not printed"


def test_any_other_mistake_is_explained_by_tyro_on_one_line():
    with pytest.raises(UsageError) as caught:
        parse("a", "--pair", "1")
    assert str(caught.value) == "Missing value for argument '--pair'. Expected 2 values; see qwen2vl try --help"


@dataclass(frozen=True, kw_only=True)
class Strict:
    size: int = 1
    """Size."""

    def __post_init__(self):
        if self.size < 1:
            raise ValueError(f"size is {self.size}: it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class StrictOptions(CommonOptions):
    """Try."""

    inner: Strict = field(default_factory=Strict)
    """Settings that check themselves."""


def test_a_value_that_the_settings_refuse_is_explained_by_them():
    with pytest.raises(UsageError, match=r"^size is 0: it must be at least 1; see qwen2vl try --help"):
        parse_options(StrictOptions, ["--inner.size", "0"], "qwen2vl try")


@pytest.mark.parametrize("recipe", RECIPES)
def test_torchrun_never_mistakes_an_option_of_a_recipe_for_its_own(recipe):
    """It completes abbreviations of its options even after the name of the module, so --start was "ambiguous"."""
    theirs = re.findall(r"--[\w-]+", get_args_parser().format_help())
    assert "--standalone" in theirs
    arguments = list_arguments(with_settings(TrainOptions, load_recipe(recipe)))
    ours = [name for argument in arguments for name in argument.names]
    assert [(one, other) for one in ours for other in theirs if other.startswith(one)] == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_parameter_of_a_recipe_has_a_help_text(recipe):
    function = load_recipe(recipe)
    text = inspect.getdoc(getattr(function, "func", function))
    assert re.findall(r"^    (\w+): \S", text, re.MULTILINE) == list(inspect.signature(function).parameters)


def test_options_reach_the_specification_of_the_run():
    words = [
        "stage2",
        "--tokenizer",
        "nano",
        "--mixture",
        "pairs",
        "5",
        "text",
        "1",
        "--rates.tower",
        "0.5",
        "--seed",
        "3",
    ]
    options, spec, run_dir = parse_recipe(
        [*words, "--train.clip-norm", "2", "--save-every", "7"], "train", TrainOptions
    )
    (stage,) = spec.stages
    assert stage.phases[0].mixtures == ({"pairs": 5, "text": 1},)
    assert (stage.rates.tower, stage.rates.decoder) == (0.5, 5e-5)
    assert (spec.train.seed, spec.train.save_every, spec.train.clip_norm) == (3, 7, 2.0)
    assert spec.train.recompute == "selective"
    assert (str(run_dir), options.max_steps) == ("runs/stage2", None)
