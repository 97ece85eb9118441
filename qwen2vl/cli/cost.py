"""`qwen2vl cost`: what images and videos will cost, from their headers alone; no model is loaded."""

import json as jsonlib
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from qwen2vl.cli.options import CommonOptions, UsageError, parse_options
from qwen2vl.processing.sources import image_header
from qwen2vl.spec.config import NAMED, Qwen2VLConfig
from qwen2vl.spec.costs import MediaPlan, decoder_flops, plan_media
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.spec.resize import choose_num_frames

CLIP_FPS = 30.0
"""Rate of a video that is only given as WxHxSECONDS."""
MARKS = 2
"""Tokens around every image and video: its start and its end."""
_SIZE = re.compile(r"(\d+)x(\d+)", re.ASCII)
_CLIP = re.compile(r"(\d+)x(\d+)x(\d+(?:\.\d+)?)", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class CostOptions(CommonOptions):
    """Tokens, work and memory of images and videos, before anything is asked about them."""

    image: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FILE")] = ()
    """An image."""
    video: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FILE")] = ()
    """A video."""
    size: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="WxH")] = ()
    """An image of this size in pixels, as 1920x1080."""
    clip: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="WxHxSECONDS")] = ()
    """A video of this size and length at 30 frames per second, as 1280x720x60."""
    model: Annotated[str, tyro.conf.arg(metavar="2b|7b|72b|nano|DIR")] = "nano"
    """The model that is to be asked: a published size, the packaged one, or a checkpoint directory."""
    json: bool = False
    """Print one JSON object in place of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one image or video, or of all together."""

    tokens: int
    """In the decoder, without the marks of start and end."""
    prompt_tokens: int
    """With them."""
    tower_tflops: float
    prefill_tflops: float
    """Decoder over these tokens alone, without any text."""
    pixel_bytes: int
    """Patches on their way to the model, one byte a channel."""
    kv_bytes: int
    """Keys and values in the cache, in bf16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    name: str
    kind: str
    original_size: tuple[int, int]
    plan: MediaPlan


def run(argv: Sequence[str]) -> int:
    options = parse_options(CostOptions, argv, "qwen2vl cost")
    config, settings = model_of(options.model)
    items = list_items(options, config, settings)
    if not items:
        raise UsageError("nothing to reckon: give --image FILE, --video FILE, --size WxH or --clip WxHxSECONDS")
    total = total_cost([item.plan for item in items], config)
    if options.json:
        print(jsonlib.dumps({"model": options.model, **asdict(total), "items": [as_json(i, config) for i in items]}))
    else:
        print_table(options.model, items, total, config)
    return 0


def model_of(name: str) -> tuple[Qwen2VLConfig, MediaSettings]:
    """Numbers of a model and its limits for images. Raises ConfigError."""
    if name in NAMED:
        return Qwen2VLConfig.named(name), MediaSettings.load("nano") if name == "nano" else MediaSettings()
    return Qwen2VLConfig.load(name), MediaSettings.load(name)


def list_items(options: CostOptions, config: Qwen2VLConfig, settings: MediaSettings) -> list[Item]:
    """Everything that was named: images, videos, sizes, clips. Raises MediaError, UsageError."""
    items = []
    for name in options.image:
        items.append(image_item(name, image_header(name, settings), config, settings))
    for name in options.video:
        from qwen2vl.processing.video import video_header  # brings FFmpeg, which images do not need

        header = video_header(name, settings)
        items.append(video_item(name, (header.width, header.height), header.frames, header.fps, config, settings))
    for name in options.size:
        width, height = parse(name, "--size", _SIZE, "640x480")
        items.append(image_item(name, (int(width), int(height)), config, settings))
    for name in options.clip:
        width, height, seconds = parse(name, "--clip", _CLIP, "1280x720x60")
        frames = max(1, round(float(seconds) * CLIP_FPS))
        items.append(video_item(name, (int(width), int(height)), frames, CLIP_FPS, config, settings))
    return items


def parse(text: str, option: str, form: re.Pattern[str], example: str) -> tuple[str, ...]:
    found = form.fullmatch(text)
    if not found:
        raise UsageError(f'{option} is "{text}": it must look like {example}')
    return found.groups()


def image_item(name: str, size: tuple[int, int], config: Qwen2VLConfig, settings: MediaSettings) -> Item:
    plan = plan_media(size[1], size[0], config=config, settings=settings)
    return Item(name=name, kind="image", original_size=size, plan=plan)


def video_item(
    name: str, size: tuple[int, int], frames: int, fps: float, config: Qwen2VLConfig, settings: MediaSettings
) -> Item:
    chosen = choose_num_frames(frames, fps, settings)
    plan = plan_media(size[1], size[0], config=config, settings=settings, num_frames=chosen)
    return Item(name=name, kind="video", original_size=size, plan=plan)


def total_cost(plans: Sequence[MediaPlan], config: Qwen2VLConfig) -> Cost:
    """Of all of them in one prompt: attention sees them together, so prefill is more than the sum of its parts."""
    tokens = sum(plan.num_tokens for plan in plans)
    prompt_tokens = tokens + MARKS * len(plans)
    return Cost(
        tokens=tokens,
        prompt_tokens=prompt_tokens,
        tower_tflops=sum(plan.tower_flops for plan in plans) / 1e12,
        prefill_tflops=decoder_flops(config, prompt_tokens) / 1e12,
        pixel_bytes=sum(plan.pixel_bytes for plan in plans),
        kv_bytes=sum(plan.kv_bytes for plan in plans),
    )


def as_json(item: Item, config: Qwen2VLConfig) -> dict[str, Any]:
    plan = item.plan
    return {
        "name": item.name,
        "kind": item.kind,
        "original_size": item.original_size,
        "resized": (plan.width, plan.height),
        "num_frames": plan.num_frames,
        "grid": plan.grid,
        **asdict(total_cost([plan], config)),
    }


def print_table(model: str, items: Sequence[Item], total: Cost, config: Qwen2VLConfig) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"cost with {model}", title_justify="left")
    table.add_column("what", overflow="fold")
    for heading in ("pixels", "resized", "frames", "grid", "tokens", "in prompt", "tower", "prefill", "patches", "KV"):
        table.add_column(heading, justify="right", no_wrap=True)
    for item in items:
        plan = item.plan
        row = (
            by(item.original_size), by((plan.width, plan.height)), str(plan.num_frames), by(plan.grid),
            *figures(total_cost([plan], config)),
        )  # fmt: skip
        table.add_row(Path(item.name).name[:60], *row)
    if len(items) > 1:
        table.add_section()
        table.add_row("all", "", "", "", "", *figures(total))
    width = None if sys.stdout.isatty() else 150
    Console(width=width).print(table)


def figures(cost: Cost) -> tuple[str, ...]:
    return (
        f"{cost.tokens:,}", f"{cost.prompt_tokens:,}", work(cost.tower_tflops), work(cost.prefill_tflops),
        f"{cost.pixel_bytes / 1e6:.2f} MB", f"{cost.kv_bytes / 1e6:.2f} MB",
    )  # fmt: skip


def work(tflops: float) -> str:
    return f"{tflops:.3g} TFLOP" if tflops >= 0.1 else f"{tflops * 1000:.3g} GFLOP"


def by(numbers: Sequence[int]) -> str:
    return "x".join(map(str, numbers))
