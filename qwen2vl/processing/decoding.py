"""Decoding compressed videos through PyAV, and no more of them than the chosen frames need.

    survey    a first pass over the packets, which decodes the first frame only: times and key frames of the whole video
    decode    a second pass; groups of pictures without a chosen frame are skipped without decoding

`video` chooses the frames. Packets are read in order and skipped, without seeking: its result differs between containers.
"""

import contextlib
import io
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

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
from qwen2vl.processing.image_formats import START, is_image, is_still
from qwen2vl.processing.images import Frames, resize, to_rgb
from qwen2vl.processing.sources import Located
from qwen2vl.spec.media_settings import MediaSettings

DEMUXERS = "mov,mp4,matroska,webm,avi,gif,apng,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,nut,h264,hevc,ivf,obu,rm,mxf,dv"
"""Formats that FFmpeg may read. Formats that name other files or addresses (playlists) are missing: it would open those."""

MAX_THREADS = 4
"""Each decoding thread keeps its own frames: 64 threads on a large machine would need more memory than the video."""

_IMAGE = '{name} is an image, not a video: give it with --image (in Python as a part of type "image")'
_NO_VIDEO = "{name} is no video in a supported format, or damaged: save it again, or convert it to MP4 with H.264"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Facts about the packets of a video, in the order of the file."""

    first: VideoFrame
    times: NDArray[np.int64]
    """Times in units of the stream; numbers of packets in display order if the video has no times."""
    is_key: NDArray[np.bool_]
    is_shown: NDArray[np.bool_]
    """False for packets that an edit list removes."""
    is_timed: bool
    last_length: int = 0
    """Length of the packet with the latest time in units of the stream; 0 when it is not stated."""

    @property
    def shown(self) -> NDArray[np.int64]:
        """Times of all frames that are shown, sorted."""
        return np.unique(self.times[self.is_shown])

    def needed(self, targets: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mask of the packets to decode: in each group of pictures with a target, all up to its last target.

        A target that is displayed before the key frame of its group also depends on the group before (open groups), so that
        group is decoded completely. In the order of the file, K = key frame, x = target:
            K . . . K . x . . K x(early) . .   ->   needed 0 0 0 0 1 1 1 1 1 1 1 0 0
        """
        is_target = np.isin(self.times, targets) & self.is_shown
        starts = np.union1d([0], np.flatnonzero(self.is_key))
        ends = np.append(starts[1:], len(self.times))
        needed = np.zeros(len(self.times), dtype=bool)
        for group, (start, end) in enumerate(zip(starts, ends, strict=True)):
            hits = start + np.flatnonzero(is_target[start:end])
            if not len(hits):
                continue
            needed[start : hits[-1] + 1] = True
            if group and self.times[hits].min() < self.times[start]:
                needed[starts[group - 1] : start] = True
        return needed


