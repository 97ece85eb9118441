"""Exam items, and the archive that stores them: scores then repeat exactly and need no fonts, browser or plotting library.

    EXAM.zip / items.jsonl    one item per line; media are names of files in the archive
             / media/*        images as lossless WebP, or as JPEG where noise would make that far larger

A video is {"strip": image of its different frames, one below the other, "frames": [0, 0, 1, ...]}: the frame of the strip
that is shown at each time. Equal images are stored once.

The truth of an item has one of five kinds:

    {"kind": "text", "accept": ["red circle", ...]}              one of these texts; with "metric": "anls" a similar text
    {"kind": "number", "value": 12.0, "tolerance": 0.05}         ChartQA's relaxed accuracy; value may be a text: "5%", "blue"
    {"kind": "box", "box_px": [x1, y1, x2, y2], ...}             a box with an IoU of at least 0.5
    {"kind": "point", "box_px": [x1, y1, x2, y2], ...}           a point inside the box
    {"kind": "action", "name": "Tap", "box_px": ..., "text": ...}  an agent's call: its name, and its point and text if given

Boxes are in pixels of the last image; a place on another image is wrong. How answers are scored: `judging`. Which exams
exist: `exam`.
"""

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from qwen2vl.common.errors import Qwen2VLError

MOST_BYTES = 25_000_000
"""Largest size of an archive: it is part of the installed package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamItem:
    """One question with the facts that judge its answer."""

    id: str
    task: str
    messages: list[dict[str, Any]]
    """A conversation whose last turn is the question; media are PIL images, videos are lists of them."""
    truth: dict[str, Any]
    """One of the kinds above; other keys inform readers only."""


def counted_media(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The parts that `image_index` of a place counts, in textual order: the images, or the videos if there are no images."""
    parts = [part for message in messages if not isinstance(message["content"], str) for part in message["content"]]
    images, videos = ([part for part in parts if part["type"] == kind] for kind in ("image", "video"))
    return images or videos


def write_items(path: Path, items: Iterable[ExamItem], *, exact: Collection[str] = ()) -> dict[str, int]:
    """Store items in an archive and return the bytes of media by task.

    The archive appears whole or not at all. Images of the tasks in `exact` are never stored as JPEG. Raises Qwen2VLError
    if the archive is larger than MOST_BYTES.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    lines: list[str] = []
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            media = _MediaWriter(archive)
            for item in items:
                media.start_item(item.task, exact=item.task in exact)
                messages = _replace_media(item.messages, media.store_image, media.store_video)
                fields = {"id": item.id, "task": item.task, "messages": messages, "truth": item.truth}
                lines.append(json.dumps(fields, ensure_ascii=False) + "\n")
            archive.writestr(zipfile.ZipInfo("items.jsonl"), "".join(lines), zipfile.ZIP_DEFLATED, 9)
        if (size := temporary.stat().st_size) > MOST_BYTES:
            largest = ", ".join(f"{task} {of_task / 1e6:.1f}" for task, of_task in media.sizes.most_common(5))
            raise Qwen2VLError(
                f"the exam would have {size / 1e6:.1f} MB, over {MOST_BYTES / 1e6:.0f}: draw fewer items or smaller "
                f"images; the largest tasks are {largest} MB"
            )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return dict(media.sizes)


class _MediaWriter:
    """Stores images in an archive, equal ones once, and counts their bytes by task."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.sizes: Counter[str] = Counter()
        self._names: dict[tuple[bytes, bool], str] = {}
        self._task, self._exact = "", True

    def start_item(self, task: str, *, exact: bool) -> None:
        """Count the next media for this task; exact = store them without loss."""
        self._task, self._exact = task, exact
        self.sizes[task] += 0

    def store_image(self, image: Image.Image) -> str:
        """Store an image and return its name in the archive."""
        image = image.convert("RGB")
        key = _digest(image), self._exact
        if key not in self._names:
            suffix, content = encode(image, exact=self._exact)
            self._names[key] = f"media/{len(self._names):05d}.{suffix}"
            self.archive.writestr(zipfile.ZipInfo(self._names[key]), content)
            self.sizes[self._task] += len(content)
        return self._names[key]

    def store_video(self, frames: list[Image.Image]) -> dict[str, Any]:
        """Store the different frames of a video as one image; returns its name and which frame is shown at each time."""
        places: dict[bytes, int] = {}
        order = [places.setdefault(_digest(frame), len(places)) for frame in frames]
        different = [frames[order.index(place)] for place in range(len(places))]
        width, height = frames[0].size
        assert all(frame.size == (width, height) for frame in frames), "frames of one video have one size"
        # WebP holds at most 16,383 pixels a side.
        assert height * len(different) < 2**14, f"a strip of {len(different)} frames of {height} pixels is too tall"
        strip = Image.new("RGB", (width, height * len(different)))
        for place, frame in enumerate(different):
            strip.paste(frame, (0, place * height))
        return {"strip": self.store_image(strip), "frames": order}


