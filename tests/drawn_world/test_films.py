"""Films: tests derive answers from the description in the truth, and look for the described things in the pixels."""

import re
from functools import partial
from random import Random

import numpy as np
import pytest

from drawn_world import fonts
from drawn_world.glyphs import emoji
from drawn_world.glyphs.grounds import Ground, paint
from drawn_world.videos import film_lessons
from drawn_world.videos.film_paths import WAYS
from drawn_world.wording import FILES

from .checks import (
    are_inside,
    asked,
    check_answers,
    check_repeatable,
    check_taught,
    check_wordings,
    digest_of,
    every_split,
    makers_of,
    media_of,
    needs,
    of_every_ease,
    taught_words,
    turns_of,
)

QUESTIONS = FILES["videos"]["questions"]
ALL = makers_of(film_lessons)
pytestmark = needs(partial(fonts.font_file, emoji.FONT))
every_film = pytest.mark.parametrize("task", ALL)
items = partial(of_every_ease, ALL)


def places(thing: dict) -> list:
    return [step for step in thing["steps"] if step]


def starts(thing: dict) -> list[int]:
    steps = thing["steps"]
    return [i for i, step in enumerate(steps) if step and (i == 0 or not steps[i - 1])]


def way(thing: dict) -> str:
    """The direction between its first and last place; "" if these are equal."""
    first, last = places(thing)[0], places(thing)[-1]
    across, down = last[0] - first[0], last[1] - first[1]
    if not across and not down:
        return ""
    signs = [np.sign(each) if abs(each) > 0.35 * max(abs(across), abs(down)) else 0 for each in (across, down)]
    return next(name for name, known in WAYS.items() if list(known) == signs)


def distance(thing: dict) -> float:
    return float(np.hypot(*np.subtract(places(thing)[-1][:2], places(thing)[0][:2])))


def called(scene: dict, name: str) -> dict:
    """The first thing of this kind or name: the one at the start, if it changes."""
    return next(each for each in scene["things"] if name in (each["kind"], each["name"]))


def one(found: list[dict]) -> dict:
    (only,) = found
    return only


def changes(scene: dict) -> tuple[dict, dict]:
    """What is there before and after a change."""
    things = scene["things"]
    return one([e for e in things if not e["steps"][-1]]), one([e for e in things if not e["steps"][0]])


def told(task: str, scene: dict) -> str:
    """The sentence that says what happens."""
    things = scene["things"]
    if task == "motion_talk":
        moving = [each for each in things if way(each)]
        return f"The {one(moving)['name']} moves {way(moving[0])}." if moving else "Nothing moves."
    if task == "event_talk":
        thing = one([each for each in things if not (each["steps"][0] and each["steps"][-1])])
        return f"The {thing['name']} {'disappears' if thing['steps'][0] else 'appears'}."
    growing = [each for each in things if len({step[2] for step in places(each)}) > 1]
    if growing:
        first, last = places(one(growing))[0], places(growing[0])[-1]
        return f"The {growing[0]['name']} gets {'bigger' if last[2] > first[2] else 'smaller'}."
    old, new = changes(scene)
    return (
        f"The {old['name']} turns " + (new["colour"] if old["kind"] == new["kind"] else f"into a {new['kind']}") + "."
    )


def derived(task: str, question: str, scene: dict) -> str:
    key, parts = asked(QUESTIONS, question)
    things = scene["things"]
    number = len(things) - (task == "change_talk" and any(not each["steps"][-1] for each in things))
    thing = called(scene, parts["thing"]) if key not in ("film_present",) and "thing" in parts else things[0]
    at_start = [each for each in things if each["steps"][0]]
    comers = sorted((each for each in things if not each["steps"][0]), key=starts)
    answers = {
        "film_number": lambda: str(number),
        "film_present": lambda: "yes" if re.sub("^an? ", "", parts["thing"]) in [e["name"] for e in things] else "no",
        "film_colour": lambda: called(scene, parts["kind"])["colour"],
        "film_shape": lambda: one([each for each in things if each["colour"] == parts["colour"]])["kind"],
        "film_still_image": lambda: "yes" if any(map(way, things)) else "no",
        "film_happens": lambda: told(task, scene),
        "film_moves": lambda: "yes" if way(thing) else "no",
        "film_still": lambda: one([each for each in things if not way(each)])["name"],
        "mover": lambda: one([each for each in things if way(each)])["name"],
        "film_way": lambda: way(one([each for each in things if way(each)])),
        "film_direction": lambda: way(thing),
        "film_same_way": lambda: "yes" if way(things[0]) == way(things[1]) else "no",
        "faster": lambda: max(things, key=distance)["name"],
        "slower": lambda: min(things, key=distance)["name"],
        "film_first": lambda: min(things, key=starts)["name"],
        "film_second": lambda: sorted(things, key=starts)[1]["name"],
        "film_last": lambda: max(comers, key=starts)["name"],
        "film_gone": lambda: one([each for each in at_start if not each["steps"][-1]])["name"],
        "film_stays": lambda: one([each for each in things if all(each["steps"])])["name"],
        "film_start": lambda: one(at_start)["name"],
        "events": lambda: str(len(starts(thing))),
        "film_grows": lambda: "bigger" if places(thing)[-1][2] > places(thing)[0][2] else "smaller",
        "changed_colour": lambda: changes(scene)[1]["colour"],
        "film_colour_after": lambda: changes(scene)[1]["colour"],
        "film_colour_before": lambda: changes(scene)[0]["colour"],
        "changed_what": lambda: changes(scene)[0]["kind"],
        "changed_shape": lambda: changes(scene)[1]["kind"],
        "film_shape_after": lambda: changes(scene)[1]["kind"],
    }
    return answers[key]()


