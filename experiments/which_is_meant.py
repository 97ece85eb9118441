"""Whose box is it: `python -m experiments.which_is_meant [MODEL ...]`, nano or folders of weights.

The task `ground` by the number of shapes in the image: a box is right where its middle lies near that of the shape asked
for, another's where it lies near that of another. A model that knows places and not what is meant is right with one shape.

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
from qwen2vl.evaluation.intervals import wilson_interval
from qwen2vl.evaluation.runner import Answerer
from qwen2vl.inference import Chat
from tools.results import RESULTS, say

ITEMS = 600
NEAR = 16
"""Pixels, on both axes; shapes are 20 to 56 wide, and stand apart."""
COUNTS = {1: "one shape", 2: "two", 3: "three", 4: "four"}
NOT_YET = "Not measured yet: `python -m experiments.which_is_meant` does it.\n"
Point = tuple[float, float]
Result = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["nano"], metavar="MODEL")
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--out", type=Path, default=RESULTS / "which_is_meant.json")
    options = parser.parse_args(argv)
    models = {Path(model).name: ask(Chat(model), options.items) for model in options.models}
    result = {"items": options.items, "near_px": NEAR, "models": models}
    write_atomically(options.out, json.dumps(result, indent=1) + "\n")
    say(f"{block({'which_is_meant': result})}\nwritten to {options.out}")
    return 0


def ask(model: Answerer, items: int) -> dict[str, dict[str, int]]:
    """Number of shapes to boxes: all, of the shape asked for, and of another."""
    found = {str(count): {"boxes": 0, "right": 0, "another's": 0} for count in COUNTS}
    asked = [question(number) for number in range(items)]
    replies = model.batch([item.messages for _, item in asked], batch_size=BATCH, max_new_tokens=64)
    for (scene, _), reply in zip(asked, replies, strict=True):
        counts = found[str(len(scene.shapes))]
        counts["boxes"] += 1
        if verdict := whose(reply.boxes, [shape.centre for shape in scene.shapes]):
            counts[verdict] += 1
    return found


def question(number: int) -> tuple[Scene, Item]:
    """An image of one to four shapes, and the question for the box of its first."""
    rng = Random(f"which_is_meant/{number}")
    scene = one_of_several(rng, 0.0)
    return scene, ground_in(rng, scene, 0.0)


def whose(boxes: Sequence[Any], middles: Sequence[Point]) -> str | None:
    """Near the first of the middles "right", one of the others "another's"; None = nowhere, or no box."""
    if not boxes:
        return None
    left, top, right, bottom = boxes[0].xyxy_px
    x, y = (left + right) / 2, (top + bottom) / 2
    near = [abs(x - one[0]) < NEAR and abs(y - one[1]) < NEAR for one in middles]
    return "right" if near[0] else "another's" if any(near) else None


def block(results: dict[str, Result]) -> str:
    """A row for every model, a column for every number of shapes."""
    result = results.get("which_is_meant")
    if result is None:
        return NOT_YET
    rows = [["model", *COUNTS.values(), "another's, of two to four"], ["---"] * 6]
    for model, found in result["models"].items():
        several = [counts for count, counts in found.items() if count != "1"]
        others = share(sum(each["another's"] for each in several), sum(each["boxes"] for each in several))
        rows.append([f"`{model}`", *(share(counts["right"], counts["boxes"]) for counts in found.values()), others])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def share(hits: int, number: int) -> str:
    low, high = wilson_interval(hits, number)
    return f"{hits / number:.0%} ({low:.0%} to {high:.0%})"


if __name__ == "__main__":
    raise SystemExit(main())
