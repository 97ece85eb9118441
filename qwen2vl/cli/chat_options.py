"""What `qwen2vl chat` can be told, in one question or in a conversation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from qwen2vl.cli.options import CommonOptions, optional


@dataclass(frozen=True, kw_only=True)
class ChatOptions(CommonOptions):
    """Ask about images and videos.

    Without a question: what is piped in is the question; on a terminal a conversation begins.
    """

    question: Annotated[tyro.conf.Positional[str | None], optional('["QUESTION"]')] = None
    """What to ask, in quotes."""
    model: Annotated[str, tyro.conf.arg(metavar="nano|DIR")] = "nano"
    """The packaged model, or the directory of a Qwen2-VL checkpoint."""
    adapter: Annotated[Path | None, optional("DIR")] = None
    """A LoRA adapter of that model, folded into it: as fast as without."""
    image: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FILE")] = ()
    """An image: path, data: URL, or https:// URL of an allowed host."""
    video: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FILE")] = ()
    """A video, likewise."""
    system: Annotated[str | None, optional("TEXT")] = None
    """Who the model is to be, in place of "You are a helpful assistant."."""
    draw: Annotated[Path | None, optional("OUT.png")] = None
    """Write the image with the places that the answer names drawn on it."""
    json: bool = False
    """Print one JSON object in place of text."""
    max_new_tokens: Annotated[int | None, optional("N")] = None
    """Longest reply in tokens, 2048 unless given."""
    temperature: Annotated[float, tyro.conf.arg(metavar="X")] = 0.0
    """0 takes the likeliest token always; higher is freer."""
    top_k: Annotated[int | None, optional("N")] = None
    """Draw among so many likeliest tokens only."""
    top_p: Annotated[float | None, optional("X")] = None
    """Draw among the likeliest tokens that together reach this probability."""
    seed: Annotated[int | None, optional("N")] = None
    """The same seed draws the same reply."""
    stop: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="TEXT")] = ()
    """End the reply before this text."""
    min_pixels: Annotated[int | None, optional("N")] = None
    """Enlarge images to at least this area; 784 pixels are one token."""
    max_pixels: Annotated[int | None, optional("N")] = None
    """Shrink images to at most this area."""
    fps: Annotated[float | None, optional("X")] = None
    """Frames per second that are taken from videos, 2 unless given."""
    dtype: Annotated[str | None, optional("fp32|bf16")] = None
    """Precision; by default what suits the device."""
    device: Annotated[str | None, optional("cpu|cuda")] = None
    """Where to run; by default a GPU if there is one."""
    allow_host: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="HOST")] = ()
    """A host from which images and videos may be fetched; none otherwise."""


def sampling_of(options: ChatOptions) -> dict[str, Any]:
    """The keywords of `SamplingParams` that were given."""
    chosen = {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "seed", "stop")}
    return chosen | ({} if options.max_new_tokens is None else {"max_new_tokens": options.max_new_tokens})


def video_options_of(options: ChatOptions) -> dict[str, Any]:
    return {} if options.fps is None else {"fps": options.fps}
