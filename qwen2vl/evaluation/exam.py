"""nano's exams: held-out items, stored, so that scores repeat exactly and need no fonts, no browser, no plotting library.

EXAM.zip / items.jsonl    one item a line; media are names of files beside it
         / media/*        images as lossless WebP, or as JPEG where noise would make that far larger
A video is {"strip": image of its different frames one under the other, "frames": [0, 0, 1, ...]}, which of them come when.
In the exam `nano`, which is older, it is a list of images. What is equal is stored once.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from PIL import Image

from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.evaluation.judging import ExamItem
from qwen2vl.evaluation.report import Aims


class DrawnItem(Protocol):
    """What a maker gives: messages with PIL images, and the truth."""

    @property
    def messages(self) -> list[dict[str, Any]]: ...
    @property
    def truth(self) -> dict[str, Any]: ...


Maker = Callable[[Random], DrawnItem]
Drawer = Callable[[Sequence[Random]], Sequence[DrawnItem]]
"""Draws many items at once, each from a source of its own: browsers start slowly."""

ITEMS_PER_TASK = 300
DRAWN_TOGETHER = 50
MOST_BYTES = 25_000_000
"""Of one archive: it travels with the package."""
JPEG_QUALITY = 90
JPEG_SAVES = 0.8
"""A JPEG must be under this share of the lossless file to be taken; only noisy images and photographs are."""
LONGEST_STRIP = 16_383
"""Pixels; the most that WebP holds."""

AIMS = Aims(
    floors={
        "colour_shape": (0.95, 0.99),
        "glyph_name": (0.95, 0.99),
        "count_nine": (0.75, 0.95),
        "glyph_ground": (0.75, 0.95),
        "ground": (0.75, 0.95),
        "screen/point": (0.80, 0.97),
        "read_word": (0.75, 0.97),
        "read_line": (0.60, 0.95),
        "receipt": (0.50, 0.90),
        "chart_value": (0.40, 0.85),
        "motion": (0.95, 0.99),
        "order": (0.85, 0.97),
        "late": (0.75, 0.95),
        "compare": (0.80, 0.97),
    },
    twins={
        "transfer_page": "receipt",
        "transfer_screen": "screen",
        "transfer_chart": "chart_value",
        "transfer_line": "read_line",
        "transfer_photo": "read_word",
    },
)
FIRST_AIMS = Aims(
    floors={
        "colour_shape": (0.95, 0.99),
        "count": (0.80, 0.95),
        "ground": (0.70, 0.90),
        "screen": (0.70, 0.90),
        "motion": (0.90, 0.99),
        "order": (0.75, 0.95),
        "compare": (0.75, 0.95),
        "read_word": (0.60, 0.90),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """A packaged exam."""

    path: Path
    aims: Aims
    max_new_tokens: int
    """Longest answer; more than any right one needs."""


_EXAMS = Path(__file__).resolve().parent.parent / "nano" / "exams"
EXAMS = {
    "exam": Exam(path=_EXAMS / "exam.zip", aims=AIMS, max_new_tokens=192),
    "nano": Exam(path=_EXAMS / "nano.zip", aims=FIRST_AIMS, max_new_tokens=64),
}


def write_exam(
    path: Path,
    makers: Mapping[str, Maker],
    items_per_task: int = ITEMS_PER_TASK,
    *,
    drawers: Mapping[str, Drawer] | None = None,
    exact: Collection[str] = (),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """Make so many items of every task and store them under its name, those of `drawers` last; returns bytes of media by task.

    Item n of a task comes from Random("test/TASK/n"). `exact` are tasks whose images are never stored as JPEG. The
    description of the drawn scene is left out of the truth: scoring needs none of it. The archive appears whole or not at
    all. on_progress: items made, of how many. Raises Qwen2VLError over MOST_BYTES.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    drawing = {task: _one_by_one(maker) for task, maker in makers.items()} | dict(drawers or {})
    lines: list[str] = []
    sizes: dict[str, int] = {}
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            media = _Media(archive)
            for task, drawer in drawing.items():
                before = media.bytes
                for first in range(0, items_per_task, DRAWN_TOGETHER):
                    numbers = range(first, min(first + DRAWN_TOGETHER, items_per_task))
                    items = drawer([Random(f"test/{task}/{number}") for number in numbers])
                    for number, item in zip(numbers, items, strict=True):
                        lines.append(_line(f"{task}-{number}", task, item, media, task in exact))
                    on_progress(len(lines), items_per_task * len(drawing))
                sizes[task] = media.bytes - before
            archive.writestr(zipfile.ZipInfo("items.jsonl"), "".join(lines), zipfile.ZIP_DEFLATED, 9)
        _refuse_large(temporary, sizes)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return sizes


def _one_by_one(maker: Maker) -> Drawer:
    return lambda sources: [maker(rng) for rng in sources]


def _line(id: str, task: str, item: DrawnItem, media: "_Media", exact: bool) -> str:
    truth = {key: value for key, value in item.truth.items() if key != "scene"}
    messages = _replace_parts(
        item.messages,
        lambda image: media.store(image, exact),
        lambda frames: media.store_video(frames, exact),
    )
    return json.dumps({"id": id, "task": task, "messages": messages, "truth": truth}, ensure_ascii=False) + "\n"


