"""`qwen2vl cost`: tokens, work and memory of images and videos, from their headers alone; no model is loaded."""

import json as jsonlib
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import tyro

from qwen2vl.cli.options import (
    CommonOptions,
    UsageError,
    check_standard_input,
    open_named,
    optional,
    parse_options,
    require_at_least,
)
from qwen2vl.processing.sources import image_header
from qwen2vl.spec.config import NAMED, Qwen2VLConfig
from qwen2vl.spec.costs import MediaPlan, decoder_flops, plan_media
from qwen2vl.spec.media_settings import MediaOptions, MediaSettings
from qwen2vl.spec.resize import choose_num_frames

CLIP_FPS = 30.0
"""Frames per second of a video that is given as WxHxSECONDS."""


@dataclass(frozen=True, kw_only=True)
class CostOptions(CommonOptions):
    """Tokens, work and memory of images and videos, before you ask about them."""

    image: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FILE")] = ()
    """An image."""
    video: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FILE")] = ()
    """A video."""
    size: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="WxH")] = ()
    """An image of this size in pixels, for example 1920x1080."""
    clip: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="WxHxSECONDS")] = ()
    """A video of this size and length at 30 frames per second, for example 1280x720x60."""
    model: Annotated[str, tyro.conf.arg(metavar="2b|7b|72b|nano|DIR")] = "nano"
    """The model that you will ask: a published size, the packaged model, or a checkpoint directory."""
    max_tokens: Annotated[int | None, optional("N")] = None
    """Shrink videos to at most this number of tokens; the model's own limit unless given."""
    json: bool = False
    """Print one JSON object in place of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Cost of one image or video, or of several in one prompt."""

    tokens: int
    """Tokens in the decoder, without the start and end token of each item."""
    prompt_tokens: int
    """Tokens in the decoder, with the start and end token of each item."""
    tower_tflops: float
    prefill_tflops: float
    """Work of the decoder over these tokens, without any text."""
    pixel_bytes: int
    """Size of the patches that are copied to the device, one byte a channel."""
    kv_bytes: int
    """Size of keys and values in the cache, in bf16."""

    @classmethod
    def of(cls, plans: Sequence[MediaPlan], config: Qwen2VLConfig) -> Self:
        """Cost of all items in one prompt. Attention sees them together, so prefill is more than the sum of its parts."""
        tokens = sum(plan.num_tokens for plan in plans)
        prompt_tokens = tokens + 2 * len(plans)
        return cls(
            tokens=tokens,
            prompt_tokens=prompt_tokens,
            tower_tflops=sum(plan.tower_flops for plan in plans) / 1e12,
            prefill_tflops=decoder_flops(config, prompt_tokens) / 1e12,
            pixel_bytes=sum(plan.pixel_bytes for plan in plans),
            kv_bytes=sum(plan.kv_bytes for plan in plans),
        )

    def columns(self) -> tuple[str, ...]:
        """The numbers as text for a row of the table."""
        work = [
            f"{tflops:.3g} TFLOP" if tflops >= 0.1 else f"{tflops * 1000:.3g} GFLOP"
            for tflops in (self.tower_tflops, self.prefill_tflops)
        ]
        sizes = [f"{size / 1e6:.2f} MB" for size in (self.pixel_bytes, self.kv_bytes)]
        return (f"{self.tokens:,}", f"{self.prompt_tokens:,}", *work, *sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostItem:
    """One image or video of the command line."""

    name: str
    """Path or size as it was typed."""
    kind: str
    original_size: tuple[int, int]
    """Width and height in pixels."""
    plan: MediaPlan


def run(argv: Sequence[str]) -> int:
    options = parse_options(CostOptions, argv, "qwen2vl cost")
    if (
        options.model in NAMED and options.model != "nano"
    ):  # nano is its packaged checkpoint, whatever size is trained next
        config, settings = Qwen2VLConfig.named(options.model), MediaSettings()
    else:
        config, settings = Qwen2VLConfig.load(options.model), MediaSettings.load(options.model)
    if options.max_tokens is not None:
        require_at_least("--max-tokens", options.max_tokens, 1)
    items = list_items(options, config, settings.with_limits(None, None, options.max_tokens))
    if not items:
        raise UsageError(
            "there is no image or video: give --image FILE, --video FILE, --size WxH or --clip WxHxSECONDS"
        )
    total = Cost.of([item.plan for item in items], config)
    if options.json:
        content = [item_json(item, config) for item in items]
        print(jsonlib.dumps({"model": options.model, **asdict(total), "items": content}))
    else:
        print_table(options.model, items, total, config)
    return 0


def list_items(options: CostOptions, config: Qwen2VLConfig, settings: MediaSettings) -> list[CostItem]:
    """Every image, video, size and clip of the command line, in this order. Raises MediaError, UsageError."""
    check_standard_input((*options.image, *options.video))
    images = [(name, image_header(open_named(name), settings)) for name in options.image]
    items = [make_item(name, size, config, settings) for name, size in images]
    for name in options.video:
        from qwen2vl.processing.video import planned_frames, video_header  # brings FFmpeg, which images do not need

        header = video_header(open_named(name), settings)
        frames = planned_frames(header, settings, MediaOptions())
        items.append(make_item(name, (header.width, header.height), config, settings, frames))
    for name in options.size:
        width, height = numbers_in(name, "--size", "640x480", r"(\d+)x(\d+)")
        items.append(make_item(name, (int(width), int(height)), config, settings))
    for name in options.clip:
        width, height, seconds = numbers_in(name, "--clip", "1280x720x60", r"(\d+)x(\d+)x(\d+(?:\.\d+)?)")
        frames = choose_num_frames(max(1, round(float(seconds) * CLIP_FPS)), float(seconds), settings)
        items.append(make_item(name, (int(width), int(height)), config, settings, frames))
    return items


def make_item(
    name: str, size: tuple[int, int], config: Qwen2VLConfig, settings: MediaSettings, num_frames: int | None = None
) -> CostItem:
    """An image, or a video of which `num_frames` frames are taken. Raises MediaError for a size that is refused."""
    width, height = size
    plan = plan_media(height, width, config=config, settings=settings, num_frames=num_frames)
    return CostItem(name=name, kind="image" if num_frames is None else "video", original_size=size, plan=plan)


def numbers_in(text: str, option: str, example: str, form: str) -> tuple[str, ...]:
    """The numbers in the value of an option. Raises UsageError when it does not match `form`."""
    found = re.fullmatch(form, text, re.ASCII)
    if not found:
        raise UsageError(f'{option} is "{text}": it must look like {example}')
    if not all(float(number) > 0 for number in found.groups()):
        raise UsageError(f'{option} is "{text}": every number must be over 0, as in {example}')
    return found.groups()


def item_json(item: CostItem, config: Qwen2VLConfig) -> dict[str, Any]:
    """Plain data of one item with the keys that `docs/cli.md` lists."""
    plan = item.plan
    return {
        "name": item.name,
        "kind": item.kind,
        "original_size": item.original_size,
        "resized": (plan.width, plan.height),
        "num_frames": plan.num_frames,
        "grid": plan.grid,
        **asdict(Cost.of([plan], config)),
    }


def print_table(model: str, items: Sequence[CostItem], total: Cost, config: Qwen2VLConfig) -> None:
    """Print a row for each item, and one for all of them if there are several."""
    from rich.console import Console  # 0.1 s that --json does not need
    from rich.table import Table

    table = Table(title=f"cost with {model}", title_justify="left")
    table.add_column("what", overflow="fold")
    for heading in ("pixels", "resized", "frames", "grid", "tokens", "in prompt", "tower", "prefill", "patches", "KV"):
        table.add_column(heading, justify="right", no_wrap=True)
    for item in items:
        plan = item.plan
        original, resized, grid = (
            "x".join(map(str, sizes)) for sizes in (item.original_size, (plan.width, plan.height), plan.grid)
        )
        columns = (original, resized, str(plan.num_frames), grid, *Cost.of([plan], config).columns())
        table.add_row(Path(item.name).name[:60], *columns)
    if len(items) > 1:
        table.add_section()
        table.add_row("all", "", "", "", "", *total.columns())
    Console(width=None if sys.stdout.isatty() else 150).print(table)
