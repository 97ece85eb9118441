"""Draw items of the drawn world and write them to disk as training records, which a run reads like any other data.

    FOLDER/SOURCE-0000.jsonl        up to 2,000 records of one source; `data build FOLDER/*.jsonl` reads them all
    FOLDER/media/SOURCE-0000.bin    the images of these records: PNG files, one after the other
    FOLDER/drawn.json               seed and split; every folder has one of each

A source is a task, whose items have eases of their own ("read_word", see `draw_ease`), or a task at one ease
("read_word@0.25"). Item n of a source depends only on seed, split, source and n. The source "screen_html@0" is drawn by a
browser, a whole shard at a time.
"""

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from drawn_world import KINDS, LESSONS, TASKS, Item, draw, draw_ease
from drawn_world.browser import find_browser
from drawn_world.item import replace_media
from drawn_world.screens.html import HTML_SCREEN, draw_html_screens
from qwen2vl.common.errors import ConfigError
from qwen2vl.common.files import unwritable, write_atomically
from qwen2vl.common.keys import key_of

ITEMS_PER_SHARD = 2_000
RECORD_KINDS = KINDS | {HTML_SCREEN: "grounding"}


class MediaFile:
    """The images of one shard in memory: PNG files, one after the other."""

    def __init__(self, name: str) -> None:
        """name: path of the file, as it is written in the records."""
        self.name, self.content = name, bytearray()

    def add_image(self, image: Image.Image) -> str:
        """Append an image; returns its URI, which gives the range of its bytes."""
        encoded = io.BytesIO()
        image.save(encoded, "PNG", compress_level=1)
        first = len(self.content)
        self.content += encoded.getbuffer()
        return f"{self.name}#bytes={first}-{len(self.content) - 1}"

    def add_item(self, item: Item) -> list[dict[str, Any]]:
        """Append the images of an item; returns its messages and answer with URIs in place of images.

        An image that the item repeats, for example a frame in which nothing moves, is stored once.
        """
        uris: dict[tuple[tuple[int, int], bytes], str] = {}

        def uri_of(image: Image.Image) -> str:
            pixels = image.size, image.tobytes()
            if pixels not in uris:
                uris[pixels] = self.add_image(image)
            return uris[pixels]

        return [*replace_media(item.messages, uri_of), {"role": "assistant", "content": item.answer}]


