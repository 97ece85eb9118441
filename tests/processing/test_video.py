"""Frames and times of videos equal those of complete sequential decoding, in many containers and codecs."""

import io
import logging
import os
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qwen2vl.common.errors import MediaError
from qwen2vl.processing.decoding import OpenVideo, Survey
from qwen2vl.processing.images import resize
from qwen2vl.processing.video import _choose, planned_frames, read_video, video_header
from qwen2vl.spec.media_settings import MediaOptions, MediaSettings

SETTINGS = MediaSettings(video_min_pixels=784, video_max_pixels=6 * 784)
MILLISECOND = Fraction(1, 1000)


def make_image(index: int, width: int, height: int) -> np.ndarray:
    """A grey level that identifies the frame, and a bright corner at the top left that shows its orientation."""
    pixels = np.full((height, width, 3), 20 + index * 7 % 180, dtype=np.uint8)
    pixels[: height // 3, : width // 3] = (255, 255 - index % 120, 0)
    return pixels


def write_video(
    path: Path,
    *,
    codec: str = "mpeg4",
    num_frames: int = 40,
    fps: int = 10,
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    times_ms: list[int] | None = None,
    rotation: int | None = None,
    mirrored: bool = False,
    container_options: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        if times_ms:
            stream.time_base = stream.codec_context.time_base = MILLISECOND
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=mirrored)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(make_image(index, *size), format="rgb24")
            frame.pts = times_ms[index] if times_ms else index
            if times_ms:
                frame.time_base = MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def sequential(path: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Times in units of the stream and pixels of all frames, decoded one after the other."""
    with av.open(str(path)) as container:
        frames = [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    times = [index if time is None else time for index, (time, _) in enumerate(frames)]
    return np.array(times), [pixels for _, pixels in frames]


def expected_frames(path: Path, count: int, size: tuple[int, int]) -> list[np.ndarray]:
    times, pixels = sequential(path)
    nearest = [int(np.abs(times - wanted).argmin()) for wanted in np.linspace(times.min(), times.max(), count)]
    return [np.asarray(resize(Image.fromarray(pixels[index]), *size)) for index in nearest]


X264_OPEN = {"x264-params": "open-gop=1:keyint=8:bframes=3:b-pyramid=2:scenecut=0:threads=1"}
VIDEOS: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "h264.mp4": {"codec": "libx264", "options": {"g": "8", "bf": "3"}},
    "open.mp4": {"codec": "libx264", "options": X264_OPEN},
    "open.mkv": {"codec": "libx264", "options": X264_OPEN},
    "open.ts": {"codec": "libx264", "options": X264_OPEN},
    "refresh.mp4": {"codec": "libx264", "options": {"x264-params": "intra-refresh=1:keyint=8:bframes=0"}},
    "raw.h264": {"codec": "libx264", "options": {"g": "8", "bf": "3"}},
    "fragments.mp4": {"options": {"g": "8"}, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "fps": 25, "options": {"g": "8", "bf": "2"}},
    "bframes.avi": {"options": {"g": "8", "bf": "2"}},
    "motion.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "8", "auto-alt-ref": "1", "lag-in-frames": "8"}},
    "animation.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "odd.mkv": {"codec": "ffv1", "size": (63, 47), "pix_fmt": "yuv420p"},
}


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_are_those_of_decoding_everything(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, **VIDEOS[name])
    for count in (4, 14):
        video = read_video(path, SETTINGS, MediaOptions(nframes=count))
        assert video.frames.dtype == np.uint8
        for ours, theirs in zip(video.frames, expected_frames(path, count, video.frames.shape[1:3]), strict=True):
            assert (ours == theirs).all()
        span = 39 / VIDEOS[name].get("fps", 10)
        assert video.timestamps_s == pytest.approx(np.linspace(0, span, count), abs=0.051)
    header = video_header(path, SETTINGS)
    assert (header.width, header.height) == video.original_size == VIDEOS[name].get("size", (64, 48))
    assert header.fps == pytest.approx(VIDEOS[name].get("fps", 10), rel=0.02)
    assert (video.fps, video.duration_s) == (header.fps, header.duration_s)


def test_all_forms_of_source_give_the_same_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a video #1.mp4")
    whole = read_video(path, SETTINGS)
    assert len(whole.frames) == 8  # four seconds at two frames each
    for form in (str(path), f"file://{path}".replace(" ", "%20"), path.read_bytes(), io.BytesIO(path.read_bytes())):
        assert (read_video(form, SETTINGS).frames == whole.frames).all()
        assert video_header(form, SETTINGS) == (64, 48, 4.0, 10.0, 40)


def test_frames_are_chosen_by_time_at_a_variable_rate(tmp_path: Path) -> None:
    """30 frames in the first second, then one per second: a choice by number would take frames of the first second only."""
    times = [33 * i for i in range(30)] + [1000 * i for i in range(1, 11)]
    path = write_video(tmp_path / "phone.mkv", times_ms=times)
    video = read_video(path, SETTINGS, MediaOptions(nframes=6))
    assert video.timestamps_s == pytest.approx([0, 2, 4, 6, 8, 10])
    for ours, theirs in zip(video.frames, expected_frames(path, 6, video.frames.shape[1:3]), strict=True):
        assert (ours == theirs).all()


TENTHS = [100 * i for i in range(40)]


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.mp4", "a.mov", "a.ts", "a.flv"])
@pytest.mark.parametrize("start_ms", [0, 5000])
def test_the_start_time_of_a_container_is_not_duration(name: str, start_ms: int, tmp_path: Path) -> None:
    codec = {"webm": "libvpx", "flv": "flv1"}.get(name[2:], "mpeg4")
    path = write_video(tmp_path / name, codec=codec, times_ms=[start_ms + time for time in TENTHS])
    header, video = video_header(path, SETTINGS), read_video(path, SETTINGS)
    assert header == (64, 48, pytest.approx(4.0, abs=0.01), pytest.approx(10.0, rel=0.01), 40)
    assert video.timestamps_s == pytest.approx(np.linspace(0, 3.9, 8), abs=0.051)


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
def test_longer_sound_is_not_duration(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 64, 48
        sound = container.add_stream("aac", rate=16000, layout="mono")
        for index in range(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(make_image(index, 64, 48), format="rgb24")))
        container.mux(stream.encode(None))
        for index in range(300):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 16000, 1024 * index
            container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    assert video_header(path, SETTINGS) == (64, 48, pytest.approx(4.0, abs=0.01), 10.0, 40)
    assert len(read_video(path, SETTINGS).frames) == 8


def test_frames_that_an_edit_list_cuts_off_are_not_counted(tmp_path: Path) -> None:
    whole, path = write_video(tmp_path / "whole.mp4"), tmp_path / "cut.mp4"
    options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    with av.open(str(whole)) as source, av.open(str(path), "w", options=options) as container:
        stream = source.streams.video[0]
        copy = container.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.pts is None or packet.dts is None:
                continue
            packet.pts, packet.dts, packet.stream = packet.pts - 2 * 10240, packet.dts - 2 * 10240, copy
            container.mux(packet)
    assert video_header(path, SETTINGS) == (64, 48, 2.0, 10.0, 20)
    assert read_video(path, SETTINGS).timestamps_s == pytest.approx([0, 0.6, 1.3, 1.9])


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.mp4", "a.ts"])
@pytest.mark.parametrize("options", [{}, {"nframes": 64}, {"min_frames": 20}, {"fps": 30.0}])
def test_never_more_frames_are_taken_than_exist(
    name: str, options: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(
        tmp_path / name, codec="libvpx" if "webm" in name else "mpeg4", num_frames=3, times_ms=[0, 20_000, 60_000]
    )
    with caplog.at_level(logging.WARNING):
        video = read_video(path, SETTINGS, MediaOptions(**options))
    assert video.timestamps_s == pytest.approx([0, 20, 60, 60], abs=0.01)
    assert (video.frames[3] == video.frames[2]).all()
    assert (video.frames[1] != video.frames[2]).any()
    asked = next(iter(options), "")
    assert (f"has 3 frames, so {asked} {options.get(asked)} is lowered to 4" in caplog.text) == ("frames" in asked)
    header = video_header(path, SETTINGS)
    assert header.frames == 3
    assert planned_frames(header, SETTINGS, MediaOptions(**options)) == 4


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_part_has_no_more_frames_than_exist_in_it(name: str, tmp_path: Path) -> None:
    """Ten frames in the first second, then one every ten seconds."""
    path = write_video(tmp_path / name, num_frames=13, times_ms=[*TENTHS[:10], 10_000, 20_000, 30_000])
    for start, end, expected in ((5.0, 35.0, [10, 20, 30, 30]), (0.35, 0.8, [0.4, 0.5, 0.6, 0.7, 0.8, 0.8])):
        options = MediaOptions(video_start=start, video_end=end, fps=30.0)
        video, header = read_video(path, SETTINGS, options), video_header(path, SETTINGS, options=options)
        assert video.timestamps_s == pytest.approx(expected, abs=0.01)
        assert planned_frames(header, SETTINGS, options) == len(expected)


def test_a_list_is_not_repeated_to_reach_a_number_of_frames(caplog: pytest.LogCaptureFixture) -> None:
    images = [make_image(index, 64, 48) for index in range(3)]
    video = read_video(images, SETTINGS, MediaOptions(nframes=16))
    assert video.timestamps_s == (0.0, 0.5, 1.0, 1.0)
    assert "the list of frames has 3 frames, so nframes 16 is lowered to 4" in caplog.text


@pytest.mark.parametrize(("rotation", "mirrored"), [(90, False), (-90, False), (180, False), (0, True), (90, True)])
def test_the_display_matrix_turns_frames_upright(rotation: int, mirrored: bool, tmp_path: Path) -> None:
    path = write_video(tmp_path / "phone.mp4", rotation=rotation, mirrored=mirrored)
    upright = np.rot90(np.arange(4).reshape(2, 2), rotation // 90)
    upright = upright[:, ::-1] if mirrored else upright
    turned = rotation % 180 == 90
    video = read_video(path, SETTINGS, MediaOptions(resized_height=56, resized_width=56))
    assert video.original_size == ((48, 64) if turned else (64, 48))
    assert video_header(path, SETTINGS)[:2] == video.original_size
    red = video.frames[0, :, :, 0].astype(int)
    corners = np.array([[red[4, 4], red[4, -5]], [red[-5, 4], red[-5, -5]]])
    assert upright.flat[corners.argmax()] == 0  # where the bright corner of the stored image has gone


def test_a_video_of_one_frame_gives_it_twice(tmp_path: Path) -> None:
    video = read_video(write_video(tmp_path / "still.mp4", num_frames=1), SETTINGS)
    assert len(video.frames) == 2
    assert (video.frames[0] == video.frames[1]).all()
    assert video.timestamps_s == (0.0, 0.0)


@pytest.mark.parametrize(
    ("start", "end", "first", "last", "count"),
    [(1.0, 3.0, 1.0, 3.0, 4), (None, 2.0, 0.0, 2.0, 4), (3.0, None, 3.0, 3.9, 4), (1.0, 99.0, 1.0, 3.9, 6)],
)
def test_frames_are_between_start_and_end(
    start: float | None, end: float | None, first: float, last: float, count: int, tmp_path: Path
) -> None:
    path = write_video(tmp_path / "video.mp4", options={"g": "8"})
    video = read_video(path, SETTINGS, MediaOptions(video_start=start, video_end=end))
    assert (video.timestamps_s[0], video.timestamps_s[-1], len(video.frames)) == (first, pytest.approx(last), count)
    times, pixels = sequential(path)
    index = int(np.searchsorted(times, first * times[1] * 10))
    assert (video.frames[0] == np.asarray(resize(Image.fromarray(pixels[index]), *video.frames.shape[1:3]))).all()


@pytest.mark.parametrize(("start", "end"), [(2.0, 1.0), (1.0, 1.0), (4.0, None), (50.0, 60.0), (None, 0.0)])
def test_an_empty_range_is_an_error(start: float | None, end: float | None, tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4")
    with pytest.raises(MediaError, match=r"select nothing of a video of 4\.00 seconds"):
        read_video(path, SETTINGS, MediaOptions(video_start=start, video_end=end))


def test_a_truncated_video_gives_the_number_of_frames_that_its_header_states(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(tmp_path / "video.mp4", num_frames=60, container_options={"movflags": "faststart"})
    whole = read_video(path, SETTINGS)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    with caplog.at_level(logging.WARNING):
        broken = read_video(path, SETTINGS)
    assert "ends after" in caplog.text
    assert broken.frames.shape == whole.frames.shape
    assert broken.timestamps_s[:5] == whole.timestamps_s[:5]
    assert (broken.frames[:5] == whole.frames[:5]).all()
    assert (broken.frames[-1] == broken.frames[-2]).all()
    assert broken.timestamps_s[-1] == broken.timestamps_s[-2] < whole.timestamps_s[-1]


def test_a_damaged_packet_affects_its_own_frames_only(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mov", codec="mjpeg", pix_fmt="yuvj420p")
    whole = read_video(path, SETTINGS, MediaOptions(nframes=40))
    content = bytearray(path.read_bytes())
    starts = [at for at in range(len(content)) if content[at : at + 3] == b"\xff\xd8\xff"]
    content[starts[20] : starts[21]] = bytes(starts[21] - starts[20])
    broken = read_video(bytes(content), SETTINGS, MediaOptions(nframes=40))
    same = [bool((a == b).all()) for a, b in zip(whole.frames, broken.frames, strict=True)]
    assert same == [index != 20 for index in range(40)]
    assert (broken.frames[20] == whole.frames[19]).all()


def test_files_that_are_not_videos_are_refused(tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(write_video(tmp_path / "video.mp4").read_bytes()[:-400])
    half = tmp_path / "half.mp4"
    half.write_bytes((tmp_path / "video.mp4").read_bytes()[:3000])
    photo = tmp_path / "photo.png"
    Image.new("RGB", (40, 40)).save(photo)
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{tmp_path / 'video.mp4'}\n#EXT-X-ENDLIST\n")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    cases = [
        (sound, "contains no video, only sound"),
        (headless, "no video in a supported format, or damaged"),
        (half, "no video in a supported format, or damaged"),
        (photo, "photo.png is an image, not a video: give it with --image"),
        (playlist, "no video in a supported format"),
        (empty, "empty.mp4 is empty"),
        (tmp_path, "is a directory"),
        (tmp_path / "none.mp4", "there is no file"),
        (b"nonsense", "the video in memory is no video"),
        ("concat:a.mp4|b.mp4", "there is no file"),
        ("https://example.org/video.mp4", "not an allowed host"),
        (3, "of type int"),
        ([], "an empty list of frames"),
    ]
    for source, message in cases:
        for reader in (read_video, video_header):
            with pytest.raises(MediaError, match=message) as caught:
                reader(source, SETTINGS)
            assert "\n" not in str(caught.value)


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mov", codec="mjpeg", pix_fmt="yuvj420p", num_frames=3)
    content = path.read_bytes()
    starts = [at for at in range(len(content)) if content[at : at + 3] == b"\xff\xd8\xff"]
    blank = content[: starts[0]] + bytes(content.index(b"moov") - 4 - starts[0]) + content[content.index(b"moov") - 4 :]
    with pytest.raises(MediaError, match="no frame that can be decoded"):
        read_video(blank, SETTINGS)


def test_a_header_with_an_impossible_number_of_frames_is_refused(tmp_path: Path) -> None:
    content = bytearray(
        write_video(tmp_path / "video.mov", codec="mjpeg", pix_fmt="yuvj420p", num_frames=3).read_bytes()
    )
    content[content.index(b"stts") + 12] = 0x80  # of the first run of frames, its length
    for reader in (read_video, video_header):
        with pytest.raises(MediaError, match="states 2147483651 frames: its header is damaged"):
            reader(bytes(content), SETTINGS)


def test_videos_over_a_ceiling_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4")
    with pytest.raises(MediaError, match="64x48 pixels, over the ceiling of 3000"):
        read_video(path, MediaSettings(max_decoded_pixels=3000))
    with pytest.raises(MediaError, match="bytes, over the ceiling of 1000"):
        read_video(path, MediaSettings(max_file_bytes=1000))
    with pytest.raises(MediaError, match="over the cap of 16384"):
        read_video(path, MediaSettings(video_max_tokens=16384), MediaOptions(resized_height=2800, resized_width=2800))


def test_local_videos_may_have_any_number_of_bytes(tmp_path: Path) -> None:
    for name in ("large.mp4", "large.avi"):
        path = write_video(tmp_path / name)
        os.truncate(path, 300 * 2**20)  # a sparse file: takes no room on the disk
        assert len(read_video(path, SETTINGS).frames) == 8


def test_a_list_of_frames_is_a_video() -> None:
    images = [make_image(index, 64, 48) for index in range(5)]
    buffer = io.BytesIO()
    Image.fromarray(images[1]).save(buffer, "PNG")
    mixed = [images[0], buffer.getvalue(), Image.fromarray(images[2]), *images[3:]]
    video = read_video(mixed, SETTINGS)
    assert video.timestamps_s == (0.0, 0.5, 1.0, 1.5, 2.0, 2.0)
    assert (video.original_size, video.fps, video.duration_s) == ((64, 48), 2.0, 2.5)
    for ours, index in zip(video.frames, [0, 1, 2, 3, 4, 4], strict=True):
        assert (ours == np.asarray(resize(Image.fromarray(images[index]), *video.frames.shape[1:3]))).all()
    assert (read_video(np.stack(images), SETTINGS).frames == video.frames).all()
    tensor = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    assert (read_video(tensor, SETTINGS).frames == video.frames).all()
    assert (read_video(list(tensor), SETTINGS).frames == video.frames).all()
    assert video_header(mixed, SETTINGS) == (64, 48, 2.5, 2.0, 5)


def test_frames_of_a_list_are_left_out_on_request_only() -> None:
    images = [make_image(index, 56, 56) for index in range(20)]
    assert len(read_video(images, SETTINGS).frames) == 20
    assert read_video(images, SETTINGS, MediaOptions(fps=1.0)).timestamps_s[:3] == (0.0, 1.0, 2.0)
    assert len(read_video(images, SETTINGS, MediaOptions(nframes=4)).frames) == 4
    assert len(read_video(images, SETTINGS, MediaOptions(max_frames=6)).frames) == 6
    with pytest.raises(MediaError, match="not a list of frames"):
        read_video(images, SETTINGS, MediaOptions(video_start=1.0))


def test_frames_of_other_sizes_are_resized_to_the_first() -> None:
    video = read_video([make_image(0, 64, 48), make_image(1, 100, 30)], SETTINGS, MediaOptions())
    assert video.frames.shape[0] == 2
    assert video.original_size == (64, 48)


def test_transparent_videos_are_composed_over_white(tmp_path: Path) -> None:
    path = tmp_path / "clear.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = 56, 56, "bgra"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((56, 56, 4), np.uint8), format="bgra")))
        container.mux(stream.encode(None))
    assert (read_video(path, SETTINGS).frames == 255).all()


def test_groups_without_a_chosen_frame_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "video.mp4", num_frames=200, options={"g": "10"})
    fed: list[bool] = []
    original = OpenVideo.decode
    monkeypatch.setattr(OpenVideo, "decode", lambda *given: fed.append(given[1] is not None) or original(*given))
    read_video(path, SETTINGS, MediaOptions(nframes=4))
    assert sum(fed) < 60


def needs(keys: str, targets: str, early: str = "") -> str:
    """The packets that a video written as text needs: K = key frame, x = target, e = target shown before its key frame."""
    length = len(keys)
    times = np.arange(length) * 10
    for at, mark in enumerate(early.ljust(length)):
        if mark == "e":
            times[at] = times[keys.rindex("K", 0, at)] - 5
    marked = [at for at in range(length) if targets[at] == "x"]
    survey = Survey(
        first=av.VideoFrame(2, 2),
        times=times,
        is_key=np.array([mark == "K" for mark in keys]),
        is_shown=np.ones(length, dtype=bool),
        is_timed=True,
    )
    return "".join("1" if need else "0" for need in survey.needed(times[marked]))


def test_packets_are_needed_from_the_key_frame_to_the_last_target_of_a_group() -> None:
    assert needs("K...K...K...", ".....x......") == "000011000000"
    assert needs("K...K...K...", "x..........x") == "100000001111"
    assert needs("K...K...K...", ".....x......", "     e") == "111111000000"
    assert needs("..K...", ".x...x") == "111111"


@settings(deadline=None, max_examples=100)
@given(
    gaps=st.lists(st.floats(0.001, 5), min_size=1, max_size=60),
    count=st.integers(1, 40),
    begin=st.floats(0, 30),
    length=st.floats(0.01, 100),
)
def test_chosen_frames_are_the_nearest(gaps: list[float], count: int, begin: float, length: float) -> None:
    seconds = np.concatenate([[0.0], np.cumsum(gaps)])
    chosen = _choose(seconds, begin, begin + length, count, 0.0)
    inside = seconds[(seconds >= begin) & (seconds <= begin + length)]
    if 0 < len(inside) <= count:
        assert seconds[chosen].tolist() == [*inside, *[inside[-1]] * (count - len(inside))]
        return
    low, high = (inside[0], inside[-1]) if len(inside) else (begin, begin)
    wanted = np.linspace(low, high, count)
    assert (np.diff(chosen) >= 0).all()
    assert np.allclose(np.abs(seconds[chosen] - wanted), np.abs(seconds[:, None] - wanted).min(axis=0))


def test_memory_depends_on_the_chosen_frames(tmp_path: Path) -> None:
    """A minute at 320x240 is 346 MB of pixels; reading eight frames must need a fraction of that memory."""
    path = write_video(tmp_path / "long.mp4", num_frames=1500, fps=25, size=(320, 240), options={"g": "250"})
    script = f"""
        import resource
        from qwen2vl.processing.video import read_video
        from qwen2vl.spec.media_settings import MediaOptions, MediaSettings
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        video = read_video({str(path)!r}, MediaSettings(), MediaOptions(nframes=8))
        assert video.frames.shape[0] == 8
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert float(done.stdout) < 80