@every_film
@every_split
def test_answers_follow_from_the_description(task: str, split: str) -> None:
    check_answers(items(task, 150, split), task, partial(derived, task))


@every_film
@every_split
def test_questions_are_worded_for_their_split_in_words_of_the_tokenizer(task: str, split: str) -> None:
    check_wordings(items(task, 40, split), QUESTIONS, split)
    known = taught_words() | {"Nothing"}
    check_taught(items(task, 40, split), known)


@every_film
def test_things_are_where_the_description_says(task: str) -> None:
    """What differs from the empty background lies in the boxes of the things, and in each of them something does."""
    checked = 0
    for item in items(task, 60):
        scene, frames = item.truth["scene"], media_of(item)
        ground = scene["ground"]
        if scene["noise"]:
            continue
        first, second = (tuple(colour) for colour in ground["colours"])
        bare = Ground(
            shade=ground["shade"], first=first, second=second, hue=ground["hue"], noise=0, grain=ground["grain"]
        )
        empty = np.asarray(paint(bare, tuple(scene["size"]))).astype(int)
        for index in (0, len(frames) // 2, len(frames) - 1):
            away = np.abs(np.asarray(frames[index]).astype(int) - empty).sum(axis=2) > 40
            steps = [(each["steps"][index], each) for each in scene["things"] if each["steps"][index]]
            allowed = np.zeros_like(away)
            for (x, y, side), _ in steps:  # the mask of a turned shape may be a few pixels larger than its side
                allowed[max(0, y - 2) : y + side + 4, max(0, x - 2) : x + side + 4] = True
                assert away[max(0, y) : y + side, max(0, x) : x + side].mean() > 0.1
            assert not (away & ~allowed).any()
            checked += len(steps)
    assert checked > 60


@every_film
def test_sizes_keep_to_the_limits_and_widen_with_ease(task: str) -> None:
    drawn = items(task, 80)
    for item in drawn:
        frames = media_of(item)
        (size,) = {frame.size for frame in frames}
        assert 2 <= len(frames) <= 16 and min(size) >= 70 and max(size) <= 336
        assert -(-len(frames) // 2) * size[0] * size[1] / 784 <= 270
        assert 1 <= len(turns_of(item)) <= 6
        for thing in item.truth["scene"]["things"]:
            assert all(8 <= side <= 120 for _, _, side in places(thing))
    easiest = [media_of(ALL[task](Random(seed), "train", 1.0)) for seed in range(20)]
    assert len({(frames[0].size, len(frames)) for frames in easiest}) == 1
    assert len({(media_of(item)[0].size, len(media_of(item))) for item in drawn[:20]}) > 12


def test_things_stay_apart_where_nothing_moves() -> None:
    for item in items("event_talk", 60):
        boxes = [
            [x, y, x + side // 2, y + side // 2] for e in item.truth["scene"]["things"] for x, y, side in places(e)[:1]
        ]
        assert are_inside(boxes, item.truth["scene"]["size"])


def test_directions_are_balanced() -> None:
    given = [
        way(each)
        for seed in range(600)
        for each in ALL["motion_talk"](Random(seed), "train", 0.0).truth["scene"]["things"]
    ]
    counts = [given.count(name) for name in ("left", "right", "up", "down")]
    assert min(counts) > 0.7 * max(counts) and sum(given.count(name) for name in list(WAYS)[4:]) > 20


def digest() -> str:
    return digest_of(ALL[task](Random(f"{task}/{seed}"), "val", 0.3) for task in ALL for seed in range(3))


def test_the_same_pixels_again_and_in_another_process() -> None:
    check_repeatable(digest)
