"""Every form of image source, every error, and downloads, the only place that opens connections."""

import base64
import io
import os
import socket
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from qwen2vl.common.errors import MediaError
from qwen2vl.processing import fetch as fetching
from qwen2vl.processing.fetch import Target, fetch
from qwen2vl.processing.sources import from_array, image_header, locate, read_image
from qwen2vl.spec.media_settings import MediaSettings

SETTINGS = MediaSettings()
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
LOOPBACK = ("127.0.0.1",)


def encoded(file_format: str = "PNG", pixels: np.ndarray = PIXELS, **options: object) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, file_format, **options)
    return written.getvalue()


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "an image #1?.png"
    path.write_bytes(encoded())
    return path


def test_all_forms_give_the_same_pixels(png: Path) -> None:
    quoted = str(png).replace(" ", "%20")
    written = io.BytesIO()
    Image.fromarray(PIXELS).save(written, "PNG")  # its position is at the end
    unseekable = Unseekable(png.read_bytes())
    assert read_image(written, SETTINGS).size == (30, 20)
    assert written.tell() == len(written.getvalue())
    with Image.open(png) as opened, png.open("rb") as raw:
        forms = [
            str(png), png, os.path.relpath(png), f"file://{quoted}", f"file://localhost{quoted}", f"FILE:{quoted}",
            png.read_bytes(), data_url(png.read_bytes()), opened, PIXELS,
            bytearray(png.read_bytes()), memoryview(png.read_bytes()), io.BytesIO(png.read_bytes()), raw, unseekable,
            torch.from_numpy(PIXELS).permute(2, 0, 1), torch.from_numpy(PIXELS).permute(2, 0, 1) / 255,
        ]  # fmt: skip
        for form in forms:
            image = read_image(form, SETTINGS)
            assert image.mode == "RGB"
            assert (np.asarray(image) == PIXELS).all(), form
            if form is not unseekable:
                assert image_header(form, SETTINGS) == (30, 20)


class Unseekable(io.BytesIO):
    """A pipe: can be read once."""

    def seekable(self) -> bool:
        return False


def test_file_objects_that_cannot_be_read_are_refused(png: Path) -> None:
    closed = png.open("rb")
    closed.close()
    with pytest.raises(
        MediaError, match=r'an image #1\?\.png may not be read: give a file that is open in the mode "rb"'
    ):
        read_image(closed, SETTINGS)
    with pytest.raises(MediaError, match='the file object of the image is open as text: open it in the mode "rb"'):
        read_image(io.StringIO("text"), SETTINGS)
    with pytest.raises(MediaError, match="the file object of the image is empty"):
        read_image(io.BytesIO(), SETTINGS)
    with pytest.raises(MediaError, match="over the ceiling of 10"):
        read_image(io.BytesIO(encoded()), MediaSettings(max_file_bytes=10))


def test_tensors_have_their_channels_first() -> None:
    for channels in (1, 3, 4):
        assert read_image(torch.zeros(channels, 20, 30, dtype=torch.uint8), SETTINGS).size == (30, 20)
    values = torch.rand(3, 20, 30)
    expected = np.asarray(read_image(values.permute(1, 2, 0).numpy(), SETTINGS))
    assert (np.asarray(read_image(values.clone().requires_grad_(), SETTINGS)) == expected).all()
    assert np.abs(np.asarray(read_image(values.bfloat16(), SETTINGS)).astype(int) - expected).max() <= 1
    for wrong in (torch.zeros(20, 30, 3), torch.zeros(20, 30), torch.zeros(2, 3, 20, 30)):
        with pytest.raises(MediaError, match=r"channels first; use permute\(2, 0, 1\) if the channels are last"):
            read_image(wrong, SETTINGS)
    with pytest.raises(MediaError, match=r"must be in 0\.\.1"):
        read_image(torch.full((3, 20, 30), 200.0), SETTINGS)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_supported_formats_are_read(file_format: str) -> None:
    content = encoded(file_format)
    assert read_image(content, SETTINGS).size == image_header(content, SETTINGS) == (30, 20)


@pytest.mark.parametrize("file_format", ["PPM", "ICO", "TGA"])
def test_other_formats_are_refused(file_format: str) -> None:
    with pytest.raises(MediaError, match="not in a supported image format: convert it to JPEG"):
        read_image(encoded(file_format), SETTINGS)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.97])