def _digest(image: Image.Image) -> bytes:
    return hashlib.sha256(repr((image.size, image.mode)).encode() + image.tobytes()).digest()


def encode(image: Image.Image, *, exact: bool) -> tuple[str, bytes]:
    """Suffix and content of the file of an RGB image: lossless, or a JPEG if not `exact` and the JPEG is far smaller."""
    lossless, jpeg = io.BytesIO(), io.BytesIO()
    image.save(lossless, "WEBP", lossless=True, quality=100, method=4, exact=True)
    if exact:
        return "webp", lossless.getvalue()
    image.save(jpeg, "JPEG", quality=90, subsampling=0, optimize=True)
    # Only noisy images and photographs are below this share of the lossless size.
    is_far_smaller = jpeg.tell() < 0.8 * lossless.tell()
    return ("jpg", jpeg.getvalue()) if is_far_smaller else ("webp", lossless.getvalue())


def count_items(path: Path) -> dict[str, int]:
    """Number of items by task, in the order of the archive. Raises Qwen2VLError for a missing or damaged archive."""
    with _opened(path) as (_, lines):
        return dict(Counter(line["task"] for line in lines))


def read_items(
    path: Path, tasks: Collection[str] | None = None, ids: Collection[str] | None = None, without: Collection[str] = ()
) -> Iterator[ExamItem]:
    """The stored items in their order, or only those of some tasks or with some ids; `without` are ids to leave out.

    Media are loaded item by item. Raises Qwen2VLError for a missing or damaged archive.
    """
    with _opened(path) as (archive, lines):

        def load_image(name: str) -> Image.Image:
            return Image.open(io.BytesIO(archive.read(name))).convert("RGB")

        def load_video(video: dict[str, Any]) -> list[Image.Image]:
            strip = load_image(video["strip"])
            height = strip.height // (max(video["frames"]) + 1)
            return [strip.crop((0, place * height, strip.width, (place + 1) * height)) for place in video["frames"]]

        for line in lines:
            is_wanted = (tasks is None or line["task"] in tasks) and (ids is None or line["id"] in ids)
            if is_wanted and line["id"] not in without:
                yield ExamItem(**line | {"messages": _replace_media(line["messages"], load_image, load_video)})


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, Iterator[dict[str, Any]]]]:
    """The archive and its lines."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("items.jsonl") as file:
            yield archive, map(json.loads, file)
    except FileNotFoundError as error:
        raise Qwen2VLError(
            f'there is no exam "{path.name}" in this installation: install the whole of qwen2vl'
        ) from error
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise Qwen2VLError(f'the exam "{path.name}" of this installation is damaged: install qwen2vl again') from error


def _replace_media(
    messages: list[dict[str, Any]], image: Callable[[Any], Any], video: Callable[[Any], Any]
) -> list[dict[str, Any]]:
    """A copy of the messages in which every image and every video is replaced by what its function returns."""
    change = {"image": image, "video": video}

    def part(content: dict[str, Any]) -> dict[str, Any]:
        kind = content["type"]
        return content | {kind: change[kind](content[kind])} if kind in change else content

    return [
        message if isinstance(message["content"], str) else message | {"content": [part(p) for p in message["content"]]}
        for message in messages
    ]
