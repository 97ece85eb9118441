"""`qwen2vl chat`: one question about images and videos, or a conversation. The work is done in `asking`."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from qwen2vl.cli.options import (
    CommonOptions,
    UsageError,
    check_standard_input,
    is_file,
    optional,
    parse_options,
    require_at_least,
)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


VIDEO_OPTIONS = ("fps", "max_frames", "video_start", "video_end")


@dataclass(frozen=True, kw_only=True)
class ChatOptions(CommonOptions):
    """Ask about images and videos.

    Without a question, the text that is piped in is the question; on a terminal a conversation begins.
    """

    question: Annotated[tyro.conf.Positional[str | None], optional('["QUESTION"]')] = None
    """The question, in quotes."""
    model: Annotated[str, tyro.conf.arg(metavar="nano|DIR|ID")] = "nano"
    """The packaged model, the directory of a Qwen2-VL checkpoint, or a hub id with a copy in the local cache."""
    adapter: Annotated[Path | None, optional("DIR")] = None
    """A LoRA adapter of that model, merged into it: answers take no longer."""
    image: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FILE")] = ()
    """An image: path, data: URL, https:// URL of an allowed host, or - for the standard input."""
    video: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FILE")] = ()
    """A video, in the same forms."""
    box: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="X1,Y1,X2,Y2")] = ()
    """A region of the last image in pixels; it is put where the question says {box}, or before the question."""
    system: Annotated[str | None, optional("TEXT")] = None
    """The system message, in place of "You are a helpful assistant."."""
    draw: Annotated[Path | None, optional("OUT.png")] = None
    """Write the image with the places that the answer names drawn on it."""
    prefill: Annotated[str | None, optional("TEXT")] = None
    """The beginning of the reply, which the model continues."""
    json: bool = False
    """Print one JSON object in place of text."""
    max_new_tokens: Annotated[int | None, optional("N")] = None
    """Longest reply in tokens, 2048 unless given."""
    temperature: Annotated[float, tyro.conf.arg(metavar="X")] = 0.0
    """0 always takes the most probable token; higher values give more varied replies."""
    top_k: Annotated[int | None, optional("N")] = None
    """Sample only among this number of most probable tokens."""
    top_p: Annotated[float | None, optional("X")] = None
    """Sample only among the most probable tokens whose probabilities add up to this."""
    repetition_penalty: Annotated[float, tyro.conf.arg(metavar="X")] = 1.0
    """Above 1, tokens that are in the prompt or reply become less probable; 1 is off."""
    seed: Annotated[int | None, optional("N")] = None
    """The same seed gives the same reply."""
    stop: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="TEXT")] = ()
    """End the reply before this text."""
    min_pixels: Annotated[int | None, optional("N")] = None
    """Enlarge images to at least this area; 784 pixels are one token."""
    max_pixels: Annotated[int | None, optional("N")] = None
    """Shrink images to at most this area."""
    max_tokens: Annotated[int | None, optional("N")] = None
    """Shrink videos to at most this number of tokens; the model's own limit unless given."""
    fps: Annotated[float | None, optional("X")] = None
    """Frames per second that are taken from videos, 2 unless given."""
    max_frames: Annotated[int | None, optional("N")] = None
    """Take at most this number of frames from a video."""
    video_start: Annotated[float | None, optional("S")] = None
    """Show videos from this second on."""
    video_end: Annotated[float | None, optional("S")] = None
    """Show videos up to this second."""
    dtype: Annotated[str | None, optional("fp32|bf16")] = None
    """Precision; by default the one that suits the device."""
    device: Annotated[str | None, optional("cpu|cuda")] = None
    """Device that runs the model; by default a GPU if there is one."""
    allow_host: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="HOST")] = ()
    """A host from which images and videos may be fetched; none otherwise."""
    max_download_bytes: Annotated[int | None, optional("N")] = None
    """Largest file from a URL, 268435456 (256 MB) unless given; files on disk have no limit of bytes."""
    max_decoded_pixels: Annotated[int | None, optional("N")] = None
    """Largest image or frame before it is shrunk, 100000000 unless given."""

    def sampling(self) -> dict[str, Any]:
        """The keywords of `SamplingParams` that were given."""
        names = ("temperature", "top_k", "top_p", "repetition_penalty", "seed", "stop")
        chosen = {name: getattr(self, name) for name in names}
        return chosen | ({} if self.max_new_tokens is None else {"max_new_tokens": self.max_new_tokens})

    def shows_with_system(self) -> bool:
        """Whether images or videos are shown under a system message, which makes them a question without words."""
        return bool((self.image or self.video) and (self.system or "").strip())

    def video_options(self) -> dict[str, Any]:
        """The keys that each video part of a message gets."""
        return {name: value for name in VIDEO_OPTIONS if (value := getattr(self, name)) is not None}

    def ceilings(self) -> dict[str, Any]:
        """The fields of `MediaSettings` that were given and limit what is opened."""
        given = {name: getattr(self, name) for name in ("max_download_bytes", "max_decoded_pixels")}
        return {name: value for name, value in given.items() if value is not None}


