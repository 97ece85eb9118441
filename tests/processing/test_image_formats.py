"""Formats that image files may have, animations as videos, and files that were taken for the other kind."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwen2vl.common.errors import MediaError
from qwen2vl.processing.image_formats import is_image
from qwen2vl.processing.sources import image_header, read_image
from qwen2vl.processing.video import read_video, video_header
from qwen2vl.spec.media_settings import MediaOptions, MediaSettings
from tests.processing.test_video import write_video

SETTINGS = MediaSettings(video_min_pixels=784, video_max_pixels=6 * 784)
QUADRANTS = np.kron(np.arange(20, 241, 60, dtype=np.uint8)[:4].reshape(2, 2), np.ones((20, 32), np.uint8))


def encoded(file_format: str, **options: object) -> bytes:
    written = io.BytesIO()
    Image.fromarray(np.stack([QUADRANTS] * 3, 2)).save(written, file_format, **options)
    return written.getvalue()


def animated(file_format: str, count: int = 8, **options: object) -> bytes:
    """Frames of half a second; each is darker than the next."""
    frames = [Image.new("RGB", (64, 48), (20 + 25 * index,) * 3) for index in range(count)]
    written = io.BytesIO()
    more = {"lossless": True} if file_format == "WEBP" else {}
    frames[0].save(
        written, file_format, save_all=True, append_images=frames[1:], **({"duration": 500} | more | options)
    )
    return written.getvalue()


@pytest.mark.parametrize(
    ("file_format", "options"),
    [("AVIF", {"quality": 95}), ("JPEG2000", {}), ("JPEG2000", {"no_jp2": True}), ("JPEG2000", {"irreversible": True})],
)
def test_newer_formats_are_read(file_format: str, options: dict[str, object]) -> None:
    content = encoded(file_format, **options)
    assert image_header(content, SETTINGS) == (64, 40)
    assert np.abs(np.asarray(read_image(content, SETTINGS)).astype(int) - QUADRANTS[..., None]).max() <= 12
    with pytest.raises(MediaError, match="over the ceiling of 100"):
        read_image(content, MediaSettings(max_decoded_pixels=100))
    with pytest.raises(MediaError, match="damaged or truncated"):
        read_image(content[: len(content) // 2], SETTINGS)


def test_an_avif_is_made_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded("AVIF", exif=exif)
    assert image_header(content, SETTINGS) == read_image(content, SETTINGS).size == (40, 64)


def test_transparency_of_newer_formats_is_laid_over_white() -> None:
    for file_format in ("AVIF", "JPEG2000"):
        written = io.BytesIO()
        Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(written, file_format)
        assert read_image(written.getvalue(), SETTINGS).getpixel((5, 5)) == (255, 255, 255)


def test_heic_is_read_with_its_extra() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    written = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(np.stack([QUADRANTS] * 3, 2))).save(written, quality=95)
    content = written.getvalue()
    assert image_header(content, SETTINGS) == (64, 40)
    assert np.abs(np.asarray(read_image(content, SETTINGS)).astype(int) - QUADRANTS[..., None]).max() <= 12
    with pytest.raises(MediaError, match="is an image, not a video"):
        read_video(content, SETTINGS)


def test_heic_without_its_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    with pytest.raises(MediaError, match=r'HEIC image, which needs an extra: pip install "qwen2vl\[heif\]"'):
        read_image(content, SETTINGS)


@pytest.mark.parametrize("file_format", ["WEBP", "GIF", "PNG", "AVIF"])
def test_animations_are_videos(file_format: str, tmp_path: Path) -> None:
    content = animated(file_format)
    path = tmp_path / "animation"
    path.write_bytes(content)
    for source in (content, path, io.BytesIO(content)):
        video, header = read_video(source, SETTINGS), video_header(source, SETTINGS)
        assert (header.width, header.height, header.frames) == (64, 48, 8)
        assert len(video.frames) == 8
        assert video.timestamps_s == pytest.approx(np.arange(8) / 2, abs=0.01)
        grey = video.frames.astype(int).mean((1, 2, 3))
        assert np.abs(grey - (20 + 25 * np.arange(8))).max() <= 6
    half = read_video(content, SETTINGS, MediaOptions(video_start=1.0, video_end=2.1))
    assert half.timestamps_s == pytest.approx([1.0, 1.5, 2.0, 2.0], abs=0.01)
    assert read_image(content, SETTINGS).getpixel((0, 0))[0] < 27


def test_frames_of_an_animated_webp_are_chosen_by_time() -> None:
    content = animated("WEBP", 10, duration=[100] * 8 + [4000, 100])
    video = read_video(content, SETTINGS, MediaOptions(nframes=4))
    assert video.timestamps_s == pytest.approx([0.0, 0.8, 4.8, 4.8])  # the frame that is shown longest ends at 4.8 s
    assert video.duration_s == pytest.approx(4.9)
    assert video_header(animated("WEBP", 4, duration=0), SETTINGS).duration_s == pytest.approx(0.4)  # as browsers do
    with pytest.raises(MediaError, match="over the ceiling of 100"):
        read_video(content, MediaSettings(max_decoded_pixels=100))
    with pytest.raises(MediaError, match="damaged or truncated"):
        read_video(content[:-40], SETTINGS)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_an_image_in_place_of_a_video_is_named(file_format: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(encoded(file_format))
    for reader in (read_video, video_header):
        with pytest.raises(MediaError, match=r"picture is an image, not a video: give it with --image"):
            reader(path, SETTINGS)


@pytest.mark.parametrize(
    "name", ["film.mp4", "film.mov", "film.mkv", "film.avi", "film.ts", "film.webm", "film.flv", "film.mpg"]
)
def test_a_video_in_place_of_an_image_is_named(name: str, tmp_path: Path) -> None:
    codec = {"webm": "libvpx", "flv": "flv1", "mpg": "mpeg2video"}.get(name[5:], "mpeg4")
    path = write_video(tmp_path / name, num_frames=4, codec=codec, fps=25)
    for reader in (read_image, image_header):
        with pytest.raises(MediaError, match=rf"{name} is a video, not an image: give it with --video"):
            reader(path, SETTINGS)
    assert not is_image(path.read_bytes()[:192])
