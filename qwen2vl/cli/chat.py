"""`qwen2vl chat`: one question about images and videos, or a conversation."""

import json as jsonlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qwen2vl.cli.chat_options import ChatOptions, sampling_of, video_options_of
from qwen2vl.cli.options import UsageError, parse_options
from qwen2vl.cli.replies import report, report_cost, show
from qwen2vl.cli.terminal import working

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


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


def answer_once(options: ChatOptions, question: str) -> int:
    """Prepare first, load the weights then: a wrong file is told at once and not after minutes of loading."""
    from qwen2vl.cli.drawing import write_drawings
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
        print(jsonlib.dumps({"model": options.model, **answer.to_json(), "drawn": [str(path) for path in drawn]}))
    else:
        report(answer, drawn)
    if options.verbose:
        report_cost(answer, time.monotonic() - started)
    return code
