"""Names that people use for colours, shapes, directions and small numbers: the first is the value in a truth, all are accepted.

An answer in words is read leniently: it has the value whose names occur in it as whole words, in any case, anywhere, if it is
the only one of its category. "The square is grey" and "gray." both say grey; "red or orange" says nothing.
"""

import re
from collections.abc import Mapping, Sequence

Names = Mapping[str, Sequence[str]]
"""Value -> its names."""

COLOURS: Names = {
    "red": ("red",),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "pink": ("pink",),
    "brown": ("brown",),
    "black": ("black",),
    "white": ("white",),
    "grey": ("grey", "gray"),
}
SHAPES: Names = {
    "circle": ("circle", "disc", "disk"),
    "ring": ("ring", "donut", "doughnut"),
    "oval": ("oval", "ellipse"),
    "heart": ("heart",),
    "square": ("square",),
    "rectangle": ("rectangle",),
    "triangle": ("triangle",),
    "diamond": ("diamond", "rhombus"),
    "pentagon": ("pentagon",),
    "hexagon": ("hexagon",),
    "star": ("star",),
    "cross": ("cross", "plus sign", "plus"),
    "arrow": ("arrow",),
}
ASKED: Names = {"circle": ("circle",), "ring": ("ring",), "cross": ("cross", "plus sign")}
"""Names of shapes that questions use, where these are not all accepted ones."""
NUMBERS: Names = {
    str(value): (str(value), word)
    for value, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
}


def _direction(side: str, opposite: str, *others: str) -> tuple[str, ...]:
    """Names of a direction: "left to right" and "from the left to the right" mean right alone."""
    return (*others, side, f"{side}ward", f"{side}wards", f"{opposite} to {side}", f"{opposite} to the {side}")


DIRECTIONS: Names = {
    "left": _direction("left", "right"),
    "right": _direction("right", "left"),
    "up": _direction("top", "bottom", "up", "upward", "upwards"),
    "down": _direction("bottom", "top", "down", "downward", "downwards"),
}
CATEGORIES: Mapping[str, Names] = {"colour": COLOURS, "shape": SHAPES, "count": NUMBERS, "motion": DIRECTIONS}
"""Kinds of question whose answers are words."""


def value_of(text: str, names: Names) -> str | None:
    """The only value of a category that a text names; None if it names none or several."""
    values = {name: value for value, of_value in names.items() for name in of_value}
    longest_first = "|".join(map(re.escape, sorted(values, key=len, reverse=True)))
    found = {values[name] for name in re.findall(rf"\b(?:{longest_first}|\d+)\b", text.lower()) if name in values}
    return found.pop() if len(found) == 1 else None


def plural(name: str) -> str:
    """Plural of the name of a shape."""
    return name + ("es" if name.endswith("s") else "s")
