"""Choosing the frames of a video, their size and their times. A list of images is a video too.

Number and size of the frames come from the header by the rules of `spec.resize`, so a cost preview knows them without
decoding. Wanted times are evenly spaced from the first to the last timestamp, and the nearest frame to each is taken. Timestamps
decide, not frame numbers: phones and screen recorders write variable rates. `decoding` decodes; only the chosen frames
are kept, already resized, so memory does not grow with the length of the video.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qwen2vl.common.errors import MediaError
from qwen2vl.processing.animations import Animation, decode_animation, find_animation
from qwen2vl.processing.decoding import OpenVideo, Survey, decode_frames, open_video, turn_upright
from qwen2vl.processing.images import Frames, resize
from qwen2vl.processing.sources import Located, Source, image_header, is_tensor, locate, read_image
from qwen2vl.spec.media_settings import MediaOptions, MediaSettings
from qwen2vl.spec.resize import choose_num_frames, frame_size

VideoSource = Source | Sequence[Source]
"""Path, URL, bytes or file object of a video; or its frames: a sequence of images in any form, an array [F, H, W, 3], or a
torch tensor [F, 3, H, W], channels first as in torchvision."""

GUESSED_FPS = 25.0
"""Frame rate of a video without a stated rate, as FFmpeg assumes."""

MOST_FRAMES = 2**31 - 1
"""No file contains more frames; a header that states more is damaged."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedVideo:
    """The chosen frames of a video, an even number of them."""

    frames: Frames
    """[F, H, W, 3], after resizing."""
    timestamps_s: tuple[float, ...]
    """Time of each frame in seconds from the beginning of the video."""
    original_size: tuple[int, int]
    """Width and height before resizing, upright."""
    fps: float
    duration_s: float


class VideoHeader(NamedTuple):
    """Facts from the header of a video; width and height are those of upright frames."""

    width: int
    height: int
    duration_s: float
    """Seconds from the first frame to the end of the last one, whatever time the container gives the first."""
    fps: float
    """Frames per second, on average."""
    frames: int
    """Number of frames; of those between video_start and video_end if the options that it was read with set these."""

    def chosen_range(self, options: MediaOptions) -> tuple[float, float]:
        """Start and end in seconds from the first frame. Raises MediaError when nothing is left."""
        if not options.sets_range:
            return 0.0, np.inf
        begin = options.video_start or 0.0
        end = min(self.duration_s if options.video_end is None else options.video_end, self.duration_s)
        if begin >= end:
            raise MediaError(
                f"video_start {options.video_start} and video_end {options.video_end} select nothing of a video of "
                f"{self.duration_s:.2f} seconds: the start must be before the end and inside the video"
            )
        return begin, end


def read_video(
    source: VideoSource,
    settings: MediaSettings,
    options: MediaOptions | None = None,
    allowed_hosts: Sequence[str] = (),
) -> DecodedVideo:
    """Choose, decode and resize the frames of a video [paper 4.4, 4.5].

    n = choose_num_frames(header), wanted times = linspace(first, last timestamp, n), and the nearest frame to each is taken.
    If there are at most n frames, each is taken once and the last fills an odd place. If a file ends before the frames that
    its header states, its last frame is repeated, so n does not change. Lists of frames are taken completely, the last one
    twice if their number is odd, unless `options` sets a number or rate.

    Raises MediaError when the file does not exist, contains no video or exceeds a limit, or when nothing is left between
    start and end.
    """
    options = options or MediaOptions()
    if not is_file(source):
        return _read_list(_as_list(source), settings, options, allowed_hosts)
    located = locate(source, "video", settings, allowed_hosts)
    if animation := find_animation(located, settings):
        return _read_animation(located, animation, settings, options)
    with open_video(located, settings) as video:
        survey = video.survey()
        header, unit = _header(video, survey, options), _unit_s(video, survey)
        is_short = video.stated is not None and survey.is_shown.sum() < video.stated.frames
    begin, end = header.chosen_range(options)
    count = planned_frames(header, settings, options)
    _report_lowered(located.name, count, header, options)
    height, width = frame_size(header.height, header.width, count, settings, options)
    shown = survey.shown
    seconds = (shown - shown[0]) * unit
    stated_end = header.duration_s - 1 / header.fps
    if is_short and seconds[-1] < stated_end - 0.5 / header.fps:
        log.warning("%s ends after %.2f of %.2f seconds", located.name, seconds[-1], header.duration_s)
    chosen = _choose(seconds, begin, end, count, stated_end if is_short else 0.0)
    targets, slots = np.unique(chosen, return_inverse=True)
    frames = decode_frames(located, settings, survey, shown[targets], (height, width))
    return DecodedVideo(
        frames=frames if len(targets) == count else frames[slots],
        timestamps_s=tuple(float(seconds[index]) for index in chosen),
        original_size=(header.width, header.height),
        fps=header.fps,
        duration_s=header.duration_s,
    )


