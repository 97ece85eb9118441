"""Opening images in every form that a message may contain; all limits are checked before anything is decoded.

`locate` is for videos too: it finds the file of a path, URL or bytes. `images` converts modes and orientations into upright
RGB, `fetch` opens connections.
"""

import base64
import binascii
import contextlib
import io
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from qwen2vl.common.errors import MediaError
from qwen2vl.processing.fetch import fetch
from qwen2vl.processing.image_formats import find_opener
from qwen2vl.processing.images import exif_orientation, to_8_bits, to_rgb
from qwen2vl.spec.media_settings import MediaSettings
from qwen2vl.spec.resize import MAX_RATIO

Source = Any
"""Path, file:// URL, data: URL, http(s) URL, the file's bytes, a binary file object, a PIL image, an array [H, W] or
[H, W, 1 | 3 | 4], or a torch tensor [1 | 3 | 4, H, W], channels first as in torchvision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A file that exists, is not empty and is not larger than the limit."""

    name: str
    """Name of the file in messages."""
    file: Path | bytes

    @classmethod
    def in_memory(cls, name: str, content: bytes, ceiling: int | None) -> Self:
        """The content of a file. Raises MediaError when it is empty or has over `ceiling` bytes."""
        _check_bytes(len(content), name, ceiling)
        return cls(name=name, file=content)

    @classmethod
    def on_disk(cls, path: Path, kind: str, settings: MediaSettings) -> Self:
        """The file at a path. Raises MediaError when there is none, or it is empty or too large."""
        name = str(path)
        try:
            found = path.stat()
        except PermissionError as error:
            raise MediaError(f"{name} may not be read: check its permissions") from error
        except (OSError, ValueError) as error:  # ValueError: a null character in the path
            raise MediaError(f"there is no file {name!r}: check the path of the {kind}") from error
        if stat.S_ISDIR(found.st_mode):
            raise MediaError(f"{name} is a directory, not a file: name one {kind} in it")
        if not stat.S_ISREG(found.st_mode):
            raise MediaError(f"{name} is not a regular file: copy the {kind} into one")
        _check_bytes(found.st_size, name, settings.max_file_bytes)
        return cls(name=name, file=path)

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The open file. Raises MediaError when it may not be read."""
        if isinstance(self.file, bytes):
            yield io.BytesIO(self.file)
            return
        try:
            opened = self.file.open("rb")
        except OSError as error:
            raise MediaError(f"{self.name} may not be read: check its permissions") from error
        with opened:
            yield opened


def read_image(source: Source, settings: MediaSettings, allowed_hosts: Sequence[str] = ()) -> Image.Image:
    """The image as upright 8-bit RGB; the first frame of an animated file.

    Raises MediaError when it cannot be found or read, is damaged or truncated, is in a format that `image_formats` does not
    list, or exceeds a limit of `settings`.
    """
    with _opened(source, settings, allowed_hosts) as (image, name):
        with translated(name):
            image.load()
        return to_rgb(image)


class ImageHeader(NamedTuple):
    """Facts from the header of an image; width and height are those of the upright image."""

    width: int
    height: int
    orientation: int
    """EXIF, 1 = as stored."""


def probe_image(source: Source, settings: MediaSettings, allowed_hosts: Sequence[str] = ()) -> ImageHeader:
    """Size and orientation of an image, without decoding it. Raises MediaError like `read_image`."""
    with _opened(source, settings, allowed_hosts) as (image, name), translated(name):
        return ImageHeader(*upright_size(image), exif_orientation(image))


def image_header(source: Source, settings: MediaSettings, allowed_hosts: Sequence[str] = ()) -> tuple[int, int]:
    """Width and height of the upright image, without decoding it. Raises MediaError like `read_image`."""
    return probe_image(source, settings, allowed_hosts)[:2]


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of the upright image."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return image.size  # only for TIFFs Pillow reports the upright size before loading
    return image.size if exif_orientation(image) < 5 else image.size[::-1]


@contextlib.contextmanager
def _opened(source: Source, settings: MediaSettings, allowed_hosts: Sequence[str]) -> Iterator[tuple[Image.Image, str]]:
    """The image before decoding, with its size checked, and its name in messages."""
    if is_tensor(source):
        source = array_from_tensor(source)
    if isinstance(source, Image.Image | np.ndarray):
        image = source if isinstance(source, Image.Image) else from_array(source)
        check_size(image, "the image in memory", settings)
        yield image, "the image in memory"
        return
    located = locate(source, "image", settings, allowed_hosts)
    with located.open() as file:
        opener = find_opener(file, located.name)
        with translated(located.name):
            image = opener(file, "")
        check_size(image, located.name, settings)
        yield image, located.name


@contextlib.contextmanager
def translated(name: str) -> Iterator[None]:
    """Translate errors of Pillow: its readers raise nearly every kind of exception for damaged files."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise MediaError(f"{name} has more pixels than any ceiling allows: make it smaller") from error
    except Exception as error:
        raise MediaError(f"{name} is damaged or truncated: save or download it again") from error


