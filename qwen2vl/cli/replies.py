"""Replies on a terminal: the text as it comes, the places it names, what it cost."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qwen2vl.cli.terminal import ReadableText, describe_place, working


def show(stream: Any, waiting: str, quiet: bool) -> None:
    """Print the pieces as they come, readable; `quiet` only waits for them."""
    readable = ReadableText()
    with working(waiting):
        piece = next(stream, "")
    try:
        while piece and not quiet:
            print(readable.push(piece), end="", flush=True)
            piece = next(stream, "")
    finally:
        if not quiet:
            print(readable.finish(), flush=True)
    for _ in stream:
        pass


def report(answer: Any, drawn: Sequence[Path] = ()) -> None:
    """Places on stdout below the text; what else should be known on stderr."""
    num_images = sum(info.kind == "image" for info in answer.media_sizes)
    for place in (*answer.boxes, *answer.points):
        print(describe_place(place, num_images))
    for path in drawn:
        print(f"drawn: {path}", file=sys.stderr)
    if answer.finish_reason != "stop":
        print(f"({ENDINGS[answer.finish_reason].format(answer.usage.completion_tokens)})", file=sys.stderr)


ENDINGS = {
    "length": "cut after {} tokens: --max-new-tokens allows more",
    "repetition": "ended after {} tokens, because the reply went round in circles",
    "interrupted": "interrupted after {} tokens",
}
"""Ends that are not the model's own."""


def report_cost(answer: Any, seconds: float) -> None:
    usage, settings = answer.usage, answer.settings
    print(
        f"{usage.prompt_tokens} tokens in ({usage.visual_tokens} visual, {usage.cached_tokens} kept), "
        f"{usage.completion_tokens} out, {seconds:.1f} s; temperature {settings.temperature}, seed {settings.seed}",
        file=sys.stderr,
    )
