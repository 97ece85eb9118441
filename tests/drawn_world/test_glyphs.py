"""Glyph images: answers follow from the described scene, boxes enclose their pixels, splits share only the kinds."""

import json
import re
from collections import Counter
from functools import partial
from itertools import combinations, pairwise
from random import Random

import numpy as np
import pytest
from PIL import Image

from drawn_world import SPLITS, fonts
from drawn_world.glyphs import emoji, glyph_lessons, glyph_quiz, glyph_scenes, glyph_tasks, grounds
from drawn_world.glyphs.glyph_scenes import Glyph, GlyphScene
from drawn_world.glyphs.grounds import Ground
from drawn_world.item import MAX_TURNS
from drawn_world.wording import FILES, LABELS
from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.processing.grounding import parse_places, to_thousandths

from .checks import (
    are_apart,
    are_inside,
    asked,
    box_of,
    check_repeatable,
    digest_of,
    drawn,
    every_split,
    image_of,
    makers_of,
    needs,
    parts_of,
    taught_words,
    turns_of,
)

MIXED = makers_of(glyph_lessons).pop("glyph_talk")
"""Its questions hold boxes; all others are only text."""
ALL = {name: make for name, make in makers_of(glyph_tasks, glyph_lessons).items() if name != "glyph_talk"}
QUESTIONS = FILES["glyphs"]["questions"]
draw = partial(drawn, ALL)
NOUNS = {*emoji.NAMES, *map(emoji.plural, emoji.NAMES), *glyph_quiz.ALL_THINGS}
pytestmark = needs(partial(emoji.raster, "dog", 28))
every_task = pytest.mark.parametrize("task", ALL)


def middle(glyph: dict) -> tuple[float, float]:
    x1, y1, x2, y2 = glyph["box_px"]
    return (x1 + x2) / 2, (y1 + y2) / 2


def digest() -> str:
    return digest_of(draw(task, 5, split, 0.3) for task in ALL for split in SPLITS)


def test_same_pixels_again_and_in_another_process() -> None:
    check_repeatable(digest)


@every_task
@every_split
def test_items_are_well_formed_at_every_ease(task: str, split: str) -> None:
    known = taught_words() | {"object", "ref", "start", "end", "box"}
    for seed in range(33):
        item = draw(task, seed, split, seed % 11 / 10)
        image, scene = image_of(item), item.truth["scene"]
        assert item.task == task and json.loads(json.dumps(item.truth)) == item.truth
        assert list(image.size) == scene["size"] and image.mode == "RGB"
        assert min(image.size) >= 56 and max(image.size) <= (448 if split == "train" else 224)
        assert len(turns_of(item)) <= MAX_TURNS
        for question, answer in turns_of(item):
            assert question and answer and question.isascii() and answer.isascii()
            assert set(re.findall(r"[A-Za-z]+", f"{question} {answer}")) <= known
        if item.truth["kind"] == "text":
            assert item.answer in item.truth["accept"]
        assert are_inside([glyph["box_px"] for glyph in scene["glyphs"]], image.size)
        for glyph in scene["glyphs"]:
            assert glyph["name"] in emoji.names_at(seed % 11 / 10)
            assert all(emoji.stands_out(glyph["name"], tuple(colour)) for colour in scene["ground"]["colours"])


@every_task
def test_the_easiest_form_has_one_size_and_one_ground(task: str) -> None:
    items = [draw(task, seed, "train", 1.0) for seed in range(30)]
    assert len({image_of(item).size for item in items}) == 1
    assert {item.truth["scene"]["ground"]["hue"] for item in items} == {-1}
    hues = [draw(task, seed, "train", 0.0).truth["scene"]["ground"]["hue"] for seed in range(30)]
    assert len(set(hues) - {grounds.GREY}) == sum(hue != grounds.GREY for hue in hues) > 15


@every_split
def test_names_and_captions_follow_from_the_scene(split: str) -> None:
    for seed in range(40):
        item = draw("glyph_name", seed, split, seed % 3 / 2)
        (glyph,) = item.truth["scene"]["glyphs"]
        assert glyph["name"] in item.truth["accept"] and item.answer.split() == [item.answer.split()[0], glyph["name"]]
        item = draw("glyph_caption", seed, split, seed % 3 / 2)
        ordered = sorted(item.truth["scene"]["glyphs"], key=middle)
        assert [part.split()[1] for part in item.answer.split(", ")] == [glyph["name"] for glyph in ordered]
        assert all(middle(b)[0] - middle(a)[0] >= 14 for a, b in pairwise(ordered)) and 2 <= len(ordered) <= 4