def run(argv: Sequence[str]) -> int:
    options = parse_options(ChatOptions, argv, "qwen2vl chat")
    question = options.question
    media = (*options.image, *options.video)
    check_standard_input(media)
    if question is None and "-" in media:
        raise UsageError("- reads an image or video from the standard input: write the question in quotes")
    if question is None and not sys.stdin.isatty():
        question = read_piped()
    elif question is not None:
        question = plain_text(question)
    if question is not None and not question.strip() and not options.shows_with_system():
        what = "there is no question" if options.question is None else "the question is empty"
        raise UsageError(f'{what}: write one, qwen2vl chat "What is this?", or pipe one in')
    check_options(options, question)
    from qwen2vl.cli import asking  # it imports torch, which takes seconds: after all checks

    return asking.converse(options) if question is None else asking.answer_once(options, question)


def read_piped() -> str:
    """The question that is piped in. Raises UsageError when it is not text in UTF-8."""
    try:
        return plain_text(sys.stdin.read())
    except UnicodeDecodeError as error:
        raise UsageError("the piped question is not text in UTF-8: convert it, for example with iconv") from error


def plain_text(text: str) -> str:
    """Text with line ends of Unix, without a byte order mark and without blanks and line ends around it."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").strip()


def check_options(options: ChatOptions, question: str | None) -> None:
    """Raises UsageError for options that do not go together and for a drawing that cannot be written."""
    if question is None and (options.json or options.draw or options.prefill):
        raise UsageError("--json, --draw and --prefill need a question: write one, in quotes")
    for name, value in options.video_options().items():
        option = f"--{name.replace('_', '-')}"
        if not options.video and question is not None:
            raise UsageError(
                f"{option} {value} has an effect on videos only: name one with --video or leave {option} out"
            )
    for name, value in options.ceilings().items():
        require_at_least(f"--{name.replace('_', '-')}", value, 1)
    if options.max_tokens is not None:
        require_at_least("--max-tokens", options.max_tokens, 1)
    if options.max_tokens is not None and not options.video and question is not None:
        raise UsageError(
            f"--max-tokens {options.max_tokens} has an effect on videos only: name one with --video, "
            "or limit the reply with --max-new-tokens"
        )
    start, end = options.video_start or 0.0, options.video_end
    if end is not None and not start < end:
        raise UsageError(f"--video-end {end} is not after --video-start {start}: give the later second as the end")
    if "" in options.stop:
        raise UsageError('--stop is "": give the text before which the reply ends, or leave --stop out')
    if not options.model:
        raise UsageError('--model is "": give nano or a checkpoint directory, or leave --model out')
    if question is not None and options.question is not None and is_file(question) and Path(question).is_file():
        raise UsageError(
            f'the question is "{question}", which is a file: show it with --image or --video, once for each file, and '
            "ask something in words"
        )
    if options.box and not options.image:
        raise UsageError(f"--box {options.box[0]} needs the image that it is a part of: name one with --image")
    for text in options.box:
        parse_region(text, "--box")
    if options.draw is not None and not options.image:
        raise UsageError(f"--draw {options.draw} needs an image to draw on: name one with --image")
    if options.draw is not None:
        check_drawing(options.draw, "--draw")


def check_drawing(path: Path, option: str) -> None:
    """Raises UsageError for a drawing that cannot be written."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UsageError(f"{option} {path} has no known ending: use one of {', '.join(IMAGE_SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path} cannot be written: there is no directory {path.parent}, make it first")
    if path.is_dir():
        raise UsageError(f"{option} {path} is a directory: name a file")


def parse_region(text: str, option: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a region "x1,y1,x2,y2" in pixels. Raises UsageError."""
    number = r"\s*(\d+(?:\.\d+)?)\s*"
    found = re.fullmatch(",".join([number] * 4), text, re.ASCII)
    if not found:
        raise UsageError(
            f'{option} is "{text}": it must be x1,y1,x2,y2 in pixels of the image, for example 10,20,110,90'
        )
    left, top, right, bottom = map(float, found.groups())
    if not (left < right and top < bottom):
        raise UsageError(f'{option} is "{text}": the order is left,top,right,bottom')
    return left, top, right, bottom
