"""Formats of image files by their first bytes, and the readers of Pillow for them. `sources` opens files and checks limits.

Image.open is not used: it checks sizes against its own limit and warns, and it tries formats that nobody asked for.
"""

from collections.abc import Callable
from typing import BinaryIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from qwen2vl.common.errors import MediaError

Opener = Callable[..., Image.Image]

START = 192
"""Bytes at the beginning of a file that decide its format."""

OPENERS: tuple[tuple[bytes, Opener], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.jpeg_factory),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"II*\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0*", TiffImagePlugin.TiffImageFile),
    (b"II+\0", TiffImagePlugin.TiffImageFile),
    (b"\xff\x4f\xff\x51", Jpeg2KImagePlugin.Jpeg2KImageFile),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Jpeg2KImagePlugin.Jpeg2KImageFile),
)
"""First bytes of a file, and its reader."""

AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
SEQUENCE_BRANDS = frozenset({b"avis", b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"})
VIDEO_STARTS = (b"\x1aE\xdf\xa3", b"FLV", b"OggS", b"0&\xb2u", b"\0\0\x01\xba")
"""First bytes of Matroska and WebM, FLV, Ogg, ASF and WMV, and MPEG program streams."""


def find_opener(file: BinaryIO, name: str) -> Opener:
    """Reader for an open image file. Raises MediaError when there is none, and says so if the file is a video."""
    start = file.read(START)
    file.seek(0)
    for signature, opener in OPENERS:
        if start.startswith(signature):
            return opener
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile
    if brands_of(start) & AVIF_BRANDS:
        return AvifImagePlugin.AvifImageFile
    if brands_of(start) & HEIF_BRANDS:
        return heif_opener(name)
    is_transport_stream = start[:1] == start[188:189] == b"G"
    if brands_of(start) or start.startswith(VIDEO_STARTS) or start[8:12] == b"AVI " or is_transport_stream:
        raise MediaError(f'{name} is a video, not an image: give it with --video (in Python as a part of type "video")')
    raise MediaError(
        f"{name} is not in a supported image format: convert it to JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or JPEG 2000"
    )


def is_still(start: bytes) -> bool:
    """Whether a file that begins with `start` is an AVIF or HEIC still, which FFmpeg would read as a video of its parts."""
    brands = brands_of(start)
    return bool(brands & (AVIF_BRANDS | HEIF_BRANDS)) and not brands & SEQUENCE_BRANDS


def is_image(start: bytes) -> bool:
    """Whether a file that begins with `start` is an image in a known format; animations are images too."""
    is_webp = start.startswith(b"RIFF") and start[8:12] == b"WEBP"
    return (
        is_webp
        or start.startswith(tuple(s for s, _ in OPENERS))
        or bool(brands_of(start) & (AVIF_BRANDS | HEIF_BRANDS))
    )


def brands_of(start: bytes) -> frozenset[bytes]:
    """Brands that a file of the MP4 family names in its first box; empty for other files."""
    if start[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return frozenset([start[8:12], *(start[at : at + 4] for at in range(16, end, 4))])


def heif_opener(name: str) -> Opener:
    """Reader for HEIC, from an optional package. Raises MediaError when that is not installed."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise MediaError(
            f'{name} is a HEIC image, which needs an extra: pip install "qwen2vl[heif]", or convert it to JPEG'
        ) from error
    opener: Opener = HeifImageFile
    return opener
