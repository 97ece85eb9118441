"""The set of plain pictures: the same pixels as before any training, truths that pixels confirm, and lenient reading of answers."""

import hashlib
import json
from collections import Counter
from itertools import pairwise
from math import pi, sin
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.plain_pictures import __main__ as command
from experiments.plain_pictures import asking, names, painting, scoring
from experiments.plain_pictures.outlines import SHAPES
from qwen2vl.evaluation.items import ExamItem, read_items
from qwen2vl.processing.grounding import Places, parse_places
from tools.results import RESULTS

Mask = NDArray[np.bool_]
STORED = json.loads((Path(asking.__file__).parent / "digest.json").read_text(encoding="utf-8"))
FILL = {
    "circle": pi / 4,
    "oval": pi / 4,
    "ring": (1 - 0.5**2) * pi / 4,
    "square": 1.0,
    "rectangle": 1.0,
    "triangle": 0.5,
    "diamond": 0.5,
    "pentagon": (5 / 2 * sin(2 * pi / 5)) / (2 * sin(2 * pi / 5) * (1 + sin(0.3 * pi))),
    "hexagon": 0.75,
    "cross": 1 - (1 - 0.3 / 0.95) ** 2,
}
"""Share of its upright bounding box that a shape fills, by school geometry."""


@pytest.fixture(scope="module")
def items() -> list[ExamItem]:
    return asking.draw_items()


def frames_of(item: ExamItem) -> list[NDArray[np.uint8]]:
    media = item.messages[0]["content"][0]
    return [np.asarray(image) for image in media.get("video") or [media["image"]]]


def has_colour(pixels: NDArray[np.uint8], rgb: list[int]) -> Mask:
    """Pixels of nearly this colour: the edge is a mixture with the ground."""
    return np.abs(pixels.astype(int) - rgb).max(axis=-1) < 12


def components(mask: Mask) -> list[tuple[int, int, int, int]]:
    """Boxes of the parts of a mask that hang together, without specks of the edge: runs of rows, joined where they touch."""
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (ys, begins), (_, ends) = np.nonzero(steps == 1), np.nonzero(steps == -1)
    runs = list(zip(ys.tolist(), begins.tolist(), ends.tolist(), strict=True))
    part_of = list(range(len(runs)))
    for number, (y, begin, end) in enumerate(runs):
        for other in range(number - 1, -1, -1):
            if runs[other][0] < y - 1:
                break
            if runs[other][0] == y - 1 and runs[other][1] < end and begin < runs[other][2]:
                old, new = part_of[other], part_of[number]
                part_of = [new if part == old else part for part in part_of]
    found = []
    for part in set(part_of):
        ys, begins, ends = zip(*(run for run, of in zip(runs, part_of, strict=True) if of == part), strict=True)
        if sum(ends) - sum(begins) > 20:
            found.append((min(begins), min(ys), max(ends), max(ys) + 1))
    return found


def test_the_set_is_the_one_whose_digest_was_committed(items: list[ExamItem]) -> None:
    assert asking.digest(items) == STORED["sha256"]
    assert len(items) == STORED["items"] == 200
    assert set(SHAPES) == set(names.SHAPES)
    assert Counter(item.task for item in items) == dict.fromkeys(asking.KINDS, 40)


def test_every_kind_is_asked_in_25_or_more_wordings(items: list[ExamItem]) -> None:
    for kind, styles in asking.WORDINGS.items():
        listed = [wording for style in styles.values() for wording in style]
        assert len(set(listed)) == len(listed) >= 25
        asked = {scoring.question_of(item) for item in items if item.task == kind}
        assert len(asked) >= 25
        assert not any("{" in question for question in asked)


def test_right_answers_are_balanced(items: list[ExamItem]) -> None:
    for kind, values in (("count", 4), ("motion", 4), ("colour", 11), ("shape", 13)):
        counts = Counter(item.truth["value"] for item in items if item.task == kind)
        assert len(counts) == values
        assert max(counts.values()) - min(counts.values()) <= 1