def video_header(
    source: VideoSource,
    settings: MediaSettings,
    allowed_hosts: Sequence[str] = (),
    options: MediaOptions | None = None,
) -> VideoHeader:
    """Size, duration, rate and number of frames, from the header and the first frame. Raises MediaError.

    Other containers than MP4 and MOV, and videos with video_start or video_end in `options`, are read (not decoded) to their
    end: only there do the times of all frames become known.
    """
    options = options or MediaOptions()
    if not is_file(source):
        images = _as_list(source)
        width, height = image_header(images[0], settings, allowed_hosts)
        return VideoHeader(width, height, len(images) / settings.fps, settings.fps, len(images))
    located = locate(source, "video", settings, allowed_hosts)
    if animation := find_animation(located, settings):
        return _animation_header(animation, options)
    with open_video(located, settings) as video:
        return _header(video, video.survey(whole=video.stated is None or options.sets_range), options)


def planned_frames(header: VideoHeader, settings: MediaSettings, options: MediaOptions) -> int:
    """Number of frames that `read_video` takes from a video with this header; nothing is decoded.

    header: read with the same options. Raises MediaError when nothing is left between start and end.
    """
    begin, end = header.chosen_range(options)
    seconds = end - begin if options.sets_range else header.frames / header.fps
    return choose_num_frames(header.frames, seconds, settings, options)


def planned_list(total: int, settings: MediaSettings, options: MediaOptions) -> int:
    """Number of frames that are taken from a list of `total` frames: all, made even, unless `options` sets a number or rate."""
    if not options.selects_frames:
        return total + total % 2
    return choose_num_frames(total, total / settings.fps, settings, options)


def _header(video: OpenVideo, survey: Survey, options: MediaOptions) -> VideoHeader:
    stream = video.stream
    height, width = turn_upright(survey.first, np.empty((survey.first.height, survey.first.width))).shape
    duration_s, frames = video.stated or _measured_length(video, survey)
    if frames > MOST_FRAMES:
        raise MediaError(f"{video.name} states {frames} frames: its header is damaged, save it again")
    nominal = float(stream.average_rate or stream.guessed_rate or 0)
    # Times in whole milliseconds make 300 frames last 9.999 seconds at 30 per second; the nominal rate is then exact.
    is_nominal = nominal and abs(frames / nominal - duration_s) < 1 / nominal
    header = VideoHeader(width, height, duration_s, nominal if is_nominal else frames / duration_s, frames)
    if not options.sets_range:
        return header
    return _in_range(header, (survey.shown - survey.shown[0]) * _unit_s(video, survey), options)


def _in_range(header: VideoHeader, seconds: NDArray[np.float64], options: MediaOptions) -> VideoHeader:
    """A header with the number of frames, of those at `seconds`, that are in the range of the options."""
    begin, end = header.chosen_range(options)
    return header._replace(frames=max(1, int(((seconds >= begin) & (seconds <= end)).sum())))


def _animation_header(animation: Animation, options: MediaOptions) -> VideoHeader:
    frames, duration_s = len(animation.durations_s), sum(animation.durations_s)
    header = VideoHeader(animation.width, animation.height, duration_s, frames / duration_s, frames)
    return _in_range(header, _starts(animation), options)


def _starts(animation: Animation) -> NDArray[np.float64]:
    """Time of every frame in seconds."""
    return np.cumsum([0.0, *animation.durations_s[:-1]])


def _read_animation(
    located: Located, animation: Animation, settings: MediaSettings, options: MediaOptions
) -> DecodedVideo:
    header, seconds = _animation_header(animation, options), _starts(animation)
    begin, end = header.chosen_range(options)
    count = planned_frames(header, settings, options)
    _report_lowered(located.name, count, header, options)
    size = frame_size(header.height, header.width, count, settings, options)
    chosen = _choose(seconds, begin, end, count, 0.0)
    targets, slots = np.unique(chosen, return_inverse=True)
    return DecodedVideo(
        frames=decode_animation(located, targets, size)[slots],
        timestamps_s=tuple(float(seconds[index]) for index in chosen),
        original_size=(header.width, header.height),
        fps=header.fps,
        duration_s=header.duration_s,
    )


