"""Images and videos of records: readers that open a URI, and the facts that a header states.

A store holds URIs and facts only; pixels stay in their files. Size and number of tokens are computed from the facts by
`spec.resize`, for any pixel limits, without opening a file.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qwen2vl.common.errors import MediaError
from qwen2vl.processing.messages import ImagePart, VideoPart
from qwen2vl.processing.sources import locate, probe_image
from qwen2vl.processing.video import VideoHeader, planned_frames, planned_list, video_header
from qwen2vl.spec.config import Qwen2VLConfig
from qwen2vl.spec.costs import MediaPlan, plan_media
from qwen2vl.spec.media_settings import MediaOptions, MediaSettings
from qwen2vl.spec.resize import image_size

_RANGE = re.compile(r"(.+)#bytes=(\d+)-(\d+)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class MediaReader(Protocol):
    """Source of bytes. It has one method, so that object stores and caches can implement it."""

    def resolve(self, uri: str) -> str | Path | bytes:
        """The media in a form that `processing` opens: a path, a `data:` or `file:` URL, or the bytes. Raises MediaError."""
        ...


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """Reader of files on this machine.

    `scans/7.png` is relative to the root; `pack.bin#bytes=100-299` is the part of a file from byte 100 to byte 299.
    """

    root: Path

    def resolve(self, uri: str) -> str | Path | bytes:
        found = _RANGE.fullmatch(uri)
        if found:
            return self._read_range(found[1], int(found[2]), int(found[3]))
        if not _SCHEME.match(uri):
            return self.root / uri
        if uri.split(":")[0].lower() not in ("file", "data"):
            raise MediaError(f"{uri} is not on this machine: records may name paths, file:// and data: URLs")
        return uri

    def _read_range(self, name: str, first: int, last: int) -> bytes:
        path = self.root / name
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                file.seek(min(first, size))  # a record must not decide how much memory is allocated
                content = file.read(max(0, min(last + 1, size) - first))
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            raise MediaError(f"there is no file {str(path)!r}, or it may not be read: check the media root") from error
        if len(content) != last - first + 1:
            raise MediaError(f"{path} has {size} bytes, not {first} to {last}: it is truncated, or the range is wrong")
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """Facts of one image or video, as its header states them."""

    uris: tuple[str, ...]
    """One URI, or the URIs of all frames when a video is a list of images."""
    is_video: bool
    is_list: bool
    width: int
    height: int
    """Size in pixels, upright."""
    orientation: int
    """EXIF orientation, 1 = as stored. Videos always have 1, because their size includes the rotation."""
    frames: int
    """Number of frames, 1 for an image; of those between video_start and video_end if the options set these."""
    fps: float
    duration_s: float
    options: MediaOptions
    """Options that the record gives for this image or video."""

    def part(self, reader: MediaReader) -> ImagePart | VideoPart:
        """The image or video as a part of a message. Raises MediaError."""
        sources = [reader.resolve(uri) for uri in self.uris]
        if not self.is_video:
            return ImagePart(source=sources[0], options=self.options)
        return VideoPart(source=sources if self.is_list else sources[0], options=self.options)

    def fit(self, config: Qwen2VLConfig, settings: MediaSettings) -> MediaPlan:
        """Size, number of tokens and cost under these limits. Raises MediaError when no size fits them."""
        frames = None
        if self.is_list:
            frames = planned_list(self.frames, settings, self.options)
        elif self.is_video:
            header = VideoHeader(self.width, self.height, self.duration_s, self.fps, self.frames)
            frames = planned_frames(header, settings, self.options)
        return plan_media(
            self.height, self.width, config=config, settings=settings, num_frames=frames, options=self.options
        )


def probe(part: ImagePart | VideoPart, reader: MediaReader, settings: MediaSettings) -> MediaFacts:
    """Read the facts of one image or video from its header. Raises MediaError like the readers in `processing`."""
    is_list = not isinstance(part.source, str)
    uris: Sequence[str] = part.source if is_list else [part.source]
    sources = [reader.resolve(uri) for uri in uris]
    if isinstance(part, ImagePart):
        image = probe_image(sources[0], settings)
        image_size(
            image.height, image.width, settings, part.options
        )  # raises for impossible pixel limits now, so that the record is rejected
        return MediaFacts(
            uris=tuple(uris),
            is_video=False,
            is_list=False,
            width=image.width,
            height=image.height,
            orientation=image.orientation,
            frames=1,
            fps=0.0,
            duration_s=0.0,
            options=part.options,
        )
    for source in sources:
        locate(source, "video", settings)
    video = video_header(sources if is_list else sources[0], settings, options=part.options)
    return MediaFacts(
        uris=tuple(uris),
        is_video=True,
        is_list=is_list,
        width=video.width,
        height=video.height,
        orientation=1,
        frames=video.frames,
        fps=video.fps,
        duration_s=video.duration_s,
        options=part.options,
    )