def test_boxes_and_colours_are_those_of_the_pixels(items: list[ExamItem]) -> None:
    """Every shape is one part of its colour whose box is the true one but for the mixed pixels of its edge."""
    for item in items:
        figures, pixels = item.truth["figures"], frames_of(item)[0]
        for rgb in {tuple(figure["rgb"]) for figure in figures}:
            seen = components(has_colour(pixels, list(rgb)))
            true = [figure["box_px"] for figure in figures if tuple(figure["rgb"]) == rgb]
            assert len(seen) == len(true), item.id
            worst = np.abs(np.array(sorted(seen)) - np.array(sorted(true))).max()
            assert worst <= 5, (item.id, worst)  # the tips of stars and triangles are thinner than a pixel


def test_counts_are_those_of_the_parts_that_are_asked_for(items: list[ExamItem]) -> None:
    for item in (item for item in items if item.task == "count"):
        figures, question = item.truth["figures"], scoring.question_of(item)
        meant = figures[0]
        if any(
            names.plural(name) in question or f"a {name} appear" in question for name in names.SHAPES[meant["shape"]]
        ):
            counted = [figure for figure in figures if figure["shape"] == meant["shape"]]
        elif any(name in question for name in names.COLOURS[meant["colour"]]):
            counted = components(has_colour(frames_of(item)[0], meant["rgb"]))
        else:
            counted = figures
        assert len(counted) == item.truth["value"], question


def test_the_meant_shape_is_the_only_one_of_its_description(items: list[ExamItem]) -> None:
    same = {"colour": ("shape",), "shape": ("colour",), "where": ("shape", "colour")}
    for item in (item for item in items if item.task in same):
        meant, *others = item.truth["figures"]
        for other in others:
            assert any(other[key] != meant[key] for key in same[item.task])
    assert any(len(item.truth["figures"]) == 4 for item in items if item.task == "where")


def test_clips_move_the_way_that_their_truth_says(items: list[ExamItem]) -> None:
    for item in (item for item in items if item.task == "motion"):
        masks = [has_colour(frame, item.truth["figures"][0]["rgb"]) for frame in frames_of(item)]
        assert len(masks) == 8
        middles = [np.argwhere(mask).mean(axis=0)[::-1] for mask in masks]
        steps = np.array([after - before for before, after in pairwise(middles)])
        along = steps @ asking.STEPS[item.truth["value"]]
        assert along.min() > 1, item.id
        assert np.abs(steps).sum(axis=1).max() < along.max() + 0.6, item.id


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_their_boxes_as_geometry_says(shape: str) -> None:
    size = (211, 203)
    figure = painting.Figure(shape=shape, colour="", rgb=(0, 0, 0), x=100.3, y=99.6, radius=80)
    left, top, right, bottom = painting.box_of(size, figure)
    share = float(painting.coverage(size, figure)[2].sum()) / ((right - left) * (bottom - top))
    if shape in FILL:
        assert share == pytest.approx(FILL[shape], abs=0.02)
    else:
        assert 0.25 < share < 0.8
    white = painting.Ground(begin=(255, 255, 255), end=(255, 255, 255))
    grey = np.asarray(painting.paint(size, white, [figure])).astype(float)
    assert 1 - grey.mean() / 255 == pytest.approx(share * (right - left) * (bottom - top) / grey[..., 0].size, rel=0.01)
    edge = ((grey[..., 0] > 0) & (grey[..., 0] < 255)).sum()
    assert edge > 0, "edges are anti-aliased"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("colour", "The square is Grey.", "grey"),
        ("colour", "gray", "grey"),
        ("colour", "red or orange", None),
        ("colour", "reddish", None),
        ("colour", "violet, a kind of purple", "purple"),
        ("shape", "<|object_ref_start|>ellipse<|object_ref_end|>", "oval"),
        ("shape", "a plus sign", "cross"),
        ("shape", "a square and a circle", None),
        ("count", "There are three circles.", "3"),
        ("count", "3", "3"),
        ("count", "3 of 4", None),
        ("count", "13", None),
        ("motion", "It moves from left to right.", "right"),
        ("motion", "from the top to the bottom", "down"),
        ("motion", "Upwards!", "up"),
        ("motion", "left and right", None),
    ],
)
def test_an_answer_says_the_only_value_that_it_names(kind: str, text: str, value: str | None) -> None:
    assert names.value_of(text, names.CATEGORIES[kind]) == value