def test_truncated_files_are_errors(file_format: str, part: float) -> None:
    content = encoded(file_format)
    with pytest.raises(MediaError, match=r"truncated|supported image format"):
        read_image(content[: max(1, int(len(content) * part))], SETTINGS)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_damaged_files_raise_media_errors_only() -> None:
    rng = np.random.default_rng(3)
    for file_format in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        content = encoded(file_format)
        for _ in range(30):
            damaged = bytearray(content)
            for _ in range(4):
                damaged[rng.integers(len(damaged))] = rng.integers(256)
            try:
                read_image(bytes(damaged), SETTINGS)
            except MediaError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_header_and_image_have_the_same_upright_size(orientation: int, file_format: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo"
    path.write_bytes(encoded(file_format, exif=exif))
    expected = (20, 30) if orientation >= 5 else (30, 20)
    assert image_header(path, SETTINGS) == read_image(path, SETTINGS).size == expected
    with Image.open(path) as lazy:
        assert image_header(lazy, SETTINGS) == expected
        assert read_image(lazy, SETTINGS).size == expected


def test_the_header_is_read_without_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [encoded(file_format) for file_format in ("JPEG", "PNG", "TIFF", "BMP")]
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    for content in contents:
        assert image_header(content, SETTINGS) == (30, 20)


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for file_format in ("GIF", "WEBP", "PNG", "TIFF"):
        written = io.BytesIO()
        options = {"lossless": True} if file_format == "WEBP" else {}
        frames[0].save(written, file_format, save_all=True, append_images=frames[1:], **options)
        assert read_image(written.getvalue(), SETTINGS).getpixel((0, 0)) == (255, 0, 0)


def test_arrays_of_every_type_are_read() -> None:
    assert read_image(np.zeros((4, 5), dtype=np.uint8), SETTINGS).size == (5, 4)
    assert read_image(np.zeros((4, 5, 1), dtype=bool), SETTINGS).size == (5, 4)
    assert read_image(np.full((2, 2, 3), 0.5), SETTINGS).getpixel((0, 0)) == (128, 128, 128)
    assert read_image(np.full((2, 2), 65535, dtype=np.uint16), SETTINGS).getpixel((0, 0)) == (255, 255, 255)
    assert read_image(np.zeros((2, 2, 4), dtype=np.uint8), SETTINGS).getpixel((0, 0)) == (255, 255, 255)
    assert (np.asarray(read_image(PIXELS[::-1, ::2], SETTINGS)) == PIXELS[::-1, ::2]).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 2, 3), dtype=np.int64), "type int64"),
        (np.full((2, 2, 3), 200.0), "must be in 0..1"),
        (np.zeros((3, 4, 5, 3), dtype=np.uint8), r"shape \[3, 4, 5, 3\]"),
        (np.zeros((3, 4, 2), dtype=np.uint8), r"shape \[3, 4, 2\]"),
        (np.zeros((0, 4), dtype=np.uint8), r"shape \[0, 4\]"),
    ],
)
def test_other_arrays_are_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        from_array(values)


def test_data_urls_may_have_line_breaks_and_no_padding(png: Path) -> None:
    whole, payload = read_image(png, SETTINGS), base64.encodebytes(png.read_bytes()).decode()
    assert payload.count("\n") > 2
    head = "data:image/png;base64,"
    padded = encoded("PNG") + b"0" * ((1 - len(encoded("PNG"))) % 3)
    assert base64.b64encode(padded).endswith(b"==")
    for url in (
        head + payload,
        head + payload.replace("\n", "\r\n"),
        head + payload.replace("\n", "%0A"),
        head + " " + payload,
        f"\n {head}{payload}",
        f"data:image/png;\n base64,\t{payload}",
        head + base64.b64encode(padded).decode().rstrip("="),
    ):
        assert (np.asarray(read_image(url, SETTINGS)) == np.asarray(whole)).all()
    for damaged in (payload[:-3] + "*\n", payload.replace("\n", "\n*"), "A"):
        with pytest.raises(MediaError, match="damaged base64"):
            read_image(head + damaged, SETTINGS)