class StatedLength(NamedTuple):
    """Length of a video by its header."""

    duration_s: float
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVideo:
    """A video file that is open, and its video stream."""

    name: str
    """Name of the file in messages."""
    container: InputContainer
    stream: VideoStream

    @property
    def stated(self) -> "StatedLength | None":
        """Length by the header; None when only the packets tell it, as in most containers.

        MP4 and MOV index every frame. Others state the end of the last stream, which counts a start time and longer sound
        (Matroska), or count empty frames (AVI), or state nothing.
        """
        stream = self.stream
        duration_s = float((stream.duration or 0) * (stream.time_base or 0))
        if "mov" not in self.container.format.name or not stream.frames or duration_s <= 0:
            return None
        index = stream.index_entries
        # Frames that an edit list cuts off; groups of pictures that it cuts off whole are not in the index.
        num_cut = sum(entry.is_discard for entry in index)
        frames = len(index) - num_cut if num_cut else stream.frames
        return StatedLength(duration_s=duration_s, frames=max(1, frames))

    def packets(self) -> Iterator["Packet[VideoStream]"]:
        """All packets that are not empty; a truncated file simply ends."""
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.InvalidDataError):
                return
            if packet.size:
                yield packet

    def decode(self, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
        """Frames that a packet completes, or with None the remaining frames; damaged packets give none."""
        try:
            return self.stream.codec_context.decode(packet)
        except (av.InvalidDataError, av.EOFError):
            return []

    def survey(self, whole: bool = True) -> Survey:
        """Facts about all packets, or with whole=False about those up to the first frame. Raises MediaError without a frame."""
        first: VideoFrame | None = None
        facts: list[tuple[int | None, bool, bool]] = []
        last, last_length = -math.inf, 0
        for packet in self.packets():
            facts.append((packet.pts, packet.is_keyframe, not packet.is_discard))
            if packet.pts is not None and packet.pts >= last:
                last, last_length = packet.pts, packet.duration or 0
            if first is None:
                first = next(iter(self.decode(packet)), None)
            elif not whole:
                break
        first = first or next(iter(self.decode(None)), None)
        if first is None or not any(is_shown for _, _, is_shown in facts):
            raise MediaError(
                f"{self.name} has no frame that can be decoded: save it again, or convert it to MP4 with H.264"
            )
        is_timed = all(time is not None for time, _, is_shown in facts if is_shown)
        times = [(time or 0) if is_timed else index for index, (time, _, _) in enumerate(facts)]
        return Survey(
            first=first,
            times=np.array(times, dtype=np.int64),
            is_key=np.array([is_key for _, is_key, _ in facts]),
            is_shown=np.array([is_shown or not is_timed for _, _, is_shown in facts]),
            is_timed=is_timed,
            last_length=last_length,
        )

    def decode_packets(self, mask: NDArray[np.bool_], is_target: NDArray[np.bool_]) -> Iterator[VideoFrame]:
        """Frames of the packets in the mask; where packets are skipped, the decoder is flushed and restarted."""
        codec = self.stream.codec_context
        stop = int(np.flatnonzero(mask)[-1]) + 1
        is_fresh = True
        for index, packet in enumerate(self.packets()):
            if index >= stop:
                break
            if mask[index]:
                codec.skip_frame = "DEFAULT" if is_target[index] else "NONREF"
                yield from self.decode(packet)
                is_fresh = False
            elif not is_fresh:
                yield from self.decode(None)
                codec.flush_buffers()
                is_fresh = True
        yield from self.decode(None)


@contextlib.contextmanager
def open_video(located: Located, settings: MediaSettings) -> Iterator[OpenVideo]:
    """The open video, always closed again: decoding threads of a container left open would block."""
    name = located.name
    with located.open() as opened:
        start = opened.read(START)
    if is_still(start):
        raise MediaError(_IMAGE.format(name=name))
    # "file:" prevents FFmpeg from reading a path like "concat:a|b" or "http:x" as one of its protocols.
    file = io.BytesIO(located.file) if isinstance(located.file, bytes) else f"file:{located.file}"
    safe = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
    try:
        with av.open(file, "r", options=safe, metadata_errors="replace") as container:
            if not len(container.streams):  # truncated before its index, which can be at the end
                raise MediaError(_NO_VIDEO.format(name=name))
            videos = [video for video in container.streams.video if not video.disposition & Disposition.attached_pic]
            if not videos:
                raise MediaError(f"{name} contains no video, only sound or other data: name a video file")
            # An animated AVIF has its still image as another stream of one frame.
            stream = next((video for video in videos if video.frames > 1), videos[0])
            if stream.codec_context is None:
                raise MediaError(f"{name} uses a codec that cannot be decoded: convert it to MP4 with H.264")
            if stream.width * stream.height > settings.max_decoded_pixels:
                raise MediaError(
                    f"{name} has frames of {stream.width}x{stream.height} pixels, over the ceiling of "
                    f"{settings.max_decoded_pixels}: make them smaller, or raise the ceiling with --max-decoded-pixels "
                    "(max_decoded_pixels in Python)"
                )
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = min(MAX_THREADS, os.cpu_count() or 1)
            yield OpenVideo(name=name, container=container, stream=stream)
    except av.FFmpegError as error:
        if is_image(start):
            raise MediaError(_IMAGE.format(name=name)) from error
        raise MediaError(_NO_VIDEO.format(name=name)) from error


def decode_frames(
    located: Located, settings: MediaSettings, survey: Survey, targets: NDArray[np.int64], size: tuple[int, int]
) -> Frames:
    """The frames at the times `targets` (sorted, in units of the stream), resized, [len(targets), height, width, 3].

    A fast pass skips packets that its targets do not depend on. If it misses a target (a damaged packet, a stream with
    false key frames), or if there are no times, everything is decoded and the nearest frame is taken.
    """
    images = np.empty((len(targets), *size, 3), dtype=np.uint8)
    everything = np.ones(len(survey.times), dtype=bool)
    if survey.is_timed:
        needed = survey.needed(targets)
        starts = survey.times[1:][needed[1:] & ~needed[:-1]]
        if _pick(_trusted(_frames(located, settings, survey, needed, targets), starts), targets, images):
            return images
    _pick(_frames(located, settings, survey, everything, survey.times), targets, images)
    return images


def _frames(
    located: Located,
    settings: MediaSettings,
    survey: Survey,
    mask: NDArray[np.bool_],
    targets: NDArray[np.int64],
) -> Iterator[tuple[int, VideoFrame]]:
    """(time, frame) of the packets in the mask, in display order, without frames that are neither targets nor references."""
    with open_video(located, settings) as video:
        frames = video.decode_packets(mask, np.isin(survey.times, targets))
        if not survey.is_timed:
            yield from enumerate(frames)
        else:
            yield from ((frame.pts, frame) for frame in frames if frame.pts is not None)


def _trusted(frames: Iterator[tuple[int, VideoFrame]], starts: NDArray[np.int64]) -> Iterator[tuple[int, VideoFrame]]:
    """Frames up to the first restart at a false "key frame".

    Streams without complete intra frames (refreshed stripe by stripe) mark such places, where pixels are only nearly right.
    """
    upcoming = 0
    for time, frame in frames:
        while upcoming < len(starts) and starts[upcoming] <= time:
            if starts[upcoming] != time or frame.pict_type != PictureType.I:
                return
            upcoming += 1
        yield time, frame


def _pick(frames: Iterator[tuple[int, VideoFrame]], targets: NDArray[np.int64], images: Frames) -> bool:
    """Fill `images` with the nearest frames to `targets`; whether all were found at exactly these times."""
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
    """Pixels [H, W, ...] rotated and mirrored by the display matrix of the video, to the nearest quarter turn."""
    side_data: Mapping[str, Any] = frame.side_data  # the type stub of PyAV has motion vectors only
    if "DISPLAYMATRIX" not in side_data:
        return pixels
    matrix = np.frombuffer(side_data["DISPLAYMATRIX"], dtype=np.int32)
    # A point (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d, *_ = matrix.tolist()
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
