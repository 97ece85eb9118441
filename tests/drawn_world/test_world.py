"""The drawn world: equal seeds give equal pixels, splits are disjoint, and truths agree with the pixels."""

import re
from pathlib import Path
from random import Random

import numpy as np
import pytest

from drawn_world import LESSONS, SPLITS, WITHOUT_FONTS, Item, draw, palette, words
from drawn_world import fonts as fonts_module
from drawn_world.screens import window_lessons
from drawn_world.screens import windows as screens
from drawn_world.shapes import kinds as shapes
from drawn_world.shapes import shape_scenes as scenes
from drawn_world.shapes import shape_tasks as scene_tasks
from qwen2vl.common.errors import Qwen2VLError

from .checks import (
    NO_TEXT,
    are_apart,
    are_inside,
    box_of,
    check_repeatable,
    digest_of,
    every_split,
    image_of,
    is_at,
    media_of,
    needs_text,
    question_of,
    taught_words,
)

BASIC = (
    "colour_shape", "count", "relate", "ground", "point", "caption", "compare", "read_word", "read_number", "page",
    "screen", "motion", "order", "text",
)  # fmt: skip
"""Tasks of one short question; those of other tests have descriptions from which their answers follow."""
BASIC_TASKS = [
    pytest.param(task, marks=() if task in WITHOUT_FONTS else needs_text, id=task) for task in BASIC
]  # reading needs fonts, pure text needs the word list


def digest(seeds: range) -> str:
    tasks = WITHOUT_FONTS if NO_TEXT else (*BASIC, *LESSONS)
    return digest_of(draw(task, seed, "val") for task in tasks for seed in seeds)


def test_same_seed_same_pixels_in_another_process() -> None:
    assert check_repeatable(digest, range(3)) != digest(range(3, 6))


