"""The drawn world as training records on the disk, so that a run can read it like any other data.

    OUT/SOURCE-0000.jsonl        up to 2,000 records of a source; `data build OUT/*.jsonl` takes all of them
    OUT/media/SOURCE-0000.bin    their images, PNG files one after the other
    OUT/drawn.json               seed and split: a folder holds one of each

A source is a task at an ease, "read_word@0.25". Its item number n depends on seed, split, source and n alone. One source
is drawn by the browser, a shard in one go: "screen_html@0".
"""

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from drawn_world import KINDS, LESSONS, TASKS, Item, draw
from drawn_world.browser import HTML_SCREEN, browser, draw_html_screens
from drawn_world.item import replace_media
from qwen2vl.common.errors import ConfigError
from qwen2vl.common.files import unwritable, write_atomically
from qwen2vl.common.keys import key_of

ITEMS_PER_SHARD = 2_000
RECORD_KINDS = KINDS | {HTML_SCREEN: "grounding"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A stretch of the items of one source: what one process draws in one go."""

    out: Path
    source: str
    number: int
    count: int
    """Items."""
    seed: int
    split: str

    @property
    def name(self) -> str:
        return f"{self.source}-{self.number:04d}"

    @property
    def lines(self) -> Path:
        """Its records; written last, so that where they are the images are too."""
        return self.out / f"{self.name}.jsonl"

    def is_drawn(self) -> bool:
        return self.lines.exists() and self.lines.read_bytes().count(b"\n") >= self.count


def draw_records(
    out: Path,
    sources: Mapping[str, int],
    *,
    seed: int = 0,
    split: str = "train",
    num_workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Draw so many items of every source into a folder, which is made if it is not there.

    The same call again goes on where it was stopped. A higher number later only adds records, a lower one takes none
    away. on_progress: items done, of how many. Raises ConfigError for what cannot be drawn, Qwen2VLError when fonts or
    words are not installed or the disk does not take it.
    """
    for source, count in sources.items():
        task, ease = parse_source(source)
        if count < 1:
            raise ConfigError(f'source "{source}" is asked for {count} items: ask for at least 1, or leave it out')
        if task == HTML_SCREEN:  # what is missing shows here, before processes start
            browser()
        else:
            draw(task, 0, split, ease)
    _claim(out, {"seed": seed, "split": split})
    shards = [
        Shard(out=out, source=source, number=number, count=min(ITEMS_PER_SHARD, count - first), seed=seed, split=split)
        for source, count in sources.items()
        for number, first in enumerate(range(0, count, ITEMS_PER_SHARD))
    ]
    waiting = [shard for shard in shards if not shard.is_drawn()]
    total = sum(sources.values())
    done = total - sum(shard.count for shard in waiting)
    on_progress(done, total)
    for count in _run(waiting, num_workers):
        done += count
        on_progress(done, total)


def parse_source(source: str) -> tuple[str, float]:
    """Task and ease of "TASK@EASE". Raises ConfigError."""
    found = re.fullmatch(r"(\w+)@(\d+(?:\.\d+)?)", source)
    if not found or found[1] not in RECORD_KINDS or float(found[2]) > 1:
        raise ConfigError(
            f'"{source}" is no source of the drawn world: write TASK@EASE with an ease from 0 (full task) to 1 (easiest), '
            f"like read_word@0.25, and one of the tasks {', '.join((*TASKS, *LESSONS, HTML_SCREEN))}"
        )
    return found[1], float(found[2])


def _claim(out: Path, drawn: dict[str, Any]) -> None:
    """Make the folder that of this seed and split, or refuse one that is another's."""
    file = out / "drawn.json"
    try:
        (out / "media").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from error
    if not file.exists():
        write_atomically(file, json.dumps(drawn) + "\n")
    elif (there := json.loads(file.read_text())) != drawn:
        raise ConfigError(f'"{out}" holds records of {there}, not of {drawn}: choose another folder')


def _run(shards: list[Shard], num_workers: int) -> Iterator[int]:
    """Items of every shard as it is done, in order."""
    if num_workers <= 1:
        yield from map(draw_shard, shards)
        return
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(draw_shard, shards)


def draw_shard(shard: Shard) -> int:
    """Draw and write one shard; returns its items. Raises Qwen2VLError when the disk does not take it."""
    media, lines = Media(f"media/{shard.name}.bin"), []
    kind, first = RECORD_KINDS[parse_source(shard.source)[0]], shard.number * ITEMS_PER_SHARD
    for number, item in enumerate(items_of(shard, first), first):
        record = {"id": f"{shard.source}-{number}", "source": shard.source, "kind": kind}
        lines.append(json.dumps(record | body_of(item, kind, media)) + "\n")
    write_atomically(shard.out / media.name, bytes(media.content))
    write_atomically(shard.lines, "".join(lines))
    return shard.count


def items_of(shard: Shard, first: int) -> Iterable[Item]:
    """What a shard holds, from item `first` of its source on."""
    task, ease = parse_source(shard.source)
    if task == HTML_SCREEN:
        return draw_html_screens(Random(item_key(shard.seed, shard.source, first)), shard.split, shard.count)
    keys = (item_key(shard.seed, shard.source, number) for number in range(first, first + shard.count))
    return (draw(task, key, shard.split, ease) for key in keys)


def item_key(seed: int, source: str, number: int) -> int:
    """What item `number` of a source is drawn from.

    Two items of a source never share one, two sources only if 64 bits of hash collided. It lies far above the small
    numbers from which the exam, validation and nano's own recipe draw.
    """
    return (1 << 64 | key_of(seed, source)) << 40 | number


class Media:
    """The images of a shard, one after the other."""

    def __init__(self, name: str) -> None:
        """name: of the file, as records shall write it."""
        self.name, self.content = name, bytearray()

    def add(self, image: Image.Image) -> str:
        """Take up an image; returns its URI."""
        encoded = io.BytesIO()
        image.save(encoded, "PNG", compress_level=1)
        first = len(self.content)
        self.content += encoded.getbuffer()
        return f"{self.name}#bytes={first}-{len(self.content) - 1}"


def body_of(item: Item, kind: str, media: Media) -> dict[str, Any]:
    """The conversation of a record, or of what is interleaved the document: its parts, with the answer as the last."""
    messages = conversation(item, media)
    if kind != "interleaved":
        return {"messages": messages}
    asked, answered = messages
    return {"document": [*asked["content"], {"type": "text", "text": answered["content"]}]}


def conversation(item: Item, media: Media) -> list[dict[str, Any]]:
    """Messages of a record; an image that the item shows again, like a frame in which nothing moves, is stored once."""
    stored: dict[tuple[tuple[int, int], bytes], str] = {}

    def store(image: Image.Image) -> str:
        pixels = image.size, image.tobytes()
        if pixels not in stored:
            stored[pixels] = media.add(image)
        return stored[pixels]

    return [*replace_media(item.messages, store), {"role": "assistant", "content": item.answer}]
