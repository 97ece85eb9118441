"""Complete configurations: the only place where model, data and training are joined.

Read `running` for how they are joined, `nano` for a recipe, `curriculum` for what nano is taught in which order.
"""

from collections.abc import Mapping
from importlib import import_module

from qwen2vl.recipes.running import Recipe

RECIPES: Mapping[str, str] = {
    "nano": "qwen2vl.recipes.nano:NanoRecipe",
}
"""Name -> module and class; imported when asked for."""


def recipe_class(name: str) -> type[Recipe]:
    module, _, attribute = RECIPES[name].partition(":")
    found: type[Recipe] = getattr(import_module(module), attribute)
    return found