@pytest.mark.parametrize("task", ["glyph_ground", "glyph_point", "glyph_places", "glyph_one"])
@every_split
def test_places_follow_from_the_scene(task: str, split: str) -> None:
    for seed in range(40):
        item = draw(task, seed, split, seed % 3 / 2)
        size, boxes = item.truth["scene"]["size"], {g["name"]: g["box_px"] for g in item.truth["scene"]["glyphs"]}
        assert len(boxes) == len(item.truth["scene"]["glyphs"])  # no kind twice: every label is clear
        for question, answer in turns_of(item):
            name = asked(QUESTIONS, question)[1]["label"].removeprefix("the ")
            places = parse_places(answer, [tuple(size)])
            x1, y1, x2, y2 = boxes[name]
            for box in places.boxes:
                assert box.label == f"the {name}"
                assert np.abs(np.array(box.xyxy_px) - (x1, y1, x2, y2)).max() <= max(size) / 1000 + 0.01
            for point in places.points:
                assert x1 <= point.xy_px[0] < x2 and y1 <= point.xy_px[1] < y2
            assert len(places.boxes) + len(places.points) == 1
        if task == "glyph_one":
            assert len(boxes) > 1 and len(turns_of(item)) == 1
        if task in ("glyph_ground", "glyph_point"):
            assert item.truth["box_px"] == boxes[name] and item.truth["size"] == size


def counted(scene: dict, things: str) -> int:
    names = [glyph["name"] for glyph in scene["glyphs"]]
    return len(names) if things in ("things", "objects") else sum(emoji.plural(name) == things for name in names)


@every_split
def test_counts_follow_from_the_scene_and_are_balanced(split: str) -> None:
    answers = []
    for seed in range(180):
        item = draw("glyph_count", seed, split, seed % 3 / 2)
        assert item.answer == str(counted(item.truth["scene"], item.truth["counted"]))
        assert item.truth["counted"] in turns_of(item)[0][0]
        answers.append(int(item.answer))
    assert set(answers) == set(range(1, 10)) and max(map(answers.count, range(1, 10))) < 45


def seen_from(scene: dict, name: str, relation: str) -> list[str]:
    """Names of the glyphs within 45 degrees of that direction, nearest first."""
    (reference,) = [glyph for glyph in scene["glyphs"] if glyph["name"] == name]
    turn = {"right of": 0, "below": 90, "left of": 180, "above": 270}[relation]
    found = []
    for glyph in scene["glyphs"]:
        right, down = (a - b for a, b in zip(middle(glyph), middle(reference), strict=True))
        angle = (np.degrees(np.arctan2(down, right)) - turn + 180) % 360 - 180
        if glyph is not reference and abs(angle) < 42:
            found.append((np.hypot(right, down), glyph["name"]))
    return [name for _, name in sorted(found)]


@every_split
def test_neighbours_follow_from_the_scene(split: str) -> None:
    for seed in range(40):
        item = draw("glyph_look_up", seed, split, seed % 3 / 2)
        assert seen_from(item.truth["scene"], item.truth["of"], item.truth["relation"]) == [item.answer]
        assert f"{item.truth['relation']} the {item.truth['of']}" in turns_of(item)[0][0]


