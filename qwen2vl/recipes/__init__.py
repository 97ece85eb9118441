"""Complete configurations: the only place where model, data and training are joined.

Read `running` for how they are joined, `nano`, `wide`, `whole`, `sharp`, `micro`, `finetune` and `stages` for the recipes,
`curriculum` and `wider` for what nano is taught in which order.
"""

from collections.abc import Mapping
from importlib import import_module

from qwen2vl.training.run import Recipe

RECIPES: Mapping[str, str] = {
    "nano": "qwen2vl.recipes.nano:NanoRecipe",
    "wide": "qwen2vl.recipes.wide:WideRecipe",
    "whole": "qwen2vl.recipes.whole:WholeRecipe",
    "sharp": "qwen2vl.recipes.sharp:SharpRecipe",
    "micro": "qwen2vl.recipes.micro:MicroRecipe",
    "finetune": "qwen2vl.recipes.finetune:FinetuneRecipe",
    "stage1": "qwen2vl.recipes.stages:Stage1Recipe",
    "stage2": "qwen2vl.recipes.stages:Stage2Recipe",
    "stage3": "qwen2vl.recipes.stages:Stage3Recipe",
}
"""Name -> module and class; imported when asked for."""


def recipe_class(name: str) -> type[Recipe]:
    module, _, attribute = RECIPES[name].partition(":")
    found: type[Recipe] = getattr(import_module(module), attribute)
    return found