def _measured_length(video: OpenVideo, survey: Survey) -> tuple[float, int]:
    """Duration in seconds and number of frames of a video that was surveyed to its end."""
    shown, rate = survey.shown, float(video.stream.guessed_rate or 0)
    if not survey.is_timed:
        return len(shown) / (rate or GUESSED_FPS), len(shown)
    unit = float(video.stream.time_base or 1)
    span_s = float(shown[-1] - shown[0]) * unit
    last_s = survey.last_length * unit or 1 / (rate or (len(shown) - 1) / (span_s or np.inf) or GUESSED_FPS)
    return span_s + last_s, len(shown)


def _unit_s(video: OpenVideo, survey: Survey) -> float:
    """Seconds of one unit of the times of a survey."""
    stream = video.stream
    return float(stream.time_base or 1) if survey.is_timed else 1 / float(stream.guessed_rate or GUESSED_FPS)


def _report_lowered(name: str, count: int, header: VideoHeader, options: MediaOptions) -> None:
    """Log that fewer frames are taken than were asked for, because there are no more."""
    for option in ("nframes", "min_frames"):
        asked = getattr(options, option)
        if asked is not None and count < asked // 2 * 2:
            log.warning("%s has %d frames, so %s %s is lowered to %d", name, header.frames, option, asked, count)


def _choose(seconds: NDArray[np.float64], begin: float, end: float, count: int, stated_end: float) -> NDArray[np.intp]:
    """Index of the nearest frame to each wanted time; the earlier one of two equally near. Never more than the frames that exist:
    where `count` reaches their number, each is taken once, and then the last.

    stated_end: time of the last frame by the header of an incomplete video, else 0. Wanted times extend to it, so the
    sampling rate stays as planned and the last frame replaces the missing ones.
    """
    numbers = np.flatnonzero((seconds >= begin) & (seconds <= end))
    if len(numbers) and count >= len(numbers) and not stated_end:
        return numbers[np.arange(count).clip(max=len(numbers) - 1)]
    inside = seconds[numbers]
    low, high = (inside[0], inside[-1]) if len(inside) else (begin, begin)
    high = max(high, min(end, stated_end))
    wanted = np.linspace(low, high, count)
    right = np.searchsorted(seconds, wanted).clip(0, len(seconds) - 1)
    left = (right - 1).clip(0)
    return np.where(np.abs(seconds[left] - wanted) <= np.abs(seconds[right] - wanted), left, right)


def is_file(source: Any) -> bool:
    """Whether a video is one file, in any form, and not frames."""
    return isinstance(source, str | bytes | bytearray | memoryview | Path) or hasattr(source, "read")


def _as_list(source: Any) -> Sequence[Source]:
    if is_tensor(source) and source.ndim == 4:
        source = list(source)
    if isinstance(source, np.ndarray) and source.ndim == 4:
        source = list(source)
    if not isinstance(source, list | tuple):
        raise MediaError(
            f"video source is of type {type(source).__name__}: give a path, a URL, the file's bytes, a file object "
            "or a list of frames"
        )
    if not source:
        raise MediaError("a video is an empty list of frames: give at least one")
    return source


def _read_list(
    sources: Sequence[Source], settings: MediaSettings, options: MediaOptions, allowed_hosts: Sequence[str]
) -> DecodedVideo:
    """A video from a list of images. They have no times and count as taken at `settings.fps`; all get the size of the first."""
    if options.video_start is not None or options.video_end is not None:
        raise MediaError(
            "video_start and video_end need a video with times, not a list of frames: leave frames out of it"
        )
    total = len(sources)
    count = planned_list(total, settings, options)
    ranks = np.arange(count).clip(max=total - 1)
    _report_lowered("the list of frames", count, VideoHeader(0, 0, total / settings.fps, settings.fps, total), options)
    if options.selects_frames and count < total:
        ranks = np.linspace(0, total - 1, count).round().astype(int)
    image = read_image(sources[0], settings, allowed_hosts)
    original_size = image.size
    height, width = frame_size(image.height, image.width, count, settings, options)
    frames = np.empty((count, height, width, 3), dtype=np.uint8)
    for slot, rank in enumerate(ranks):
        if slot and rank == ranks[slot - 1]:
            frames[slot] = frames[slot - 1]
            continue
        image = read_image(sources[rank], settings, allowed_hosts) if slot else image
        frames[slot] = np.asarray(resize(image, height, width))
    return DecodedVideo(
        frames=frames,
        timestamps_s=tuple(float(rank / settings.fps) for rank in ranks),
        original_size=original_size,
        fps=settings.fps,
        duration_s=total / settings.fps,
    )
