"""`qwen2vl chat`: one question about images and videos, or a conversation."""

import json as jsonlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options, told_as
from qwen2vl.cli.terminal import ReadableText, describe_place, working

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, kw_only=True)
class ChatOptions(CommonOptions):
    """Ask about images and videos.

    Without a question: what is piped in is the question; on a terminal a conversation begins.
    """

    question: Annotated[tyro.conf.Positional[str | None], told_as('["QUESTION"]')] = None
    """What to ask, in quotes."""
    model: Annotated[str, tyro.conf.arg(metavar="nano|DIR")] = "nano"
    """The packaged model, or the directory of a Qwen2-VL checkpoint."""
    adapter: Annotated[Path | None, told_as("DIR")] = None
    """A LoRA adapter of that model, folded into it: as fast as without."""
    image: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FILE")] = ()
    """An image: path, data: URL, or https:// URL of an allowed host."""
    video: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FILE")] = ()
    """A video, likewise."""
    system: Annotated[str | None, told_as("TEXT")] = None
    """Who the model is to be, in place of "You are a helpful assistant."."""
    draw: Annotated[Path | None, told_as("OUT.png")] = None
    """Write the image with the places that the answer names drawn on it."""
    json: bool = False
    """Print one JSON object in place of text."""
    max_new_tokens: Annotated[int | None, told_as("N")] = None
    """Longest reply in tokens, 2048 unless given."""
    temperature: Annotated[float, tyro.conf.arg(metavar="X")] = 0.0
    """0 takes the likeliest token always; higher is freer."""
    top_k: Annotated[int | None, told_as("N")] = None
    """Draw among so many likeliest tokens only."""
    top_p: Annotated[float | None, told_as("X")] = None
    """Draw among the likeliest tokens that together reach this probability."""
    seed: Annotated[int | None, told_as("N")] = None
    """The same seed draws the same reply."""
    stop: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="TEXT")] = ()
    """End the reply before this text."""
    min_pixels: Annotated[int | None, told_as("N")] = None
    """Enlarge images to at least this area; 784 pixels are one token."""
    max_pixels: Annotated[int | None, told_as("N")] = None
    """Shrink images to at most this area."""
    fps: Annotated[float | None, told_as("X")] = None
    """Frames per second that are taken from videos, 2 unless given."""
    dtype: Annotated[str | None, told_as("fp32|bf16")] = None
    """Precision; by default what suits the device."""
    device: Annotated[str | None, told_as("cpu|cuda")] = None
    """Where to run; by default a GPU if there is one."""
    allow_host: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="HOST")] = ()
    """A host from which images and videos may be fetched; none otherwise."""


def run(argv: Sequence[str]) -> int:
    options = parse_options(ChatOptions, argv, "qwen2vl chat")
    question = options.question
    if question is None and not sys.stdin.isatty():
        question = sys.stdin.read()
    if question is not None and not question.strip():
        raise UsageError(
            'the question is empty: write one, qwen2vl chat "What is this?", or pipe one in'
            if options.question is not None
            else 'there is no question: write one, qwen2vl chat "What is this?", or pipe one in'
        )
    check_together(options, question)
    if question is None:
        from qwen2vl.cli.interactive import converse  # torch behind it takes seconds: after all checks

        return converse(options)
    return answer_once(options, question)


def check_together(options: ChatOptions, question: str | None) -> None:
    """What no option alone can know; looked at before anything is loaded. Raises UsageError."""
    if question is None and (options.json or options.draw):
        raise UsageError("--json and --draw need a question: write one, in quotes")
    if options.fps is not None and not options.video and question is not None:
        raise UsageError(f"--fps {options.fps} has an effect on videos only: name one with --video or leave --fps out")
    if options.draw is not None:
        check_target(options.draw, bool(options.image))


def check_target(path: Path, has_image: bool) -> None:
    """Raises UsageError when a drawing could not be made or written."""
    if not has_image:
        raise UsageError(f"--draw {path} needs an image to draw on: name one with --image")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UsageError(f"--draw {path} has no known ending: use one of {', '.join(IMAGE_SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"--draw {path} cannot be written: there is no directory {path.parent}, make it first")
    if path.is_dir():
        raise UsageError(f"--draw {path} is a directory: name a file")


def sampling_of(options: ChatOptions) -> dict[str, Any]:
    """The keywords of `SamplingParams` that were given."""
    chosen = {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "seed", "stop")}
    return chosen | ({} if options.max_new_tokens is None else {"max_new_tokens": options.max_new_tokens})


def video_options_of(options: ChatOptions) -> dict[str, Any]:
    return {} if options.fps is None else {"fps": options.fps}


def answer_once(options: ChatOptions, question: str) -> int:
    """Prepare first, load the weights then: a wrong file is told at once and not after minutes of loading."""
    from qwen2vl.cli.drawing import write_drawings
    from qwen2vl.inference.answer import to_json
    from qwen2vl.inference.chat import Chat, load_end_ids, question_messages
    from qwen2vl.inference.sampling import SamplingParams
    from qwen2vl.model.lora import load_merged
    from qwen2vl.processing.processor import load_processor
    from qwen2vl.processing.sources import read_image

    params = SamplingParams.from_keywords(sampling_of(options))
    processor = load_processor(options.model, options.min_pixels, options.max_pixels, options.allow_host)
    with working("reading images and videos"):
        images: list[Any] = list(options.image)
        if options.draw is not None:  # the drawing needs the same images again
            images = [read_image(image, processor.settings, processor.allowed_hosts) for image in images]
        messages = question_messages(question, images, list(options.video), options.system, video_options_of(options))
        prepared = processor.prepare(messages, with_digests=False)
    with working(f"loading {options.model}"):
        end_ids = load_end_ids(options.model, processor.tokenizer)
        model = load_merged(options.model, options.adapter, device=options.device, dtype=options.dtype)
    stream = Chat.from_parts(model, processor, end_ids).stream_prepared(prepared, params)
    started, code = time.monotonic(), 0
    try:
        show(stream, f"reading the prompt, {prepared.inputs.num_tokens} tokens", quiet=options.json)
    except KeyboardInterrupt:
        stream.close()
        code = 130
    answer = stream.answer
    drawn = [] if options.draw is None else write_drawings(options.draw, images, answer)
    if options.json:
        print(jsonlib.dumps({"model": options.model, **to_json(answer), "drawn": [str(path) for path in drawn]}))
    else:
        report(answer, drawn)
    if options.verbose:
        report_cost(answer, time.monotonic() - started)
    return code


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
