"""Preprocessing of a JPEG file to model inputs of at most 1,280 tokens: our processor and transformers' PIL processor.

Ours ends with uint8 patches, which the model normalises on its device; a second line adds normalising on the CPU.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.synthetic_inputs import JPEG_QUALITY, write_photo
from qwen2vl.model.vision import PatchEmbed
from qwen2vl.processing.images import patchify, resize
from qwen2vl.processing.sources import read_image
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.spec.resize import image_size
from tools.measuring import interleave
from tools.results import Comparison, Result
from tools.script import Disagreement, options_parser, parse_options, run_script, say

SETTINGS = MediaSettings(max_pixels=1280 * 784)
SIZES = ((1024, 1024, 2.0, 4.0), (4000, 3000, 1.3, 2.0))
"""Width, height, floor and aim."""


def main(argv: Sequence[str] | None = None) -> int:
    options = parse_options(options_parser(__doc__), argv, repeats=15)
    say(f"preprocess: written to {measure(options).write(options)}")
    return 0


def measure(options: argparse.Namespace) -> Result:
    # Here, because transformers is an optional package.
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    peer = Qwen2VLImageProcessorPil(min_pixels=SETTINGS.min_pixels, max_pixels=SETTINGS.max_pixels)
    comparisons: list[Comparison] = []
    checks = []
    with tempfile.TemporaryDirectory() as folder:
        for width, height, floor, aim in SIZES:
            width, height = (width // 10, height // 10) if options.small else (width, height)
            path = Path(folder) / f"{width}x{height}.jpg"
            write_photo(path, width, height)
            paths = preprocess_paths(path, peer)
            checks.append(check(f"{width}x{height}", paths["normalised"](), paths["theirs"]()))
            say(f"  {width}x{height} ({path.stat().st_size} bytes) agrees; timing {options.repeats} times each")
            comparisons += compare(f"{width}x{height} JPEG", interleave(paths, options.repeats), floor, aim)
    return Result(
        name="preprocess",
        title="From a JPEG file to patches, at most 1,280 tokens",
        settings={
            "jpeg_quality": JPEG_QUALITY, "min_pixels": SETTINGS.min_pixels, "max_pixels": SETTINGS.max_pixels,
            "resampling": "PIL bicubic on both sides", "repeats": options.repeats,
        },
        agreement={"checks": checks},
        comparisons=comparisons,
    )  # fmt: skip


def preprocess_paths(path: Path, peer: Any) -> dict[str, Callable[[], Tensor]]:
    """The calls to time: both processors, ours with normalising, and JPEG decoding alone."""
    embed = PatchEmbed(Qwen2VLConfig.named("2b").vision)

    def ours() -> Tensor:
        image = read_image(path, SETTINGS)
        height, width = image_size(image.height, image.width, SETTINGS)
        return torch.from_numpy(
            patchify(np.asarray(resize(image, height, width, threads=torch.get_num_threads()))[None])
        )

    def theirs() -> Tensor:
        with Image.open(path) as image:
            return peer(images=image, return_tensors="pt")["pixel_values"]

    def decoding() -> Tensor:
        with Image.open(path) as image:
            image.load()
        return torch.zeros(0)

    return {"ours": ours, "normalised": lambda: embed.normalise(ours()), "theirs": theirs, "decoding": decoding}


def check(what: str, ours: Tensor, theirs: Tensor) -> dict[str, Any]:
    """Check that pixels differ by at most one of 255 levels. Raises Disagreement."""
    if ours.shape != theirs.shape:
        raise Disagreement(f"{what}: shapes {list(ours.shape)} and {list(theirs.shape)} differ")
    std = torch.tensor(SETTINGS.image_std)[:, None]
    largest = float(((ours - theirs).unflatten(1, (3, -1)) * std).abs().max())
    one_level = 1 / 255 + 1e-5
    if not largest <= one_level:
        raise Disagreement(f"{what}: pixels differ by {largest * 255:.2f} of 255 levels, one is allowed")
    return {"what": what, "largest_pixel_difference": largest, "tolerance": one_level}


def compare(what: str, times: dict[str, list[float]], floor: float, aim: float) -> list[Comparison]:
    in_ms = {name: [1000 * seconds for seconds in values] for name, values in times.items()}
    decoding = median(in_ms["decoding"])
    lines = [
        (f"{what} to patches", "ours", floor, aim),
        (f"{what}, normalised on the CPU as well", "normalised", None, None),
    ]
    return [
        Comparison(
            what=line,
            unit="ms",
            ours=in_ms[name],
            theirs=in_ms["theirs"],
            floor=line_floor,
            aim=line_aim,
            limit="JPEG decoding",
            our_share=decoding / median(in_ms[name]),
            their_share=decoding / median(in_ms["theirs"]),
            note=f"decoding alone takes {decoding:.1f} ms",
        )
        for line, name, line_floor, line_aim in lines
    ]


if __name__ == "__main__":
    run_script(main)