def record_body(item: Item, kind: str, media: MediaFile) -> dict[str, Any]:
    """The messages of a record; for an interleaved record the document: the parts of the question, then the answer."""
    messages = media.add_item(item)
    if kind != "interleaved":
        return {"messages": messages}
    question, answer = messages
    return {"document": [*question["content"], {"type": "text", "text": answer["content"]}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Consecutive records of one source, which one process draws and writes together."""

    folder: Path
    source: str
    number: int
    count: int
    """Number of records."""

    @property
    def name(self) -> str:
        return f"{self.source}-{self.number:04d}"

    @property
    def records_file(self) -> Path:
        """The file of the records. It is written last: where it exists, the images exist too."""
        return self.folder / f"{self.name}.jsonl"

    @property
    def item_numbers(self) -> range:
        """Numbers of its items within the source."""
        first = self.number * ITEMS_PER_SHARD
        return range(first, first + self.count)

    def is_written(self) -> bool:
        return self.records_file.exists() and self.records_file.read_bytes().count(b"\n") >= self.count

    def write(self, kind: str, items: Iterable[Item]) -> None:
        """Write images and records. Raises Qwen2VLError when the disk does not accept them."""
        media, lines = MediaFile(f"media/{self.name}.bin"), []
        for number, item in zip(self.item_numbers, items, strict=True):
            record = {"id": f"{self.source}-{number}", "source": self.source, "kind": kind}
            lines.append(json.dumps(record | record_body(item, kind, media)) + "\n")
        write_atomically(self.folder / media.name, bytes(media.content))
        write_atomically(self.records_file, "".join(lines))


def shards_of(folder: Path, source: str, count: int) -> list[Shard]:
    """The shards that hold `count` records of a source, in order."""
    return [
        Shard(folder=folder, source=source, number=number, count=min(ITEMS_PER_SHARD, count - first))
        for number, first in enumerate(range(0, count, ITEMS_PER_SHARD))
    ]


def draw_records(
    out: Path,
    sources: Mapping[str, int],
    *,
    seed: int = 0,
    split: str = "train",
    num_workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Draw records into a folder, which is created if it does not exist.

    The same call again resumes. A higher count later only adds records; a lower count removes none.

    sources: source to number of records. on_progress: called with the number of records done and the total.
    Raises ConfigError for a source, count or folder that cannot be used, and Qwen2VLError when fonts, words or the browser
    are not installed or the disk does not accept the files.
    """
    for source, count in sources.items():
        task, ease = parse_source(source)
        if count < 1:
            raise ConfigError(
                f'source "{source}" has a count of {count} items: give at least 1, or leave the source out'
            )
        if task == HTML_SCREEN:  # so that a missing browser or font is reported before processes start
            find_browser()
        else:
            draw(task, 0, split, ease or 0.0)
    _prepare_folder(out, {"seed": seed, "split": split})
    shards = [shard for source, count in sources.items() for shard in shards_of(out, source, count)]
    waiting = [shard for shard in shards if not shard.is_written()]
    total = sum(sources.values())
    done = total - sum(shard.count for shard in waiting)
    on_progress(done, total)
    for count in _map(partial(draw_shard, seed=seed, split=split), waiting, num_workers):
        done += count
        on_progress(done, total)


def parse_source(source: str) -> tuple[str, float | None]:
    """Task and ease of "TASK@EASE"; None for a source whose items have eases of their own. Raises ConfigError."""
    found = re.fullmatch(r"(\w+)(?:@(\d+(?:\.\d+)?))?", source)
    if not found or found[1] not in RECORD_KINDS or float(found[2] or 0) > 1:
        raise ConfigError(
            f'"{source}" is no source of the drawn world: write TASK, or TASK@EASE with an ease from 0 (full task) to 1 '
            f"(easiest), like read_word@0.25; the tasks are {', '.join((*TASKS, *LESSONS, HTML_SCREEN))}"
        )
    return found[1], float(found[2]) if found[2] else None


def draw_from(source: str, key: int, split: str) -> Item:
    """One item of a source. Raises ConfigError for an unknown source."""
    task, ease = parse_source(source)
    return draw(task, key, split, draw_ease(key, source) if ease is None else ease)


def _prepare_folder(folder: Path, settings: dict[str, Any]) -> None:
    """Create the folder and note its seed and split. Raises ConfigError when it has records of others."""
    file = folder / "drawn.json"
    try:
        (folder / "media").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    if not file.exists():
        write_atomically(file, json.dumps(settings) + "\n")
    elif (found := json.loads(file.read_text())) != settings:
        raise ConfigError(f'"{folder}" holds records of {found}, not of {settings}: choose another folder')


def _map(draw_one: Callable[[Shard], int], shards: Sequence[Shard], num_workers: int) -> Iterator[int]:
    """Results for all shards, in order, from one process or several."""
    if num_workers <= 1:
        yield from map(draw_one, shards)
        return
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(draw_one, shards)


def draw_shard(shard: Shard, *, seed: int, split: str) -> int:
    """Draw and write one shard; returns its number of records. Raises Qwen2VLError when the disk does not accept it."""
    task, _ = parse_source(shard.source)
    keys = [item_key(seed, shard.source, number) for number in shard.item_numbers]
    if task == HTML_SCREEN:
        items: Iterable[Item] = draw_html_screens(Random(keys[0]), split, shard.count)
    else:
        items = (draw_from(shard.source, key, split) for key in keys)
    shard.write(RECORD_KINDS[task], items)
    return shard.count


def item_key(seed: int, source: str, number: int) -> int:
    """The seed of item `number` of a source.

    Two items of one source never have the same seed; two sources share seeds only if 64 bits of hash collide. All seeds
    are far above the small numbers that the exam, validation and nano's own recipe use.
    """
    return (1 << 64 | key_of(seed, source)) << 40 | number