def test_wrong_paths_are_errors_that_name_them(tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    text = tmp_path / "notes.png"
    text.write_text("not an image")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    cases = [
        (tmp_path / "none.png", "there is no file .*none.png"),
        (tmp_path, "is a directory, not a file"),
        (empty, "empty.png is empty"),
        (text, "notes.png is not in a supported image format"),
        (pipe, "is not a regular file"),
        ("a\0b", "there is no file"),
        ("", "the path of the image is empty"),
        (b"", "the image in memory is empty"),
        ("ftp://host/a.png", "scheme that is not supported"),
        ("file://host/a.png", "does not name a local file"),
        ("data:image/png,abc", "not in base64"),
        ("data:image/png;base64,???", "damaged base64"),
        ("data:image/png;base64,", "is empty"),
        (7, "of type int"),
        (None, "of type NoneType"),
    ]
    for source, message in cases:
        with pytest.raises(MediaError, match=message) as caught:
            read_image(source, SETTINGS)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_an_error(png: Path) -> None:
    png.chmod(0)
    with pytest.raises(MediaError, match="may not be read"):
        read_image(png, SETTINGS)


def test_files_over_the_ceiling_of_bytes_are_refused(png: Path) -> None:
    local, remote = MediaSettings(max_file_bytes=100), MediaSettings(max_download_bytes=100)
    for source, tight in ((png, local), (png.read_bytes(), local), (data_url(png.read_bytes()), remote)):
        with pytest.raises(MediaError, match="over the ceiling of 100"):
            read_image(source, tight)
    assert read_image(png, remote).size == read_image(data_url(png.read_bytes()), local).size == (30, 20)


def test_local_images_may_have_any_number_of_bytes(tmp_path: Path) -> None:
    path = tmp_path / "large.bmp"
    path.write_bytes(encoded("BMP"))
    os.truncate(path, 300 * 2**20)  # a sparse file: takes no room on the disk
    assert read_image(path, SETTINGS).size == (30, 20)


def test_the_ceiling_of_pixels_is_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    tight = MediaSettings(max_decoded_pixels=599)
    content = encoded()
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    for source in (content, PIXELS, Image.fromarray(PIXELS)):
        with pytest.raises(MediaError, match="30x20 pixels, over the ceiling of 599"):
            read_image(source, tight)
        with pytest.raises(MediaError, match="over the ceiling of 599"):
            image_header(source, tight)


@pytest.mark.parametrize("side", [9_500, 14_000])
def test_the_limit_of_pillow_has_no_effect(side: int) -> None:
    """Pillow would warn from 89 megapixels and raise from 179. The header of a PNG is enough for this test."""
    content = bytearray(encoded())
    content[16:24] = side.to_bytes(4) * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    if side**2 <= SETTINGS.max_decoded_pixels:
        assert image_header(bytes(content), SETTINGS) == (side, side)
    else:
        with pytest.raises(MediaError, match="over the ceiling of 100000000"):
            image_header(bytes(content), SETTINGS)


def test_an_extreme_ratio_of_sides_is_refused() -> None:
    with pytest.raises(MediaError, match="ratio over 200"):
        read_image(np.zeros((1, 201), dtype=np.uint8), SETTINGS)
    assert read_image(np.zeros((1, 200), dtype=np.uint8), SETTINGS).size == (200, 1)


class Handler(BaseHTTPRequestHandler):
    """Answers that depend on the path, without output to the terminal."""

    release = threading.Event()

    def do_GET(self) -> None:
        body = encoded()
        if self.path.startswith("/to/"):  # /to/301/URL
            _, _, status, location = self.path.split("/", 3)
            self.send_response(int(status))
            self.send_header("Location", location)
            self.end_headers()
        elif self.path.startswith("/fine"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        elif self.path.startswith("/endless"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body * 20)
        elif self.path.startswith("/short"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) + 1))
            self.end_headers()
            self.wfile.write(body)
        elif self.path.startswith("/slow"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:10])
            self.release.wait(20)
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        Handler.release.set()
        running.shutdown()
        thread.join()


def test_files_of_an_allowed_host_are_downloaded(server: str) -> None:
    for path in ("/fine", "/fine?a=b c&d=ü"):
        assert read_image(server + path, SETTINGS, LOOPBACK).size == (30, 20)
    with_port = server.removeprefix("http://")
    assert image_header(server + "/fine", SETTINGS, [with_port]) == (30, 20)


