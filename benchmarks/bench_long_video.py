"""Answering about a 20-minute 720p video with nano: how much memory, how long, and is its end seen.

The video changes all the time and shows a magenta square in its last ten seconds only. The answer comes from a process of
its own, whose whole peak counts, libraries and weights included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.agreement import Disagreement
from benchmarks.drawn import Video, shows_magenta, write_video
from benchmarks.measuring import MEGABYTE, peak_resident_bytes
from qwen2vl.inference.chat import Chat, question_messages
from qwen2vl.inference.sampling import SamplingParams
from qwen2vl.model.init import new_model
from qwen2vl.processing.processor import Processor
from qwen2vl.recipes.nano import nano_processor
from qwen2vl.spec import PACKAGED_NANO
from qwen2vl.spec.config import NANO
from qwen2vl.spec.media_settings import MediaSettings
from tools import results as record
from tools.results import Comparison, Result, say

CEILING_MB = 1500.0
QUESTION = "What happens in the video?"
LIMITS = ("own", "published")
"""nano's own limits of frames and pixels (64 frames), and those of the published models (768 frames, 16,384 tokens)."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = record.options_parser(__doc__)
    parser.add_argument(
        "--model", default=None, help="checkpoint directory (the packaged nano; random weights if none)"
    )
    parser.add_argument("--video", type=Path, default=None, help="a video made before (else it is made)")
    parser.add_argument("--child", choices=LIMITS, default=None, help="answer here and print the figures as JSON")
    options = record.parse(parser, argv, repeats=1)
    if options.child:
        say(json.dumps(answer(options.video, options.model, options.child)))
        return 0
    say(f"long_video: written to {record.write(measure(options), options)}")
    return 0


def measure(options: argparse.Namespace) -> Result:
    video = Video(seconds=20, width=128, height=96) if options.small else Video()
    with tempfile.TemporaryDirectory() as folder:
        path = options.video or Path(folder) / "video.mp4"
        if options.video is None:
            began = time.perf_counter()
            write_video(path, video)
            say(
                f"  video of {video.seconds} s drawn in {time.perf_counter() - began:.0f} s, {path.stat().st_size} bytes"
            )
        found = {}
        for limits in LIMITS[:1] if options.small else LIMITS:
            found[limits] = run_child(limits, path, options)
            say(f"  {limits} limits: {found[limits]['peak'] / MEGABYTE:.0f} MB, {found[limits]['seconds']:.1f} s")
    blind = [limits for limits, one in found.items() if not one["end_is_seen"]]
    if blind:
        raise Disagreement(f"the video's last seconds are not among the frames taken with {blind[0]} limits")
    return Result(
        name="long_video",
        title=f"Answering about a video of {video.seconds // 60} minutes, {video.width}x{video.height}",
        settings={
            "video": asdict(video), "question": QUESTION,
            "cases": {name: {k: v for k, v in one.items() if k not in ("peak", "seconds")} for name, one in found.items()},
        },
        agreement={"checks": [{"what": "frames of the video's last seconds were seen", "limits": list(found)}]},
        comparisons=[line for limits, one in found.items() for line in compare(limits, one)],
    )  # fmt: skip


def compare(limits: str, found: dict[str, Any]) -> list[Comparison]:
    what = f"Video of 20 minutes, {limits} limits ({found['frames']} frames, {found['prompt_tokens']} tokens)"
    return [
        Comparison(what=f"{what}: peak memory", unit="MB", ours=[found["peak"] / MEGABYTE], ceiling=CEILING_MB),
        Comparison(what=f"{what}: to the answer", unit="s", ours=[found["seconds"]]),
    ]


def run_child(limits: str, video: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_long_video", "--child", limits, "--video", str(video)]
    command += ["--threads", str(options.threads), "--out", str(options.out)]
    command += ["--model", options.model] if options.model else []
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(printed.splitlines()[-1])


def answer(video: Path, model: str | None, limits: str) -> dict[str, Any]:
    """One question about the video, and what it cost this process."""
    chat, weights = load(model)
    if limits == "published":
        ours = chat.processor.settings
        chat.processor.settings = replace(MediaSettings(), image_mean=ours.image_mean, image_std=ours.image_std)
    chat.model  # noqa: B018  reads the weights, which is not timed
    began = time.perf_counter()
    prepared = chat.processor.prepare(question_messages(QUESTION, videos=[video]), with_digests=False)
    prepared_s = time.perf_counter() - began
    reply = chat.stream_prepared(prepared, SamplingParams(max_new_tokens=16)).answer
    seconds = time.perf_counter() - began
    grid, frame = prepared.media[0].grid, prepared.media[0].grid[1] * prepared.media[0].grid[2]
    return {
        "weights": weights, "seconds": seconds, "seconds_reading_the_video": prepared_s, "peak": peak_resident_bytes(),
        "frames": prepared.media[0].num_frames, "grid": grid, "prompt_tokens": prepared.inputs.num_tokens,
        "last_frame_at_s": prepared.media[0].timestamps_s[-1], "answer": reply.text, "finish_reason": reply.finish_reason,
        "end_is_seen": shows_magenta(prepared.inputs.patches[-frame:].numpy()),
        "middle_is_without": not shows_magenta(prepared.inputs.patches[:frame].numpy()),
    }  # fmt: skip


def load(model: str | None) -> tuple[Chat, str]:
    """The model asked for, else the packaged nano, else nano with random weights: memory and time are the same."""
    if model is not None or PACKAGED_NANO.is_dir():
        return Chat(model or "nano"), model or "nano"
    processor: Processor = nano_processor()
    return Chat.from_parts(new_model(NANO, seed=0).eval(), processor), "random"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Disagreement as error:
        sys.exit(f"refused: {error}")
