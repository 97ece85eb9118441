"""Output for people: what is shown while they wait, and answers as readable text.

Progress and remarks go to stderr, answers to stdout. On a terminal, rich draws; in a pipe there are plain lines.
"""

import contextlib
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from qwen2vl.processing.grounding import Box, Point
from qwen2vl.spec import tokens

if TYPE_CHECKING:  # these modules import torch, which takes seconds
    from qwen2vl.inference.answer import Answer
    from qwen2vl.inference.chat import Stream

PATIENCE_S = 2.0
"""Seconds after which work is mentioned in a pipe."""


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show what is being done: a spinner on a terminal, in a pipe a line on stderr after two seconds."""
    if sys.stderr.isatty():
        from rich.console import Console  # 0.1 s that a pipe does not need

        with Console(stderr=True).status(what):
            yield
        return
    timer = threading.Timer(PATIENCE_S, lambda: print(f"{what} ...", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def progress(
    what: str, unit: Literal["items", "bytes"] = "items", line_every: int | None = None
) -> Iterator[Callable[..., None]]:
    """Show how much of some long work is done: a bar on a terminal, plain lines on stderr in a pipe.

    Gives a function (done, total or None, remark=""). In a pipe it prints a line for each tenth of the total, or for
    every `line_every` items and the last one, or at every call while the total is unknown.
    """
    if sys.stderr.isatty():
        from rich import progress as rich_progress  # 0.1 s that a pipe does not need
        from rich.console import Console

        columns = (
            rich_progress.TextColumn(what),
            rich_progress.BarColumn(),
            rich_progress.DownloadColumn() if unit == "bytes" else rich_progress.MofNCompleteColumn(),
            rich_progress.TimeRemainingColumn(),
            rich_progress.TextColumn("{task.description}"),
        )
        with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, total, remark="": bar.update(task, completed=done, total=total, description=remark)
        return
    printed_tenths = 0

    def show(done: int, total: int | None, remark: str = "") -> None:
        nonlocal printed_tenths
        tenths = 10 * done // total if total else printed_tenths + 1
        is_due = (done % line_every == 0 or done == total) if line_every else tenths > printed_tenths
        if is_due:
            printed_tenths = tenths
            counts = [done] if total is None else [done, total]
            numbers = [f"{count / 1e9:.2f} GB" if unit == "bytes" else str(count) for count in counts]
            print(f"{what}: {' of '.join(numbers)}  {remark}".rstrip(), file=sys.stderr, flush=True)

    yield show


def print_stream(stream: "Stream", prefill: str = "") -> None:
    """Print the pieces of a reply as they come, after its given beginning, without marks of places."""
    readable = ReadableText()
    with working("reading the prompt"):
        piece = next(stream, "")
    try:
        print(readable.push(prefill), end="", flush=True)
        while piece:
            print(readable.push(piece), end="", flush=True)
            piece = next(stream, "")
    finally:
        print(readable.finish(), flush=True)


def print_places(answer: "Answer") -> None:
    """Print the places that an answer names on stdout, and on stderr the reason if the reply was cut."""
    num_images = sum(info.kind == "image" for info in answer.media_sizes)
    places: list[Box | Point] = [*answer.boxes, *answer.points]
    for place in places:
        print(describe_place(place, num_images))
    num_tokens = answer.usage.completion_tokens
    endings = {
        "length": f"cut after {num_tokens} tokens: --max-new-tokens allows more",
        "repetition": f"ended after {num_tokens} tokens, because the reply repeated itself",
        "interrupted": f"interrupted after {num_tokens} tokens",
    }
    if answer.finish_reason in endings:
        print(f"({endings[answer.finish_reason]})", file=sys.stderr)


_MARKUP = re.compile(
    "|".join(map(re.escape, (tokens.REF_START, tokens.REF_END)))
    + f"|{re.escape(tokens.BOX_START)}.*?{re.escape(tokens.BOX_END)}"
    + f"|{re.escape(tokens.QUAD_START)}.*?{re.escape(tokens.QUAD_END)}",
    re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters with which a text could control the terminal."""
LONGEST_MARKUP = 200
"""Longer text after "<|" is not the markup of a place, and is no longer held back."""


class ReadableText:
    """Filter that removes the marks of places and control characters from pieces of text, as early as possible.

    "the <|object_ref_start|>lamp<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>." becomes "the lamp.".
    """

    def __init__(self) -> None:
        self._held = ""

    def push(self, piece: str) -> str:
        """Text that can be shown now; an unfinished mark is held back."""
        text = _MARKUP.sub("", self._held + piece)
        opened = text.find("<|")
        if opened < 0 and text.endswith("<"):
            opened = len(text) - 1
        if opened < 0 or len(text) - opened > LONGEST_MARKUP:
            opened = len(text)
        self._held = text[opened:]
        return _CONTROL.sub("", text[:opened])

    def finish(self) -> str:
        """Text that was held back; call it after the last piece."""
        text, self._held = self._held, ""
        return _CONTROL.sub("", text)


def describe_place(place: Box | Point, num_images: int) -> str:
    """Label and position of a box or point in pixels of the original: "red circle: (24,33)-(60,71) px"."""
    if isinstance(place, Point):
        corners: Sequence[tuple[float, float]] = [place.xy_px]
    else:
        corners = place.quad or (place.xyxy_px[:2], place.xyxy_px[2:])
    label = f"{_CONTROL.sub('', place.label)}: " if place.label else ""
    where = f", image {place.image_index + 1}" if num_images > 1 else ""
    return f"{label}{'-'.join(f'({round(x)},{round(y)})' for x, y in corners)} px{where}"