@pytest.mark.parametrize("allowed", [(), ("example.org",), ("127.0.0.1:1",)])
def test_other_hosts_are_refused_before_connecting(
    server: str, allowed: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(MediaError, match=r"127\.0\.0\.1 is not an allowed host: .*--allow-host 127\.0\.0\.1"):
        read_image(server + "/fine", SETTINGS, allowed)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/to/304//fine", "status 304"),
        ("/to/302/file:///etc/passwd", "redirects to another scheme than http and https"),
        ("/to/302/ftp://127.0.0.1/a", "redirects to another scheme than http and https"),
        ("/to/302/https:///", "URL is malformed"),
        ("/to/302//missing", "status 404"),
        ("/missing", "status 404"),
        ("/short", "closed the connection early"),
    ],
)
def test_other_responses_are_errors(server: str, path: str, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        read_image(server + path, SETTINGS, LOOPBACK)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_between_allowed_hosts_are_followed(server: str, status: int) -> None:
    elsewhere = server.replace("127.0.0.1", "localhost")
    for path in (f"/to/{status}//fine", f"/to/{status}/fine?a=1", f"/to/{status}/{elsewhere}/fine"):
        path = path.replace("/fine?a=1", "/../../fine?a=1")  # relative to the path that redirects
        assert read_image(server + path, SETTINGS, (*LOOPBACK, "localhost")).size == (30, 20)


def test_three_redirects_are_followed(server: str) -> None:
    three = server + "/to/302/" * 3 + "/fine"
    assert read_image(three, SETTINGS, LOOPBACK).size == (30, 20)
    with pytest.raises(MediaError, match=r"127\.0\.0\.1 redirects over 3 times"):
        read_image(server + "/to/302/" * 4 + "/fine", SETTINGS, LOOPBACK)
    with pytest.raises(MediaError, match="redirects to another address, which is not followed here"):
        read_image(server + "/to/302//fine", MediaSettings(max_redirects=0), LOOPBACK)


def test_a_redirect_to_another_host_is_refused_before_connecting(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    connect = Target.connect
    monkeypatch.setattr(Target, "connect", lambda target, left: asked.append(target.host) or connect(target, left))
    for host in ("localhost", "169.254.169.254", "example.org"):
        with pytest.raises(
            MediaError, match=rf"127\.0\.0\.1 redirects to {host}, which is not an allowed host: .*--allow-host {host}"
        ):
            read_image(f"{server}/to/302/http://{host}/secret", SETTINGS, LOOPBACK)
    assert set(asked) == {"127.0.0.1"}


def test_redirects_share_one_deadline(server: str) -> None:
    with pytest.raises(MediaError, match=r"took over 0\.2 seconds"):
        fetch(server + "/to/302//slow", allowed_hosts=LOOPBACK, max_bytes=10**6, deadline_s=0.2)


@pytest.mark.parametrize("path", ["/fine", "/endless"])
def test_the_body_is_cut_off_at_the_ceiling(server: str, path: str) -> None:
    with pytest.raises(MediaError, match="over the ceiling of 1000 bytes"):
        fetch(server + path, allowed_hosts=LOOPBACK, max_bytes=1000)


def test_one_deadline_covers_everything(server: str) -> None:
    with pytest.raises(MediaError, match=r"took over 0\.2 seconds"):
        fetch(server + "/slow", allowed_hosts=LOOPBACK, max_bytes=10**6, deadline_s=0.2)


def test_a_host_without_a_server_is_an_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(MediaError, match="could not be reached"):
            fetch(f"http://127.0.0.1:{port}/", allowed_hosts=LOOPBACK, max_bytes=10)


def test_a_server_without_tls_is_an_error(server: str) -> None:
    with pytest.raises(MediaError, match="could not be reached"):
        fetch(server.replace("http:", "https:") + "/fine", allowed_hosts=LOOPBACK, max_bytes=10**6)


def test_a_host_name_with_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("127.0.0.1", "10.0.0.8", "169.254.169.254", "::1"):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]
        monkeypatch.setattr(fetching.socket, "getaddrinfo", lambda *_, found=found, **__: found)
        with pytest.raises(MediaError, match="not public"):
            fetch("https://images.example/a.png", allowed_hosts=("images.example",), max_bytes=10)


def test_urls_are_parsed_into_host_port_and_path() -> None:
    target = Target.parse("HTTPS://Bücher.Example.:8443/a b/ü?q=1#part")
    assert (target.secure, target.host, target.port) == (True, "xn--bcher-kva.example", 8443)
    assert target.path == "/a%20b/%C3%BC?q=1"
    assert Target.parse("http://[::1]/").host == "::1"
    for bad in ("http://", "http://user:word@host/a", "http://host:notaport/", "http://[::1/"):
        with pytest.raises(MediaError, match="URL is malformed"):
            Target.parse(bad)


def test_errors_of_locate_name_the_kind_of_media() -> None:
    with pytest.raises(MediaError, match="check the path of the video"):
        locate("nothing.mp4", "video", SETTINGS)