def check_size(image: Image.Image, name: str, settings: MediaSettings) -> None:
    """Raise MediaError when an undecoded image is over the ceiling of pixels or too narrow."""
    width, height = image.size
    if width * height > settings.max_decoded_pixels:
        raise MediaError(
            f"{name} has {width}x{height} pixels, over the ceiling of {settings.max_decoded_pixels}: "
            "make it smaller, or raise the ceiling with --max-decoded-pixels (max_decoded_pixels in Python)"
        )
    if min(width, height) < 1 or max(width, height) > MAX_RATIO * min(width, height):
        raise MediaError(
            f"{name} has {width}x{height} pixels, sides in a ratio over {MAX_RATIO}: crop it or stack its parts"
        )


def from_array(values: NDArray[Any]) -> Image.Image:
    """An array [H, W] or [H, W, 1 | 3 | 4] as an image: uint8, bool, uint16 in full range, or floats 0..1.

    Raises MediaError for other shapes and types, and for floats outside 0..1.
    """
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)) or not values.size:
        raise MediaError(
            f"an image array has the shape {list(values.shape)}: it must be [height, width] or [height, width, 3 or 4]"
        )
    if values.dtype == bool or np.issubdtype(values.dtype, np.floating):
        values = to_8_bits(values, 1)
    elif values.dtype == np.uint16:
        values = to_8_bits(values, 65535)
    elif values.dtype != np.uint8:
        raise MediaError(
            f"an image array has the type {values.dtype.name}: it must be uint8, uint16, bool or floats in 0..1"
        )
    return Image.fromarray(np.ascontiguousarray(values))


def is_tensor(source: Any) -> bool:
    """Whether a value is a torch tensor; torch is not imported to find out."""
    return type(source).__module__.split(".")[0] == "torch" and hasattr(source, "detach")


def array_from_tensor(values: Any) -> NDArray[Any]:
    """Array [H, W, C] of a torch tensor [C, H, W], C = 1, 3 or 4: uint8, or floats 0..1. Raises MediaError for other shapes."""
    if values.ndim != 3 or values.shape[0] not in (1, 3, 4):
        raise MediaError(
            f"an image tensor has the shape {list(values.shape)}: it must be [1, 3 or 4, height, width], channels first; "
            "use permute(2, 0, 1) if the channels are last"
        )
    values = values.detach().cpu()
    return (values.float() if values.is_floating_point() else values).permute(1, 2, 0).numpy()