def _refuse_large(path: Path, sizes: Mapping[str, int]) -> None:
    size = path.stat().st_size
    if size > MOST_BYTES:
        largest = sorted(sizes, key=lambda task: -sizes[task])[:5]
        told = ", ".join(f"{task} {sizes[task] / 1e6:.1f}" for task in largest)
        raise Qwen2VLError(
            f"the exam would have {size / 1e6:.1f} MB, over {MOST_BYTES / 1e6:.0f}: draw fewer items or smaller images; "
            f"the largest are {told} MB"
        )


class _Media:
    """Puts images into an archive, each but once."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.names: dict[tuple[bytes, bool], str] = {}
        self.bytes = 0
        """Stored so far."""

    def store(self, image: Image.Image, exact: bool) -> str:
        """The name under which the image is stored."""
        image = image.convert("RGB")
        key = _digest(image), exact
        if key not in self.names:
            ending, content = encode(image, exact)
            self.names[key] = f"media/{len(self.names):05d}.{ending}"
            self.archive.writestr(zipfile.ZipInfo(self.names[key]), content)
            self.bytes += len(content)
        return self.names[key]

    def store_video(self, frames: list[Image.Image], exact: bool) -> dict[str, Any]:
        places: dict[bytes, int] = {}
        order = [places.setdefault(_digest(frame), len(places)) for frame in frames]
        different = [frames[order.index(place)] for place in range(len(places))]
        width, height = frames[0].size
        assert all(frame.size == (width, height) for frame in frames), "frames of one video have one size"
        assert height * len(different) <= LONGEST_STRIP, (
            f"{len(different)} frames of {height} pixels are too tall a strip"
        )
        strip = Image.new("RGB", (width, height * len(different)))
        for place, frame in enumerate(different):
            strip.paste(frame, (0, place * height))
        return {"strip": self.store(strip, exact), "frames": order}


def _digest(image: Image.Image) -> bytes:
    return hashlib.sha256(repr((image.size, image.mode)).encode() + image.tobytes()).digest()


def encode(image: Image.Image, exact: bool) -> tuple[str, bytes]:
    """Ending and content of the file of an RGB image: lossless, unless `exact` is False and a JPEG is far smaller."""
    lossless = _saved(image, "WEBP", lossless=True, quality=100, method=4, exact=True)
    jpeg = b"" if exact else _saved(image, "JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True)
    return ("jpg", jpeg) if jpeg and len(jpeg) < JPEG_SAVES * len(lossless) else ("webp", lossless)


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def count_items(path: Path) -> dict[str, int]:
    """Task -> number of its items, in the order of the exam. Raises Qwen2VLError for what is no exam."""
    counts: dict[str, int] = {}
    with _opened(path) as archive:
        for line in _lines(archive):
            counts[line["task"]] = counts.get(line["task"], 0) + 1
    return counts


def read_exam(
    path: Path, tasks: Collection[str] | None = None, ids: Collection[str] | None = None, without: Collection[str] = ()
) -> Iterator[ExamItem]:
    """The stored items in their order, images as PIL images: all of them, those of these tasks, those with these ids.

    `without` are ids to leave out.

    Raises Qwen2VLError for what is no exam.
    """
    with _opened(path) as archive:

        def load(name: str) -> Image.Image:
            return Image.open(io.BytesIO(archive.read(name))).convert("RGB")

        def load_video(video: dict[str, Any] | list[str]) -> list[Image.Image]:
            if isinstance(video, list):
                return [load(name) for name in video]
            strip = load(video["strip"])
            height = strip.height // (max(video["frames"]) + 1)
            return [strip.crop((0, place * height, strip.width, (place + 1) * height)) for place in video["frames"]]

        for line in _lines(archive):
            wanted = (tasks is None or line["task"] in tasks) and (ids is None or line["id"] in ids)
            if wanted and line["id"] not in without:
                yield ExamItem(**line | {"messages": _replace_parts(line["messages"], load, load_video)})


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise Qwen2VLError(
            f'there is no exam "{path.name}" in this installation: install the whole of qwen2vl'
        ) from error
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise Qwen2VLError(f'the exam "{path.name}" of this installation is damaged: install qwen2vl again') from error


def _lines(archive: zipfile.ZipFile) -> Iterator[dict[str, Any]]:
    with archive.open("items.jsonl") as file:
        for line in file:
            yield json.loads(line)


def _replace_parts(
    messages: list[dict[str, Any]], image: Callable[[Any], Any], video: Callable[[Any], Any]
) -> list[dict[str, Any]]:
    """A copy of the messages with every image put through one function and every video through the other."""
    change = {"image": image, "video": video}

    def part(content: dict[str, Any]) -> dict[str, Any]:
        kind = content["type"]
        return content | {kind: change[kind](content[kind])} if kind in change else content

    return [
        message if isinstance(message["content"], str) else message | {"content": [part(p) for p in message["content"]]}
        for message in messages
    ]
