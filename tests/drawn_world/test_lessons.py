"""Lessons for training: easy forms have one geometry, and answers agree with the pixels."""

import re
from functools import partial

import numpy as np
import pytest
from PIL import Image

from drawn_world import KINDS, LESSONS, WITHOUT_FONTS, draw, fonts, palette
from drawn_world.reading import textures
from drawn_world.screens import window_lessons
from drawn_world.shapes import kinds as shapes
from qwen2vl.processing.grounding import parse_places

from .checks import changed, encloses, media_of, needs, needs_text, parts_of, turns_of

needs_fonts = needs(partial(fonts.faces, "train"))
ALL_LESSONS = [
    pytest.param(task, marks=() if task in WITHOUT_FONTS else needs_fonts) for task in LESSONS if KINDS[task] != "text"
]
OF_EVERY_SIZE = ("picture_stack", "language_lines", "image_talk", "cannot_tell")
"""Lessons with lines of any length at every ease, or with the images of other rooms in all their sizes."""


def colour_at(image: Image.Image, x: float, y: float) -> str:
    """Name of the nearest colour; "" for the background."""
    pixel = image.getpixel((int(x), int(y)))
    names = palette.COLOURS | {"": palette.EASY_GROUND}
    return min(names, key=lambda name: palette.distance(names[name], pixel))


@pytest.mark.parametrize("task", ALL_LESSONS)
def test_a_lesson_drawn_twice_is_equal_and_answers_every_question(task):
    for seed in range(40):
        one, again = (draw(task, seed, "train", seed / 39) for _ in range(2))
        assert parts_of(one) == parts_of(again)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(media_of(one), media_of(again), strict=True))
        assert all(question and answer for question, answer in parts_of(one))


@pytest.mark.parametrize("task", [each for each in ALL_LESSONS if each.values[0] not in OF_EVERY_SIZE])
def test_the_easiest_form_has_one_size(task):
    items = [draw(task, seed, "train", 1.0) for seed in range(30)]
    sizes = {(media_of(item)[0].size, len(media_of(item))) for item in items}
    assert len(sizes) <= (3 if task == "spaced_lines" else 1)  # its words may be longer than the usual width


def test_rows_name_the_colours_of_their_cells():
    for seed in range(20):
        item = draw("shape_rows", seed, "train", 1.0)
        (image,) = media_of(item)
        for row, line in enumerate(item.answer.split("\n")):
            for column, name in enumerate(line.split(", ")):
                colour, kind = name.split()
                if kind != "ring":  # hollow where we look
                    assert colour_at(image, column * 28 + 14, row * 28 + 14) == colour


def kind_in(cell: np.ndarray) -> str:
    """The kind whose outline fits the pixels of a cell best; "" for an empty cell."""
    seen = np.abs(cell.astype(int) - palette.EASY_GROUND).sum(axis=2) > 60
    overlaps = {"": 0.5 if not seen.any() else 0.0}
    for kind in shapes.KINDS:
        for turn in shapes.TURNS.get(kind, (0,)):
            mask = np.asarray(shapes.mask(kind, 25, turn)) > 127
            outline = np.zeros((28, 28), dtype=bool)
            top, left = (28 - mask.shape[0]) // 2, (28 - mask.shape[1]) // 2
            outline[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
            overlap = (outline & seen).sum() / (outline | seen).sum()
            overlaps[kind] = max(overlaps.get(kind, 0.0), overlap)
    return max(overlaps, key=overlaps.__getitem__)


def test_looking_up_answers_what_the_image_shows():
    for seed in range(30):
        item = draw("tell_apart", seed, "train", 1.0)
        (image,) = media_of(item)
        pixels = np.asarray(image)
        cells = [pixels[y : y + 28, x : x + 28] for y in range(0, 84, 28) for x in range(0, 112, 28)]
        at = {kind_in(cell): number for number, cell in enumerate(cells)}
        assert len(at) == len(turns_of(item)) + 1  # every shape is asked for, and the rest is empty
        for question, answer in turns_of(item):
            kind = re.search(r"the (\w+)\?", question)[1] if "colour" in question else answer
            colour = answer if "colour" in question else re.search(r"is (\w+)\?", question)[1]
            inked = cells[at[kind]].reshape(-1, 3).astype(int)
            inked = inked[np.abs(inked - palette.EASY_GROUND).sum(axis=1) > 60]
            middle = tuple(np.median(inked, axis=0).astype(int))
            assert min(palette.COLOURS, key=lambda name: palette.distance(palette.COLOURS[name], middle)) == colour


@needs_fonts
def test_the_point_is_on_the_named_one_of_several_controls(monkeypatch):
    windows = []
    for name in ("draw_window", "make_cells"):
        make = getattr(window_lessons, name)
        kept = partial(lambda make, *args, **settings: windows.append(make(*args, **settings)) or windows[-1], make)
        monkeypatch.setattr(window_lessons, name, kept)
    pointed = 0
    for seed in range(60):
        ease = seed % 2
        item = draw("control_one", seed, "train", ease)
        ((question, answer),), window = turns_of(item), windows[-1]
        assert len(window.controls) <= (2 if ease else 14)
        named = {control.label: control for control in window.controls}
        (control,) = [named[label] for label in named if re.search(rf"\b{re.escape(label)}\b", question)]
        for point in parse_places(answer, [window.image.size]).points:
            x1, y1, x2, y2 = control.box_px
            assert x1 <= point.xy_px[0] < x2 and y1 <= point.xy_px[1] < y2
            pointed += 1
    assert pointed > 30


@needs_text
def test_words_on_textures_stand_out_inside_their_box(monkeypatch):
    bare, make = [], textures.texture
    monkeypatch.setattr(textures, "texture", lambda *args: bare.append(make(*args)) or bare[-1].copy())
    seen = set()
    for seed in range(60):
        item = draw("word_on_texture", seed, "train", seed % 3 / 2)
        (image,), scene = media_of(item), item.truth["scene"]
        assert item.answer == scene["word"] and item.truth["read"] == [item.answer]
        inner, box = changed(image, bare[-1]), scene["box_px"]
        edge = {"none": 2, "outline": 4, "shadow": 11, "plate": 6}[scene["edge"]]  # the dot of a j stands over its line
        assert encloses((box[0] - edge, box[1] - edge, box[2] + edge, box[3] + edge), inner)
        assert inner[2] - inner[0] >= 0.8 * (box[2] - box[0])
        assert box[2] <= image.width and box[3] <= image.height
        seen.add(scene["pattern"])
    assert seen == set(textures.PATTERNS)


def test_a_tracked_shape_is_where_the_points_are():
    for seed in range(30):
        item = draw("track", seed, "train", 1.0)
        frames = media_of(item)
        points = [tuple(map(int, pair)) for pair in re.findall(r"\((\d+),(\d+)\)", item.answer)]
        assert len(points) == len(frames) // 2
        for frame, (x, y) in zip(frames[1::2], points, strict=True):
            ground = np.array(palette.EASY_GROUND)
            shape = np.argwhere((np.asarray(frame) != ground).any(axis=2))
            middle = (shape.min(axis=0) + shape.max(axis=0) + 1) / 2
            assert np.abs(middle - np.array([y * frame.height / 1000, x * frame.width / 1000])).max() <= 1


def test_frames_show_as_many_shapes_as_their_lines_name():
    for seed in range(30):
        item = draw("film_rows", seed, "train", 1.0)
        for frame, line in zip(media_of(item)[::2], item.answer.split("\n"), strict=True):
            empty = (np.asarray(frame) == np.array(palette.EASY_GROUND)).all()
            assert empty == (line == "no shape")
