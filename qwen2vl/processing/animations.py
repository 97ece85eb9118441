"""Animated WebP files as videos, which FFmpeg does not decode. Animated GIF, PNG and AVIF go through `decoding`.

Times are read from the chunks of the file without decoding; Pillow decodes the chosen frames.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import WebPImagePlugin

from qwen2vl.processing.images import Frames, resize, to_rgb
from qwen2vl.processing.sources import Located, check_size, translated, upright_size
from qwen2vl.spec.media_settings import MediaSettings

SHORTEST_MS = 10
"""Browsers show frames of at most this duration for 100 milliseconds."""


class Animation(NamedTuple):
    """Facts of an animated WebP file; width and height are those of upright frames."""

    width: int
    height: int
    durations_s: tuple[float, ...]
    """Duration of every frame."""


def find_animation(located: Located, settings: MediaSettings) -> Animation | None:
    """Facts of an animated WebP file; None for other files. Raises MediaError when it is damaged or over a ceiling."""
    durations_s: list[float] = []
    with located.open() as file:
        start = file.read(12)
        if not start.startswith(b"RIFF") or start[8:] != b"WEBP":
            return None
        while len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            skipped = 0
            if chunk.startswith(b"ANMF"):
                duration_ms = int.from_bytes(file.read(16)[12:15], "little")
                durations_s.append((duration_ms if duration_ms > SHORTEST_MS else 100) / 1000)
                skipped = 16
            file.seek(max(0, size + size % 2 - skipped), 1)
        if not durations_s:
            return None
        file.seek(0)
        with translated(located.name):
            image = WebPImagePlugin.WebPImageFile(file, "")
        check_size(image, located.name, settings)
        return Animation(*upright_size(image), tuple(durations_s))


def decode_animation(located: Located, targets: NDArray[np.intp], size: tuple[int, int]) -> Frames:
    """The frames with the numbers `targets` (sorted), resized, [len(targets), height, width, 3]. Raises MediaError."""
    frames = np.empty((len(targets), *size, 3), dtype=np.uint8)
    with located.open() as file, translated(located.name):
        image = WebPImagePlugin.WebPImageFile(file, "")
        for slot, target in enumerate(targets.tolist()):
            image.seek(target)
            frames[slot] = np.asarray(resize(to_rgb(image), *size))
    return frames
