"""Answering about a 20-minute 720p video with nano: memory, time, and whether its end is seen.

The video changes all the time and shows a magenta square only in its last ten seconds. The answer comes from a separate
process, whose whole peak memory counts, libraries and weights included.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from qwen2vl.inference.chat import Chat, question_messages
from qwen2vl.inference.sampling import SamplingParams
from qwen2vl.model.init import new_model
from qwen2vl.recipes.nano import nano_processor
from qwen2vl.spec import PACKAGED_NANO
from qwen2vl.spec.config import NANO
from qwen2vl.spec.media_settings import TRAINED_VIDEO_TOKENS, MediaSettings
from tools.measuring import MEGABYTE, peak_resident_bytes
from tools.results import Comparison, Result
from tools.script import Disagreement, options_parser, parse_options, run_child, run_script, say

LIMITS = ("own", "published")
"""nano's own limits of frames and pixels (64 frames), and those of the published models (768 frames, 16,384 tokens)."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = options_parser(__doc__)
    parser.add_argument(
        "--model", default=None, help="checkpoint directory (the packaged nano, or random weights without it)"
    )
    parser.add_argument("--video", type=Path, default=None, help="an existing video (one is made)")
    parser.add_argument("--child", choices=LIMITS, default=None, help="answer here and print the figures as JSON")
    options = parse_options(parser, argv, repeats=1)
    if options.child:
        say(json.dumps(answer(options.video, options.model, options.child)))
        return 0
    say(f"long_video: written to {measure(options).write(options)}")
    return 0


def measure(options: argparse.Namespace) -> Result:
    video = LongVideo(seconds=20, width=128, height=96) if options.small else LongVideo()
    with tempfile.TemporaryDirectory() as folder:
        path = options.video or Path(folder) / "video.mp4"
        if options.video is None:
            began = time.perf_counter()
            write_video(path, video)
            say(
                f"  video of {video.seconds} s written in {time.perf_counter() - began:.0f} s, {path.stat().st_size} bytes"
            )
        found = {}
        for limits in LIMITS[:1] if options.small else LIMITS:
            arguments = ["--child", limits, "--video", str(path)]
            arguments += ["--model", options.model] if options.model else []
            found[limits] = run_child("experiments.long_video", options, *arguments)
            say(f"  {limits} limits: {found[limits]['peak'] / MEGABYTE:.0f} MB, {found[limits]['seconds']:.1f} s")
    blind = [limits for limits, one in found.items() if not one["end_is_seen"]]
    if blind:
        raise Disagreement(f"the video's last seconds are not among the frames taken with {blind[0]} limits")
    return Result(
        name="long_video",
        title=f"Answering about a video of {video.seconds // 60} minutes, {video.width}x{video.height}",
        settings={
            "video": asdict(video), "question": "What happens in the video?",
            "cases": {name: {k: v for k, v in one.items() if k not in ("peak", "seconds")} for name, one in found.items()},
        },
        agreement={"checks": [{"what": "frames of the video's last seconds were seen", "limits": list(found)}]},
        comparisons=[line for limits, one in found.items() for line in compare(limits, one)],
    )  # fmt: skip


def compare(limits: str, found: dict[str, Any]) -> list[Comparison]:
    what = f"Video of 20 minutes, {limits} limits ({found['frames']} frames, {found['prompt_tokens']} tokens)"
    return [
        Comparison(what=f"{what}: peak memory", unit="MB", ours=[found["peak"] / MEGABYTE], ceiling=1500.0),
        Comparison(what=f"{what}: to the answer", unit="s", ours=[found["seconds"]]),
    ]


def answer(video: Path, model: str | None, limits: str) -> dict[str, Any]:
    """Ask one question about the video; returns the answer, the frames that were seen, and the cost for this process."""
    chat, weights = load(model)
    if limits == "published":
        ours = chat.processor.settings
        published = MediaSettings(video_max_tokens=TRAINED_VIDEO_TOKENS)
        chat.processor.settings = replace(published, image_mean=ours.image_mean, image_std=ours.image_std)
    chat.model  # noqa: B018  reads the weights, which is not timed
    began = time.perf_counter()
    prepared = chat.processor.prepare(
        question_messages("What happens in the video?", videos=[video]), with_digests=False
    )
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
    """The given model, or the packaged nano, or nano with random weights: memory and time are the same."""
    if model is not None or PACKAGED_NANO.is_dir():
        return Chat(model or "nano"), model or "nano"
    return Chat.from_parts(new_model(NANO, seed=0).eval(), nano_processor()), "random"


@dataclass(frozen=True, slots=True, kw_only=True)
class LongVideo:
    """A video whose content changes all the time, with a magenta square only in its last seconds."""

    seconds: int = 1200
    width: int = 1280
    height: int = 720
    fps: int = 5
    """Few frames a second, so that writing is short; the model sees at most 2 a second."""
    detail_seconds: int = 10


MAGENTA_YUV = (107, 202, 222)
"""Saturated magenta in the limited range of BT.601; nothing else in the video is similar."""


def write_video(path: Path, video: LongVideo, seed: int = 0) -> None:
    """Write moving blocks on a background that changes every ten seconds, as H.264 in an MP4.

    The planes of YUV are filled directly, without RGB: 6,000 frames of 720p take seconds instead of minutes.
    """
    random = np.random.default_rng(seed)
    backgrounds = random.integers(40, 200, (video.seconds // 10 + 1, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=video.fps, options={"preset": "ultrafast", "crf": "30"})
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        for number in range(video.seconds * video.fps):
            frame = av.VideoFrame.from_ndarray(video_frame(video, backgrounds, number), format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def video_frame(video: LongVideo, backgrounds: NDArray[np.int64], number: int) -> NDArray[np.uint8]:
    """One frame as its three planes, one below the other, uint8 [height * 3 / 2, width]."""
    second = number / video.fps
    luma = np.full((video.height, video.width), backgrounds[int(second) // 10, 0], np.uint8)
    chroma = [
        np.full((video.height // 2, video.width // 2), min(150, int(g)), np.uint8)
        for g in backgrounds[int(second) // 10, 1:]
    ]
    side = video.height // 6 // 2 * 2
    for block in range(4):
        x = int((number * (block + 2) * video.width / 160 + block * video.width / 4) % (video.width - side)) // 2 * 2
        y = (video.height * (2 * block + 1) // 10) // 2 * 2
        paint(luma, chroma, x, y, side, (60 + 45 * block, 90 + 15 * block, 140 - 15 * block))
    if second >= video.seconds - video.detail_seconds:
        paint(luma, chroma, video.width // 2, video.height // 2, 2 * side, MAGENTA_YUV)
    return np.concatenate([luma, *(plane.reshape(-1, video.width) for plane in chroma)])


def paint(
    luma: NDArray[np.uint8],
    chroma: Sequence[NDArray[np.uint8]],
    x: int,
    y: int,
    side: int,
    colour: tuple[int, int, int],
) -> None:
    """Fill a square of one YUV colour in the planes of a frame."""
    luma[y : y + side, x : x + side] = colour[0]
    for plane, value in zip(chroma, colour[1:], strict=True):
        plane[y // 2 : (y + side) // 2, x // 2 : (x + side) // 2] = value


def shows_magenta(patches: NDArray[np.uint8]) -> bool:
    """Whether some patch [P, 1176] (channel, frame, row, column) is magenta: red and blue high, green low."""
    channels = patches.reshape(len(patches), 3, -1).astype(np.float32).mean(2)
    red, green, blue = channels.T
    return bool(((red > 150) & (blue > 150) & (green < 90)).any())


if __name__ == "__main__":
    run_script(main)
