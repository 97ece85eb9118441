"""Videos of slides: the answer agrees with the frames, and drawing is repeatable."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from drawn_world.palette import COLOURS, EASY_GROUND, distance
from drawn_world.slides import draw_slides, parse_slides, write_slides
from qwen2vl.common.errors import ConfigError
from qwen2vl.data.records import parse_record

SOURCES = ("slides_list@4-8", "slides_first@4-8", "slides_last@8-8", "slides_after@4-64")


def frames_of(item):
    return item.messages[0]["content"][0]["video"]


def question_of(item):
    return item.messages[0]["content"][1]["text"]


def colour_in(frame):
    """The name of the colour of the shape, derived only from pixels."""
    pixels = np.asarray(frame).reshape(-1, 3).astype(int)
    ink = pixels[np.abs(pixels - EASY_GROUND).sum(1) > 150]
    middle = tuple(np.median(ink, axis=0).astype(int).tolist())
    return min(COLOURS, key=lambda name: distance(COLOURS[name], middle))


@pytest.mark.parametrize("source", SOURCES)
def test_the_answer_follows_from_the_description_and_the_frames(source):
    for number in range(20):
        item = draw_slides(source, number)
        slides, question = item.truth["scene"]["slides"], question_of(item)
        assert len(set(slides)) == len(slides) == len(frames_of(item)) // 2
        assert [name.split()[0] for name in slides] == [colour_in(frame) for frame in frames_of(item)[::2]]
        wanted = {"list": "\n".join(slides), "first": slides[0], "last": slides[-1]}
        if source.startswith("slides_after"):
            before = question.removeprefix("Which shape comes after the ").removesuffix("?")
            wanted["after"] = slides[slides.index(before) + 1]
        assert item.answer == wanted[source.removeprefix("slides_").partition("@")[0]]


def test_frames_are_equal_pairs_and_their_number_is_in_range():
    lengths = set()
    for number in range(60):
        frames = frames_of(draw_slides("slides_first@4-8", number))
        lengths.add(len(frames))
        assert {frame.size for frame in frames} == {(56, 56)}
        assert all(a.tobytes() == b.tobytes() for a, b in zip(frames[::2], frames[1::2], strict=True))
    assert lengths == {4, 6, 8}
    assert {len(frames_of(draw_slides("slides_first@64-64", number))) for number in range(5)} == {64}


def digest(number):
    item = draw_slides("slides_after@4-8", number, "test")
    return [frame.tobytes() for frame in frames_of(item)], question_of(item), item.answer


def test_another_process_draws_the_same_video():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(digest, 3).result() == digest(3)


def test_every_split_and_number_gives_another_video():
    drawn = [draw_slides(SOURCES[1], number, split).truth for split in ("train", "test") for number in range(3)]
    assert len({json.dumps(truth) for truth in drawn}) == len(drawn)


@pytest.mark.parametrize("source", ["slides_best@4-8", "slides_first@3-8", "slides_first@8-4", "slides_first@4-200"])
def test_a_wrong_source_is_refused(source):
    with pytest.raises(ConfigError, match="is no source of slides"):
        parse_slides(source)


def test_records_are_complete_and_written_once(tmp_path):
    (file,) = write_slides(tmp_path, "slides_first@4-8", 7)
    records = [parse_record(json.loads(line)) for line in file.read_text().splitlines()]
    assert len(records) == 7
    before = file.stat().st_mtime_ns
    assert write_slides(tmp_path, "slides_first@4-8", 7) == [file]
    assert file.stat().st_mtime_ns == before
    write_slides(tmp_path, "slides_first@4-8", 8)
    assert file.read_bytes().count(b"\n") == 8
