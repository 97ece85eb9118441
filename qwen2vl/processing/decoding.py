"""Compressed videos through PyAV: what their packets say, and decoding no more of them than the chosen frames need.

    survey    one pass over the packets, undecoded but for the first frame: times and key frames of the whole video
    decode    a second pass; groups of images without a chosen frame are dropped undecoded

Which frames are chosen is `video`. Packets are dropped and never sought: seeking lands elsewhere in every container.
"""

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from qwen2vl.common.errors import MediaError
from qwen2vl.processing.images import Frames, resize, to_rgb
from qwen2vl.processing.sources import Located
from qwen2vl.spec.media_settings import MediaSettings

DEMUXERS = "mov,mp4,matroska,webm,avi,gif,apng,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,nut,h264,hevc,ivf,obu,rm,mxf,dv"
"""What FFmpeg may read. Left out are formats that name other files or addresses (playlists): it would open those."""

MAX_THREADS = 4
"""Each decoding thread holds frames of its own: 64 of them on a large machine would cost more than the video."""

_NO_VIDEO = "{name} is no video in a supported format, or damaged: save it again, or convert it to MP4 with H.264"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Facts of a video's packets, in the order in which they lie in the file."""

    first: VideoFrame
    times: NDArray[np.int64]
    """In units of the stream; packet numbers in the order of showing where the video states no times."""
    is_key: NDArray[np.bool_]
    is_shown: NDArray[np.bool_]
    """False for packets that an edit list cuts away."""
    is_timed: bool


@contextlib.contextmanager
def open_video(located: Located, settings: MediaSettings) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video, closed in every case: decoding threads outlive a forgotten container and block."""
    name = located.name
    # "file:" keeps FFmpeg from taking a path like "concat:a|b" or "http:x" for one of its protocols.
    file = io.BytesIO(located.file) if isinstance(located.file, bytes) else f"file:{located.file}"
    safe = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
    try:
        with av.open(file, "r", options=safe, metadata_errors="replace") as container:
            if not len(container.streams):  # cut off before its table of contents, where that stands at the end
                raise MediaError(_NO_VIDEO.format(name=name))
            videos = [video for video in container.streams.video if not video.disposition & Disposition.attached_pic]
            if not videos:
                raise MediaError(f"{name} holds no video, only sound or other data: name a video file")
            stream = videos[0]
            if stream.codec_context is None:
                raise MediaError(f"{name} is in a coding that cannot be decoded: convert it to MP4 with H.264")
            if stream.width * stream.height > settings.max_decoded_pixels:
                raise MediaError(
                    f"{name} has frames of {stream.width}x{stream.height} pixels, over the ceiling of "
                    f"{settings.max_decoded_pixels}: make them smaller"
                )
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = min(MAX_THREADS, os.cpu_count() or 1)
            yield container, stream
    except av.FFmpegError as error:
        raise MediaError(_NO_VIDEO.format(name=name)) from error


def _packets(container: InputContainer, stream: VideoStream) -> Iterator["Packet[VideoStream]"]:
    """All packets that hold something; a file that breaks off just ends."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.InvalidDataError):
            return
        if packet.size:
            yield packet


