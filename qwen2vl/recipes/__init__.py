"""Recipes: functions that return the complete specification of a run. Their keyword parameters are options of `train`.

nano          nano from random weights, over the whole drawn world
micro         the same run of a larger model, for one GPU
finetune      a checkpoint on one's own records
stages        the three stages of the paper at the published sizes
drawn_items   used by the recipes over the drawn world
"""

from collections.abc import Callable, Mapping
from importlib import import_module

from qwen2vl.training.run_spec import RunSpec

RECIPES: Mapping[str, str] = {
    "nano": "qwen2vl.recipes.nano:nano",
    "micro": "qwen2vl.recipes.micro:micro",
    "finetune": "qwen2vl.recipes.finetune:finetune",
    "stage1": "qwen2vl.recipes.stages:stage1",
    "stage2": "qwen2vl.recipes.stages:stage2",
    "stage3": "qwen2vl.recipes.stages:stage3",
}
"""Name -> module and function. Modules are imported when they are needed."""


def load_recipe(name: str) -> Callable[..., RunSpec]:
    """The recipe with this name."""
    module, _, function = RECIPES[name].partition(":")
    recipe: Callable[..., RunSpec] = getattr(import_module(module), function)
    return recipe
