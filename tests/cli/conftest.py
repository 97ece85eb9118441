"""The command line run in this process, and files to run it on."""

import io
import sys
from dataclasses import dataclass

import av
import numpy as np
import pytest
import torch

from qwen2vl.cli import terminal
from qwen2vl.cli.main import main
from qwen2vl.model.checkpoint.tensor_files import StoredTensor


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The taught model is too small for more threads to help."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch):
    """run("chat", "--image", path, "question") -> Result; stdin is an empty pipe unless `piped`, text or bytes, fills it."""

    def call(*argv, piped=""):
        text = io.StringIO(piped) if isinstance(piped, str) else io.TextIOWrapper(io.BytesIO(piped))
        monkeypatch.setattr(sys, "stdin", text)
        monkeypatch.setattr(terminal, "PATIENCE_S", 600)  # or a slow machine would tell of waiting
        capsys.readouterr()
        code = main([str(word) for word in argv])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def no_tensor_can_be_read(monkeypatch):
    """Headers of checkpoints can be read, their data cannot."""

    def read(stored):
        raise AssertionError(f"{stored.name} was read")

    monkeypatch.setattr(StoredTensor, "read", read)


@pytest.fixture(scope="session")
def files(tmp_path_factory, photo):
    """A directory with an image, a video and broken ones."""
    folder = tmp_path_factory.mktemp("files")
    photo.save(folder / "photo.png")
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("these are words")
    (folder / "cut.png").write_bytes((folder / "photo.png").read_bytes()[:-100])
    (folder / "empty.mp4").touch()
    (folder / "notes.mp4").write_text("these are words")
    write_video(folder / "video.mp4", 8)
    with av.open(str(folder / "sound.wav"), "w") as container:  # a video file without a video in it
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    return folder


def write_video(path, count, width=96, height=64):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height = width, height
        for number in range(count):
            pixels = np.full((height, width, 3), 20 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