def _decoded(stream: VideoStream, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
    """Frames that a packet brings forth, or with None those still under way; damaged packets bring none."""
    try:
        return stream.codec_context.decode(packet)
    except (av.InvalidDataError, av.EOFError):
        return []


def survey_video(container: InputContainer, stream: VideoStream, name: str, whole: bool = True) -> Survey:
    first: VideoFrame | None = None
    facts: list[tuple[int | None, bool, bool]] = []
    for packet in _packets(container, stream):
        facts.append((packet.pts, packet.is_keyframe, not packet.is_discard))
        if first is None:
            first = next(iter(_decoded(stream, packet)), None)
        elif not whole:
            break
    first = first or next(iter(_decoded(stream, None)), None)
    if first is None or not any(is_shown for _, _, is_shown in facts):
        raise MediaError(f"{name} has no frame that can be decoded: save it again, or convert it to MP4 with H.264")
    is_timed = all(time is not None for time, _, is_shown in facts if is_shown)
    times = [(time or 0) if is_timed else index for index, (time, _, _) in enumerate(facts)]
    return Survey(
        first=first,
        times=np.array(times, dtype=np.int64),
        is_key=np.array([is_key for _, is_key, _ in facts]),
        is_shown=np.array([is_shown or not is_timed for _, _, is_shown in facts]),
        is_timed=is_timed,
    )


def decode_frames(
    located: Located, settings: MediaSettings, survey: Survey, targets: NDArray[np.int64], size: tuple[int, int]
) -> Frames:
    """The frames shown at `targets` (sorted, in units of the stream), resized: [len(targets), height, width, 3].

    The quick pass drops what its targets do not lean on. Where a target does not come out of it (a damaged packet, a
    stream whose key frames are none) or there are no times, everything is decoded and the nearest frame taken.
    """
    images = np.empty((len(targets), *size, 3), dtype=np.uint8)
    everything = np.ones(len(survey.times), dtype=bool)
    if survey.is_timed:
        needed = _needed(survey, targets)
        starts = survey.times[1:][needed[1:] & ~needed[:-1]]
        if _pick(_trusted(_frames(located, settings, survey, needed, targets), starts), targets, images):
            return images
    _pick(_frames(located, settings, survey, everything, survey.times), targets, images)
    return images


def _needed(survey: Survey, targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Packets to decode: of each group of images that holds a target, all up to the last target.

    A target that is shown before its group's key frame also leans on the group before (open groups), so that one is
    taken whole. In the order of the file, K = key frame, x = target:
        K . . . K . x . . K x(early) . .   ->   needed 0 0 0 0 1 1 1 1 1 1 1 0 0
    """
    is_target = np.isin(survey.times, targets) & survey.is_shown
    starts = np.union1d([0], np.flatnonzero(survey.is_key))
    ends = np.append(starts[1:], len(survey.times))
    needed = np.zeros(len(survey.times), dtype=bool)
    for group, (start, end) in enumerate(zip(starts, ends, strict=True)):
        hits = start + np.flatnonzero(is_target[start:end])
        if not len(hits):
            continue
        needed[start : hits[-1] + 1] = True
        if group and survey.times[hits].min() < survey.times[start]:
            needed[starts[group - 1] : start] = True
    return needed


def _frames(
    located: Located,
    settings: MediaSettings,
    survey: Survey,
    feed: NDArray[np.bool_],
    targets: NDArray[np.int64],
) -> Iterator[tuple[int, VideoFrame]]:
    """(time, frame) of the packets in `feed`, in the order of showing.

    Frames that no other frame leans on and that are no targets are left out.
    """
    with open_video(located, settings) as (container, stream):
        frames = _feed(container, stream, feed, np.isin(survey.times, targets))
        if not survey.is_timed:
            yield from enumerate(frames)
        else:
            yield from ((frame.pts, frame) for frame in frames if frame.pts is not None)


def _feed(
    container: InputContainer, stream: VideoStream, feed: NDArray[np.bool_], is_target: NDArray[np.bool_]
) -> Iterator[VideoFrame]:
    """Decode the packets of `feed`; wherever it leaves packets out, the decoder is emptied and starts afresh."""
    codec = stream.codec_context
    stop = int(np.flatnonzero(feed)[-1]) + 1
    is_fresh = True
    for index, packet in enumerate(_packets(container, stream)):
        if index >= stop:
            break
        if feed[index]:
            codec.skip_frame = "DEFAULT" if is_target[index] else "NONREF"
            yield from _decoded(stream, packet)
            is_fresh = False
        elif not is_fresh:
            yield from _decoded(stream, None)
            codec.flush_buffers()
            is_fresh = True
    yield from _decoded(stream, None)


def _trusted(frames: Iterator[tuple[int, VideoFrame]], starts: NDArray[np.int64]) -> Iterator[tuple[int, VideoFrame]]:
    """End early where decoding took up again at a "key frame" that is none.

    Streams without whole intra images (refreshed stripe by stripe) mark such places, where pixels are nearly right.
    """
    upcoming = 0
    for time, frame in frames:
        while upcoming < len(starts) and starts[upcoming] <= time:
            if starts[upcoming] != time or frame.pict_type != PictureType.I:
                return
            upcoming += 1
        yield time, frame


def _pick(frames: Iterator[tuple[int, VideoFrame]], targets: NDArray[np.int64], images: Frames) -> bool:
    """Fill `images` with the frames nearest to `targets`; whether each was there exactly."""
    upcoming, is_exact = 0, True
    previous: tuple[int, VideoFrame] | None = None
    for time, frame in frames:
        while upcoming < len(targets) and targets[upcoming] <= time:
            target = int(targets[upcoming])
            nearest = (time, frame)
            if previous is not None and target - previous[0] <= time - target:
                nearest = previous
            images[upcoming] = _image(nearest[1], images.shape[1:3])
            is_exact &= nearest[0] == target
            upcoming += 1
        previous = (time, frame)
    if upcoming == len(targets) or previous is None:
        return is_exact and upcoming == len(targets)
    images[upcoming:] = _image(previous[1], images.shape[1:3])
    return False


def _image(frame: VideoFrame, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """One frame upright, RGB, alpha over white, resized to (height, width)."""
    has_alpha = any(component.is_alpha for component in frame.format.components)
    pixels = frame.to_ndarray(format="rgba" if has_alpha else "rgb24")
    image = to_rgb(Image.fromarray(np.ascontiguousarray(turn_upright(frame, pixels))))
    return np.asarray(resize(image, size[0], size[1]))


def turn_upright(frame: VideoFrame, pixels: NDArray[Any]) -> NDArray[Any]:
    """Turn and mirror [H, W, ...] as the video's display matrix says: quarter turns only, others go to the nearest."""
    side_data: Mapping[str, Any] = frame.side_data  # PyAV's stub knows motion vectors only
    if "DISPLAYMATRIX" not in side_data:
        return pixels
    matrix = np.frombuffer(side_data["DISPLAYMATRIX"], dtype=np.int32)
    # A point (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d, *_ = matrix.tolist()
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
