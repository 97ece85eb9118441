"""Videos of slides, for the study of video length: every slide is two equal frames of one shape, and no shape repeats.

    slides_list@4-8     name every slide, one per line, in videos of 4 to 8 frames
    slides_first@4-8    name the first slide
    slides_last@4-8     name the last slide
    slides_after@4-8    name the slide after another one, for example after the red circle

The difficulty of an answer does not depend on the length of the video: it is one name, and every slide is one of four
visual tokens. So when a model is worse on long videos, their length is the reason.
nano does not learn these videos. Source names are like those of `write_records`, with numbers of frames in place of an ease.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

from drawn_world import palette
from drawn_world.item import Item, text_truth, video_item
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes.shape_scenes import Scene, draw_scene, in_cell, make_shape
from drawn_world.write_records import shards_of
from qwen2vl.common.errors import ConfigError
from qwen2vl.spec.config import FACTOR

QUESTIONS = {
    "list": "Name the shapes from first to last.",
    "first": "Which shape comes first?",
    "last": "Which shape comes last?",
    "after": "Which shape comes after the {name}?",
}
"""One wording each: the study is about time, not about words."""
FRAMES_PER_SLIDE = 2
"""One visual token covers two frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideSource:
    """A source of videos of slides."""

    question: str
    """Key of QUESTIONS."""
    min_frames: int
    max_frames: int
    """All even numbers of frames from min_frames to max_frames are equally frequent."""


def is_slides(source: str) -> bool:
    """Whether a source name is one of slides. It may still be wrong: see `parse_slides`."""
    return source.startswith("slides_")


def parse_slides(source: str) -> SlideSource:
    """Parse a source name, for example "slides_first@4-8". Raises ConfigError."""
    found = re.fullmatch(r"slides_(\w+)@(\d+)-(\d+)", source)
    least = 2 * FRAMES_PER_SLIDE
    most = FRAMES_PER_SLIDE * len(palette.colours_on(palette.EASY_GROUND)) * len(shapes.KINDS)
    if found and found[1] in QUESTIONS:
        low, high = int(found[2]), int(found[3])
        if least <= low <= high <= most and not (low % 2 or high % 2):
            return SlideSource(question=found[1], min_frames=low, max_frames=high)
    raise ConfigError(
        f'"{source}" is no source of slides: write slides_QUESTION@FEWEST-MOST, with one of {", ".join(QUESTIONS)} and even '
        f"numbers of frames from {least} to {most}, like slides_first@4-8"
    )


def draw_slides(source: str, number: int, split: str = "train") -> Item:
    """Draw item `number` of a source and split: the same arguments give the same pixels in every process.

    Raises ConfigError for a source that is not one of slides.
    """
    wanted, rng = parse_slides(source), Random(f"{split}/{source}/{number}")
    count = rng.randrange(wanted.min_frames, wanted.max_frames + 1, 2) // FRAMES_PER_SLIDE
    names = [(colour, kind) for colour in palette.colours_on(palette.EASY_GROUND) for kind in shapes.KINDS]
    side = 2  # visual tokens
    slides = [
        in_cell(make_shape(rng, kind, colour, FACTOR - 3), rng.randrange(side), rng.randrange(side))
        for colour, kind in rng.sample(names, count)
    ]
    size = (side * FACTOR, side * FACTOR)
    images = [draw_scene(Scene(size=size, ground=palette.EASY_GROUND, shapes=(slide,))) for slide in slides]
    frames = [image for image in images for _ in range(FRAMES_PER_SLIDE)]
    before = rng.randrange(count - 1)
    answer = {
        "list": "\n".join(slide.name for slide in slides),
        "first": slides[0].name,
        "last": slides[-1].name,
        "after": slides[before + 1].name,
    }[wanted.question]
    truth = text_truth(answer, scene={"slides": [slide.name for slide in slides]})
    return video_item(source, frames, QUESTIONS[wanted.question].format(name=slides[before].name), answer, truth)


def write_slides(out: Path, source: str, count: int) -> list[Path]:
    """Write `count` training records of a source, in files like those of `write_records`; returns the record files.

    The same call again resumes. Raises ConfigError for a wrong source, Qwen2VLError when the disk does not accept the files.
    """
    (out / "media").mkdir(parents=True, exist_ok=True)
    shards = shards_of(out, source, count)
    for shard in shards:
        if not shard.is_written():
            shard.write("video", (draw_slides(source, number) for number in shard.item_numbers))
    return [shard.records_file for shard in shards]