def read_file_object(source: Any, kind: str) -> tuple[str, bytes]:
    """Name and whole content of a binary file object, also when its position is at the end, as after writing into it.

    A file that cannot seek is read from where it is. Raises MediaError when it is closed, or opened as text.
    """
    name = getattr(source, "name", None)
    name = name if isinstance(name, str) else f"the file object of the {kind}"
    try:
        can_seek = source.seekable()
        before = source.tell() if can_seek else 0
        if can_seek:
            source.seek(0)
        content = source.read()
        if can_seek:
            source.seek(before)
    except (OSError, ValueError, AttributeError) as error:  # ValueError: closed, or text that is not UTF-8
        raise MediaError(f'{name} may not be read: give a file that is open in the mode "rb"') from error
    if not isinstance(content, bytes):
        raise MediaError(f'{name} is open as text: open it in the mode "rb"')
    return name, content


def locate(source: Any, kind: str, settings: MediaSettings, allowed_hosts: Sequence[str] = ()) -> Located:
    """The file of a path, URL or bytes; `kind` is its name in messages.

    Raises MediaError when the file does not exist, is a directory or empty, is over a ceiling of `settings`, is on a host that
    is not allowed, or when `source` has none of these forms.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return Located.in_memory(f"the {kind} in memory", bytes(source), settings.max_file_bytes)
    if hasattr(source, "read"):
        return Located.in_memory(*read_file_object(source, kind), settings.max_file_bytes)
    if isinstance(source, Path):
        return Located.on_disk(source, kind, settings)
    if not isinstance(source, str):
        raise MediaError(
            f"{kind} source is of type {type(source).__name__}: give a path, a URL, bytes, a file object, "
            "a PIL image, an array or a tensor"
        )
    url = source.strip()  # a URL from a file ends with a line break
    scheme, colon, rest = url.partition(":")
    match scheme.lower() if colon else "":
        case "data":
            content = _from_data_url(rest, kind, settings)
            return Located.in_memory(f"the data URL of the {kind}", content, settings.max_download_bytes)
        case "http" | "https":
            body = fetch(
                url,
                allowed_hosts=allowed_hosts,
                max_bytes=settings.max_download_bytes,
                max_redirects=settings.max_redirects,
            )
            return Located.in_memory(f"the {kind} from the network", body, settings.max_download_bytes)
        case "file":
            return Located.on_disk(_from_file_url(rest, url), kind, settings)
    if rest.startswith("//"):
        raise MediaError(
            f"{source} has a scheme that is not supported: use a path, file://, data:, https:// or http://"
        )
    if not source:
        raise MediaError(f"the path of the {kind} is empty: name a file")
    return Located.on_disk(Path(source), kind, settings)


def _check_bytes(size: int, name: str, ceiling: int | None) -> None:
    if size == 0:
        raise MediaError(f"{name} is empty, 0 bytes: save or download it again")
    if ceiling is not None and size > ceiling:
        raise MediaError(f"{name} has {size} bytes, over the ceiling of {ceiling}: use a smaller file")


def _from_data_url(rest: str, kind: str, settings: MediaSettings) -> bytes:
    """Content of `data:image/png;base64,....`, without "data:"; blanks, line breaks and missing "=" are as good as none."""
    head, comma, payload = rest.partition(",")
    if not comma or not "".join(head.split()).lower().endswith(";base64"):
        raise MediaError(f"the data URL of the {kind} is not in base64: it must look like data:image/png;base64,...")
    raw = unquote_to_bytes(payload) if "%" in payload else payload.encode("ascii", "replace")
    raw = b"".join(raw.split())  # base64 of GNU and of Python's encodebytes wraps lines
    if len(raw) // 4 * 3 > settings.max_download_bytes + 3:
        _check_bytes(len(raw) // 4 * 3, f"the data URL of the {kind}", settings.max_download_bytes)
    try:
        return base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaError(f"the data URL of the {kind} has damaged base64: encode the file again") from error


def _from_file_url(rest: str, url: str) -> Path:
    """Path of `file:///a/b%20c.png`, without "file:"; "#" and "?" are taken as part of the name."""
    local = rest.removeprefix("//")
    local = local.removeprefix("localhost") if rest.startswith("//") else local
    if not local.startswith("/"):
        raise MediaError(f"{url} does not name a local file: it must look like file:///directory/file")
    return Path(unquote(local))
