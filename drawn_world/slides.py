"""Videos of slides, for the study of length: every two frames show another shape, and one question asks for one of them.

    slides_list@4-8     every slide named, line by line, in videos of 4 to 8 frames
    slides_first@4-8    the first one; slides_last, slides_after ("after the red circle") likewise

What an answer needs does not change with the length of the video: an answer is one name, however long the video is, and
every slide is one visual token in a frame of four. So what a model loses on long videos it loses to their length.
Not a part of the world that nano learns: source names are those of `nano.records`, with frames in place of an ease.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

from drawn_world import palette
from drawn_world.item import Item, text_truth, video_item
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import Placed, Scene, draw_scene, in_cell, make_shape
from drawn_world.write_records import ITEMS_PER_SHARD, Media, conversation
from qwen2vl.common.errors import ConfigError
from qwen2vl.common.files import write_atomically
from qwen2vl.spec.config import FACTOR

QUESTIONS = {
    "list": "Name the shapes from first to last.",
    "first": "Which shape comes first?",
    "last": "Which shape comes last?",
    "after": "Which shape comes after the {name}?",
}
"""One wording each: this is about time, not about words."""
SIDE = 2
"""Visual tokens on a side of a frame."""
FRAMES_A_SLIDE = 2
"""As many as share a visual token."""
_SOURCE = re.compile(r"slides_(\w+)@(\d+)-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slides:
    """A source of such videos."""

    asked: str
    """One of QUESTIONS."""
    fewest: int
    most: int
    """Frames; all even numbers between are equally frequent."""


def is_slides(source: str) -> bool:
    return source.startswith("slides_")


def parse_slides(source: str) -> Slides:
    """Of "slides_first@4-8". Raises ConfigError."""
    found = _SOURCE.fullmatch(source)
    most_slides = len(palette.colours_on(palette.EASY_GROUND)) * len(shapes.KINDS)
    if found and found[1] in QUESTIONS:
        fewest, most = int(found[2]), int(found[3])
        if FRAMES_A_SLIDE * 2 <= fewest <= most <= FRAMES_A_SLIDE * most_slides and not (fewest % 2 or most % 2):
            return Slides(asked=found[1], fewest=fewest, most=most)
    raise ConfigError(
        f'"{source}" is no source of slides: write slides_ASKED@FEWEST-MOST, with one of {", ".join(QUESTIONS)} and even '
        f"numbers of frames from {FRAMES_A_SLIDE * 2} to {FRAMES_A_SLIDE * most_slides}, like slides_first@4-8"
    )


def draw_slides(source: str, number: int, split: str = "train") -> Item:
    """Item `number` of a source and split: the same arguments give the same pixels in every process. Raises ConfigError."""
    wanted, rng = parse_slides(source), Random(f"{split}/{source}/{number}")
    count = rng.randrange(wanted.fewest, wanted.most + 1, 2) // FRAMES_A_SLIDE
    names = [(colour, kind) for colour in palette.colours_on(palette.EASY_GROUND) for kind in shapes.KINDS]
    slides = [_placed(rng, colour, kind) for colour, kind in rng.sample(names, count)]
    frames = [draw_scene(scene_of(slide)) for slide in slides for _ in range(FRAMES_A_SLIDE)]
    before = rng.randrange(count - 1)
    answer = {
        "list": "\n".join(slide.name for slide in slides),
        "first": slides[0].name,
        "last": slides[-1].name,
        "after": slides[before + 1].name,
    }[wanted.asked]
    truth = text_truth(answer, scene={"slides": [slide.name for slide in slides]})
    return video_item(source, frames, QUESTIONS[wanted.asked].format(name=slides[before].name), answer, truth)


def _placed(rng: Random, colour: str, kind: str) -> Placed:
    return in_cell(make_shape(rng, kind, colour, FACTOR - 3), rng.randrange(SIDE), rng.randrange(SIDE))


def scene_of(slide: Placed) -> Scene:
    return Scene(size=(SIDE * FACTOR, SIDE * FACTOR), ground=palette.EASY_GROUND, shapes=(slide,))


def write_slides(out: Path, source: str, count: int) -> list[Path]:
    """So many training records of a source as files like those of `nano.records`, which are returned.

    The same call again goes on where it was stopped. Raises ConfigError, Qwen2VLError when the disk does not take it.
    """
    (out / "media").mkdir(parents=True, exist_ok=True)
    files = []
    for shard, first in enumerate(range(0, count, ITEMS_PER_SHARD)):
        file, wanted = out / f"{source}-{shard:04d}.jsonl", min(ITEMS_PER_SHARD, count - first)
        if not file.exists() or file.read_bytes().count(b"\n") < wanted:
            _write_shard(file, source, range(first, first + wanted))
        files.append(file)
    return files


def _write_shard(file: Path, source: str, numbers: range) -> None:
    media, lines = Media(f"media/{file.stem}.bin"), list[str]()
    for number in numbers:
        messages = conversation(draw_slides(source, number), media)
        lines.append(
            json.dumps({"id": f"{source}-{number}", "source": source, "kind": "video", "messages": messages}) + "\n"
        )
    write_atomically(file.parent / media.name, bytes(media.content))
    write_atomically(file, "".join(lines))