def test_rows_follow_from_the_scene() -> None:
    sides = set()
    for seed in range(40):
        item = draw("glyph_rows", seed, "train", seed % 3 / 2)
        shown = item.truth["scene"]["glyphs"]
        lines = [line.split(", ") for line in item.answer.split("\n")]
        height = item.truth["scene"]["size"][1] / len(lines)
        rows = [[g for g in shown if row == middle(g)[1] // height] for row in range(len(lines))]
        assert lines == [[glyph["name"] for glyph in sorted(row, key=middle)] for row in rows]
        if seed % 3 == 2:
            sides |= {glyph["side"] for glyph in shown}
    assert sides == {26, 54}  # ease 1: one visual token, or four


def derived(key: str, parts: dict[str, str], scene: dict) -> str:
    """The answer to a question of text only, from the description."""
    names, areas = [glyph["name"] for glyph in scene["glyphs"]], [area(glyph) for glyph in scene["glyphs"]]
    if key == "glyph_count":
        return str(counted(scene, parts["things"]))
    if key == "glyph_corner":
        vertical, horizontal = parts["corner"].split()
        corner = (scene["size"][0] * (horizontal == "right"), scene["size"][1] * (vertical == "lower"))
        far = [np.abs(np.subtract(middle(g), corner) / scene["size"]).max() for g in scene["glyphs"]]
        assert min(far) < 0.4
        return names[int(np.argmin(far))]
    if key == "glyph_look_up":
        relation = parts["relation"].removeprefix("just ")
        seen = seen_from(scene, parts["b"], relation)
        assert relation != parts["relation"] or len(seen) == 1
        return seen[0]
    if key == "glyph_present":
        return "yes" if parts["thing"].split()[-1] in names else "no"
    if key in ("glyph_which_corner", "glyph_left_right", "glyph_top_bottom"):
        across, down = np.divide(middle(scene["glyphs"][names.index(parts["b"])]), scene["size"])
        if key == "glyph_left_right":
            return "left" if across < 0.5 else "right"
        if key == "glyph_top_bottom":
            return "top" if down < 0.5 else "bottom"
        return f"{'upper' if down < 0.5 else 'lower'} {'left' if across < 0.5 else 'right'}"
    if key == "glyph_larger":
        return max((parts["a"], parts["b"]), key=lambda name: areas[names.index(name)])
    if key in ("glyph_largest", "glyph_smallest"):
        return names[areas.index(max(areas) if key == "glyph_largest" else min(areas))]
    if key == "glyph_more":
        return max((parts["a"], parts["b"]), key=lambda things: counted(scene, things))
    assert key in ("glyph_name", "glyph_caption"), key
    ordered = sorted(scene["glyphs"], key=middle)
    return ", ".join(f"{'an' if glyph['name'][0] in 'aeiou' else 'a'} {glyph['name']}" for glyph in ordered)


def area(glyph: dict) -> int:
    x1, y1, x2, y2 = glyph["box_px"]
    return (x2 - x1) * (y2 - y1)


@every_split
def test_mixed_dialogues_follow_from_the_scene(split: str) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(250):
        item = MIXED(Random(f"{split}/{seed}"), split, seed % 3 / 2)
        scene = item.truth["scene"]
        size, shown = tuple(scene["size"]), {glyph["name"]: glyph["box_px"] for glyph in scene["glyphs"]}
        for parts, answer in parts_of(item):
            key, filled = asked(QUESTIONS, "".join(part.get("text", "@") for part in parts))
            boxes = [part["box"] for part in parts if part["type"] == "box"]
            assert (key == "glyph_in_box") == bool(boxes)
            if boxes:
                assert boxes == [list(to_thousandths(shown[answer], size))]
            elif answer == LABELS["cannot_tell"][0]:
                assert filled["label"].removeprefix("the ") not in shown
                key = "absent"
            elif key in ("glyph_ground", "glyph_point"):
                places, (x1, y1, x2, y2) = parse_places(answer, [size]), shown[filled["label"].removeprefix("the ")]
                box = [*places.boxes[0].xyxy_px] if places.boxes else [*places.points[0].xy_px] * 2
                assert x1 - 1 <= box[0] and y1 - 1 <= box[1] and box[2] <= x2 + 1 and box[3] <= y2 + 1
            elif key == "glyph_boxes":
                found = parse_places(answer, [size]).boxes
                assert sorted(box.label for box in found) == sorted(glyph["name"] for glyph in scene["glyphs"])
                # Reading order: what lies wholly below another one comes after it.
                assert all(a.xyxy_px[1] < b.xyxy_px[3] for a, b in combinations(found, 2))
            else:
                assert answer == derived(key, filled, scene), (key, filled)
            kinds[key] += 1
    assert min(kinds.values()) > 1 and len(kinds) == 18
    assert 0.05 < kinds["absent"] / kinds.total() < 0.2


def test_boxes_enclose_the_drawn_pixels_tightly() -> None:
    for seed in range(200):
        rng = Random(seed)
        glyph = Glyph(name=rng.choice(emoji.NAMES), side=rng.randint(20, 84), x=rng.randint(0, 9), y=rng.randint(0, 9))
        shown = []
        for colour in ((255, 0, 255), (0, 255, 0)):  # no glyph has both
            ground = Ground(shade="plain", first=colour, second=colour, hue=0, noise=0)
            scene = GlyphScene(size=(96, 96), ground=ground, layout="free", glyphs=(glyph,))
            shown.append((np.asarray(glyph_scenes.render(rng, scene)) != np.array(colour)).any(axis=2))
        x1, y1, x2, y2 = box = box_of(shown[0] | shown[1])
        assert glyph.box_px == box and abs(max(x2 - x1, y2 - y1) - glyph.side) <= 2


@every_task
def test_glyphs_do_not_touch(task: str) -> None:
    for seed in range(30):
        boxes = [glyph["box_px"] for glyph in draw(task, seed, SPLITS[seed % 3]).truth["scene"]["glyphs"]]
        assert are_apart(boxes)


def wording_of(question: str) -> str:
    """The question with placeholders for names and relations."""
    question = re.sub(r"(left|right) of|above|below", "@", question)
    return re.sub(r"\w+", lambda found: "#" if found[0] in NOUNS else found[0], question)


def test_nothing_but_the_kinds_is_in_two_splits() -> None:
    for table in (glyph_scenes.SIDES, glyph_scenes.LAYOUTS):
        assert sum(len(set(table[split])) for split in SPLITS) == len({each for s in SPLITS for each in table[s]})
    arcs = sorted(arc for split in SPLITS for arc in grounds.HUES[split])
    assert all(a[1] < b[0] for a, b in pairwise(arcs)) and arcs[-1][1] < 1
    for task in (each.name for each in glyph_tasks.TASKS if not each.lesson):
        worded: dict[str, set[str]] = {}
        for split in SPLITS:
            items = [draw(task, seed, split) for seed in range(40)]
            scenes = [item.truth["scene"] for item in items]
            assert {glyph["side"] for scene in scenes for glyph in scene["glyphs"]} <= set(glyph_scenes.SIDES[split])
            assert {scene["layout"] for scene in scenes} <= set(glyph_scenes.LAYOUTS[split])
            hues = {scene["ground"]["hue"] for scene in scenes} - ({grounds.GREY} if split == "train" else set())
            assert all(any(low <= hue <= high for low, high in grounds.HUES[split]) for hue in hues)
            worded[split] = {wording_of(turns_of(item)[0][0]) for item in items}
        assert len(set.union(*worded.values())) == sum(map(len, worded.values()))


def test_the_table_has_one_name_and_one_code_point_a_kind() -> None:
    assert len(emoji.NAMES) == 150 == len(set(emoji.EMOJI.values()))
    assert all(re.fullmatch("[a-z]+", name) and len(glyph) == 1 for name, glyph in emoji.EMOJI.items())
    plurals = [emoji.plural(name) for name in emoji.NAMES]
    assert len(set(plurals)) == 150
    same = {"fish", "sheep", "dice"}
    assert {name for name in emoji.NAMES if name in plurals} == same
    assert [emoji.plural(name) for name in ("bus", "cherry", "monkey", "fox", "watch", "leaf")] == [
        "buses", "cherries", "monkeys", "foxes", "watches", "leaves",
    ]  # fmt: skip


def test_no_two_kinds_look_alike() -> None:
    """Mean difference of a channel at 24 pixels on grey and on near white, averaged 2 x 2: at least 20, mostly 50."""
    looks = np.stack([np.concatenate([_look(name, grey) for grey in (128, 235)]) for name in emoji.NAMES])
    distances = np.stack([np.abs(looks - look).mean(axis=1) for look in looks]) + 1000 * np.eye(len(looks))
    assert distances.min() > 15, [emoji.NAMES[i] for i in np.unravel_index(distances.argmin(), distances.shape)]


def _look(name: str, grey: int) -> np.ndarray:
    glyph, field = emoji.raster(name, 24), Image.new("RGB", (24, 24), (grey, grey, grey))
    field.paste(glyph, ((24 - glyph.width) // 2, (24 - glyph.height) // 2), glyph)
    return np.asarray(field.reduce(2)).astype(np.float32).ravel()


def test_kinds_come_in_gradually_and_stand_out() -> None:
    assert [len(emoji.names_at(ease)) for ease in (1.0, 0.5, 0.0)] == [24, 75, 150]
    counts = [len(emoji.names_at(step / 20)) for step in range(21)]
    assert counts == sorted(counts, reverse=True) and len(set(counts)) == 21
    assert all(emoji.stands_out(name, grounds.EASY.first) for name in emoji.names_at(1.0))
    assert not emoji.stands_out("cloud", (240, 240, 240)) and emoji.stands_out("cloud", (30, 60, 30))


def test_a_missing_font_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_installed", dict)
    for cache in (emoji._font, emoji._full_size, emoji.raster, emoji._sample):
        cache.cache_clear()
    with pytest.raises(Qwen2VLError, match="apt-get install.*fonts-noto-color-emoji"):
        draw("glyph_name", 0)