def _inside(item: Item) -> None:
    pairs = [(int(x), int(y)) for x, y in re.findall(r"\((\d+),(\d+)\)", item.answer)]
    box, size = item.truth["box_px"], item.truth["size"]
    assert are_inside([box], size)
    assert all(0 <= value <= 999 for pair in pairs for value in pair)
    if item.truth["kind"] == "point":
        (point,) = pairs
        assert is_at(point, box, size)
    else:
        expected = [min(999, value * 1000 // side) for value, side in zip(box, size * 2, strict=True)]
        assert [value for pair in pairs for value in pair] == expected


@pytest.mark.parametrize("task", BASIC_TASKS)
@every_split
def test_every_item_is_well_formed(task: str, split: str) -> None:
    allowed = taught_words()
    for seed in range(200):
        item = draw(task, seed, split)
        assert item.task == task and item.answer
        assert question_of(item).isascii() and item.answer.isascii()
        if item.truth["kind"] == "text":
            assert item.answer in item.truth["accept"]
        else:
            _inside(item)
            assert tuple(item.truth["size"]) == media_of(item)[0].size
        known = allowed | set(item.truth.get("read", ())) | {"object", "ref", "start", "end", "box"}
        spoken = re.findall(r"[A-Za-z]+", f"{question_of(item)} {item.answer}")
        assert {word for word in spoken if len(word) > 1} <= known
        for image in media_of(item):
            assert (
                image.mode == "RGB" and min(image.size) >= 28 and max(image.size) <= (448 if task == "screen" else 224)
            )


def test_boxes_enclose_the_drawn_pixels_tightly() -> None:
    for seed in range(300):
        rng = Random(seed)
        ground = palette.background(rng)
        scene = scenes.scatter(rng, (112, 98), scenes.distinct_names(rng, 1, ground), 14, 60, ground)
        different = (np.asarray(scenes.draw_scene(scene)) != np.array(ground)).any(axis=2)
        assert scene.shapes[0].box_px == box_of(different)


def test_shapes_of_a_scene_do_not_touch() -> None:
    for seed in range(100):
        rng = Random(seed)
        ground = palette.background(rng)
        scene = scenes.scatter(rng, (112, 112), [("red", kind) for kind in shapes.KINDS], 18, 34, ground)
        assert are_apart([shape.box_px for shape in scene.shapes], 2)


def test_counts_equal_the_description(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[scenes.Scene] = []
    original = scene_tasks.render
    monkeypatch.setattr(scene_tasks, "render", lambda rng, scene: (drawn.append(scene), original(rng, scene))[1])
    for seed in range(300):
        item = draw("count", seed)
        things = item.truth["counted"].removesuffix(" shapes")
        described = [things in (shapes.PLURALS[s.kind], s.colour, "shapes") for s in drawn[-1].shapes]
        described = [True] * len(described) if things == "objects" else described
        if things == "shapes":
            described = [True] * len(drawn[-1].shapes)
        assert item.answer == str(sum(described))


def test_answers_are_balanced() -> None:
    for task, answers in (("relate", ("yes", "no")), ("motion", ("left", "right", "up", "down")), ("count", "012345")):
        given = [draw(task, seed).answer for seed in range(1200)]
        given = [answer for answer in given if answer in answers]
        shares = [given.count(answer) / len(given) for answer in answers]
        assert max(shares) - min(shares) < 0.1, (task, shares)


def test_videos_move_as_answered() -> None:
    """The centre of the pixels that differ from the background moves in the direction of the answer."""
    for seed in range(120):
        item = draw("motion", seed)
        frames = [np.asarray(frame).astype(int) for frame in media_of(item)]
        ground = np.median(frames[0].reshape(-1, 3), axis=0)
        middles = [np.argwhere(abs(frame - ground).sum(axis=2) > 60).mean(axis=0) for frame in (frames[0], frames[-1])]
        down, right = middles[1] - middles[0]
        moved = ("right" if right > 0 else "left") if abs(right) > abs(down) else ("down" if down > 0 else "up")
        assert moved == item.answer


def test_same_images_are_the_same_pixels() -> None:
    for seed in range(200):
        item = draw("compare", seed)
        one, two = (np.asarray(image).astype(int) for image in media_of(item))
        if item.answer in ("yes", "same"):
            assert abs(one - two).max() <= 12  # noise of both
        elif item.answer in ("no", "different"):
            assert (abs(one - two).sum(axis=2) > 60).sum() > 30


@needs_text
@every_split
def test_read_words_stay_in_their_split(split: str) -> None:
    known = {word for other in SPLITS for word in words.words(other)}
    for task in ("read_word", "page", "screen", "text"):
        for seed in range(150):
            for read in draw(task, seed, split).truth.get("read", ()):
                assert words.split_of(read.lower()) == split or read.lower() not in known
                assert split == "train" or read == read.lower()


def test_font_families_are_disjoint() -> None:
    families = [{face.family for face in fonts_module.FACES[split]} for split in SPLITS]
    assert sum(len(each) for each in families) == len(set.union(*families))
    assert all(any(face.mono for face in fonts_module.FACES[split]) for split in SPLITS)


@pytest.mark.parametrize("table", [screens.LAYOUTS, screens.THEMES], ids=["layouts", "themes"])
def test_windows_of_splits_look_different(table) -> None:
    assert set(table) == set(SPLITS)
    assert len({each for looks in table.values() for each in looks}) == sum(map(len, table.values()))


@needs_text
@pytest.mark.parametrize("ease", [1.0, 0.75, 0.5, 0.2])
def test_easier_reading(ease: float) -> None:
    forms = {draw("read_word", seed, ease=ease).truth["form"] for seed in range(80)}
    expected = {1.0: {"aligned"}, 0.75: {"aligned", "plain"}, 0.5: {"plain"}, 0.2: {"plain", "full"}}
    assert forms == expected[ease]


@needs_text
def test_controls_lie_inside_the_screen_and_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[screens.Screen] = []
    original = window_lessons.draw_window
    monkeypatch.setattr(window_lessons, "draw_window", lambda *args: drawn.append(original(*args)) or drawn[-1])
    for split in SPLITS:
        for seed in range(150):
            size = image_of(draw("screen", seed, split)).size
            boxes = [control.box_px for control in drawn[-1].controls]
            assert are_inside(boxes, size) and are_apart(boxes)


@needs_text
def test_text_lies_inside_its_image() -> None:
    """Letters reach the edge by the overhang of a face at most: the outermost pixels are mostly paper."""
    for seed in range(300):
        image = np.asarray(media_of(draw("read_word", seed, ease=0.5))[0]).astype(int)
        paper = np.median(image.reshape(-1, 3), axis=0)
        rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        assert (abs(rim - paper).sum(axis=1) > 150).mean() < 0.05


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("fly", 0), "fly"), (("count", 0, "dev"), "dev"), (("count", 0, "val", 2.0), "2.0")],
)
def test_wrong_arguments_are_named(arguments: tuple, named: str) -> None:
    with pytest.raises(Qwen2VLError, match=named):
        draw(*arguments)


@pytest.mark.parametrize(
    "word", ["are", "ares", "class", "grass", "grape", "passes", "farther", "rapid", "shell", "title"]
)
def test_ordinary_words_are_fit_to_be_drawn(word: str) -> None:
    assert not words.UNFIT.match(word)


@pytest.mark.parametrize("word", ["ass", "farted", "raped", "nigger", "shitty", "gypsies", "tits"])
def test_slurs_and_obscenities_are_not(word: str) -> None:
    assert words.UNFIT.match(word)


def test_missing_fonts_and_words_name_the_install_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fonts_module, "_installed", dict)
    monkeypatch.setattr(words, "WORD_LIST", tmp_path / "none")
    fonts_module.faces.cache_clear()
    words.words.cache_clear()
    try:
        with pytest.raises(Qwen2VLError, match="apt-get install"):
            fonts_module.faces("train")
        with pytest.raises(Qwen2VLError, match="apt-get install"):
            words.words("train")
    finally:
        fonts_module.faces.cache_clear()
        words.words.cache_clear()


def test_install_script_and_licence_table_name_every_package() -> None:
    root = Path(fonts_module.__file__).parents[1]
    assert fonts_module.INSTALL_LINE in (root / "scripts" / "install-fonts.sh").read_text().splitlines()
    table = Path(fonts_module.__file__).with_name("FONTS.md").read_text()
    assert all(f"| {package} |" in table for package in re.findall(r"fonts-\S+", fonts_module.INSTALL_LINE))
    assert all(face.family.split()[0] in table for split in SPLITS for face in fonts_module.FACES[split])
