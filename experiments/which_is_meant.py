"""Count which shape a box surrounds: `python -m experiments.which_is_meant [MODEL ...]`, nano or folders of weights.

The task `ground` by the number of shapes in the image: a box is right if its middle is near that of the shape asked for,
"another's" if it is near that of another shape. A model that finds shapes, but not which one is meant, is right with one shape.

    benchmarks/results/which_is_meant.json   `make tables` writes the table
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from drawn_world import Item
from drawn_world.shapes.shape_scenes import Scene
from drawn_world.shapes.shape_tasks import ground_in, one_of_several
from experiments.study_items import BATCH
from qwen2vl.common.files import write_atomically
from qwen2vl.evaluation.runner import Answerer
from qwen2vl.inference import Chat
from tools import study_tables
from tools.results import RESULTS
from tools.script import say

NEAR = 16
"""Pixels, on both axes; shapes are 20 to 56 pixels wide and do not touch."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["nano"], metavar="MODEL")
    parser.add_argument("--items", type=int, default=600)
    parser.add_argument("--out", type=Path, default=RESULTS / "which_is_meant.json")
    options = parser.parse_args(argv)
    models = {Path(model).name: ask(Chat(model), options.items) for model in options.models}
    result = {"items": options.items, "near_px": NEAR, "models": models}
    write_atomically(options.out, json.dumps(result, indent=1) + "\n")
    say(f"{study_tables.which_is_meant({'which_is_meant': result})}\nwritten to {options.out}")
    return 0


def ask(model: Answerer, items: int) -> dict[str, dict[str, int]]:
    """Number of shapes in the image -> number of boxes: all, right ones, and those of another shape."""
    found = {str(count): {"boxes": 0, "right": 0, "another's": 0} for count in range(1, 5)}
    asked = [question(number) for number in range(items)]
    replies = model.batch([item.messages for _, item in asked], batch_size=BATCH, max_new_tokens=64)
    for (scene, _), reply in zip(asked, replies, strict=True):
        counts = found[str(len(scene.shapes))]
        counts["boxes"] += 1
        if verdict := whose(reply.boxes, [shape.centre for shape in scene.shapes]):
            counts[verdict] += 1
    return found


def question(number: int) -> tuple[Scene, Item]:
    """An image of one to four shapes, and the question for the box of its first shape."""
    rng = Random(f"which_is_meant/{number}")
    scene = one_of_several(rng, 0.0)
    return scene, ground_in(rng, scene, 0.0)


def whose(boxes: Sequence[Any], middles: Sequence[tuple[float, float]]) -> str | None:
    """ "right" if the first box is near the first of the middles, "another's" if near another, None if near none or no box."""
    if not boxes:
        return None
    left, top, right, bottom = boxes[0].xyxy_px
    x, y = (left + right) / 2, (top + bottom) / 2
    near = [abs(x - one[0]) < NEAR and abs(y - one[1]) < NEAR for one in middles]
    return "right" if near[0] else "another's" if any(near) else None


if __name__ == "__main__":
    raise SystemExit(main())