def reply(text: str = "", boxes: Any = (), points: Any = ()) -> SimpleNamespace:
    return SimpleNamespace(
        text=text,
        boxes=[SimpleNamespace(xyxy_px=box) for box in boxes],
        points=[SimpleNamespace(xy_px=p) for p in points],
    )


def test_a_place_is_a_box_or_where_no_box_is_asked_for_a_point(items: list[ExamItem]) -> None:
    plain, boxed = (
        next(item for item in items if item.task == "where" and item.truth["point"] == point) for point in (True, False)
    )
    for item in (plain, boxed):
        left, top, right, bottom = box = item.truth["box_px"]
        middle = ((left + right) / 2, (top + bottom) / 2)
        assert scoring.is_right(item, reply(boxes=[box]))
        assert not scoring.is_right(
            item, reply(boxes=[(left, top, left + (right - left) / 3, bottom)], points=[middle])
        )
        assert not scoring.is_right(item, reply(f"at {middle}"))
        assert scoring.is_right(item, reply(points=[middle])) == (item is plain)
        assert not scoring.is_right(item, reply(points=[(right + 9, bottom)]))


def test_the_command_writes_scores_by_kind(
    items: list[ExamItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Knowing:
        """A model that knows every answer but those to questions about motion."""

        def __init__(self, source: str) -> None:
            assert source == "runs/knowing"

        def batch(self, conversations: Any, **settings: Any) -> list[SimpleNamespace]:
            assert conversations == [item.messages for item in items]
            assert settings["batch_size"] > 1
            words = ["left or right" if item.task == "motion" else item.truth.get("value") for item in items]
            boxes = [[item.truth["box_px"]] if item.task == "where" else [] for item in items]
            return [reply(f"I see {word}.", box) for word, box in zip(words, boxes, strict=True)]

    monkeypatch.setattr(command, "Chat", Knowing)
    monkeypatch.setattr(command, "draw_items", lambda: items)
    out = tmp_path / "scores.json"
    assert command.main(["--model", "runs/knowing", "--out", str(out)]) == 0
    result = json.loads(out.read_text(encoding="utf-8"))
    assert (result["model"], result["sha256"], result["mean"]) == ("knowing", STORED["sha256"], 0.8)
    assert result["kinds"]["motion"]["right"] == 0
    assert result["kinds"]["where"]["interval"][0] == pytest.approx(40 / (40 + 1.96**2), abs=1e-3)
    assert len(result["answers"]) == 200
    with pytest.raises(SystemExit):
        command.main(["--model", "runs/knowing"])


def test_the_command_writes_the_set_and_its_digests(
    items: list[ExamItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "draw_items", lambda: items[::33])
    assert command.main(["--archive", str(tmp_path / "plain.zip")]) == 0
    printed = json.loads(capsys.readouterr().out)
    kept = list(read_items(tmp_path / "plain.zip"))
    assert printed["sha256"] == asking.digest(kept) == asking.digest(items[::33])
    assert printed["archive_sha256"] == hashlib.sha256((tmp_path / "plain.zip").read_bytes()).hexdigest()
    assert printed.keys() == STORED.keys()


def test_the_stored_scores_are_of_this_set_and_follow_from_the_stored_answers(items: list[ExamItem]) -> None:
    result = json.loads((RESULTS / "nano_plain.json").read_text(encoding="utf-8"))
    assert result["sha256"] == STORED["sha256"]
    for item, answer in zip(items, result["answers"], strict=True):
        assert (answer["id"], answer["question"]) == (item.id, scoring.question_of(item))
        size = frames_of(item)[0].shape[1::-1]
        places = parse_places(answer["text"], [size])
        assert answer["right"] == scoring.is_right(item, reply(answer["text"], *boxes_and_points(places)))
    for kind, of in result["kinds"].items():
        right = sum(answer["right"] for answer in result["answers"] if answer["id"].startswith(kind))
        assert (of["right"], of["share"]) == (right, right / 40)


def boxes_and_points(places: Places) -> tuple[list[Any], list[Any]]:
    return [box.xyxy_px for box in places.boxes], [point.xy_px for point in places.points]
