"""Videos beyond motion and order: tests derive frames and answers from the description in the truth."""

from functools import partial
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from drawn_world import SPLITS, fonts
from drawn_world.shapes import kinds as shapes
from drawn_world.videos import video_lessons, video_tasks
from drawn_world.videos.video_tasks import LATE_FRAMES
from drawn_world.wording import FILES

from .checks import (
    asked,
    check_answers,
    check_repeatable,
    check_taught,
    check_wordings,
    digest_of,
    every_face,
    every_split,
    makers_of,
    media_of,
    needs,
    of_every_ease,
    taught_words,
    why_not,
)

QUESTIONS = FILES["videos"]["questions"]
ALL = makers_of(video_tasks, video_lessons)
WITH_DIGITS = ("late",)
NO_FONTS = why_not(every_face)
needs_fonts = needs(every_face)
EVERY = pytest.mark.parametrize("task", [pytest.param(t, marks=needs_fonts if t in WITH_DIGITS else ()) for t in ALL])
items = partial(of_every_ease, ALL)


def mask_of(thing: dict) -> Image.Image:
    if "kind" in thing:
        return shapes.mask(thing["kind"], thing["side"], thing["turn"])
    (face,) = (face for split in SPLITS for face in fonts.faces(split) if face.file == thing["face"])
    large = Image.new("L", (200, 200))
    font = face.at(face.fit_size(thing["name"], thing["height"], thing["height"]))
    ImageDraw.Draw(large).text((50, 50), thing["name"], font=font, fill=255)
    return large.crop(large.getbbox())


def seen(thing: dict) -> list[int]:
    """The frames in which a thing is visible."""
    return sorted(frame for first, until, *_ in thing["spans"] for frame in range(first, until))


def starts(thing: dict) -> list[int]:
    """The frames in which it appears."""
    frames = seen(thing)
    return [frame for frame in frames if frame - 1 not in frames]


def travel(thing: dict, first: int, last: int) -> float:
    places = {frame: span[2:] for span in thing["spans"] for frame in range(span[0], span[1])}
    return sum(abs(b - a) for a, b in zip(places[first], places[last], strict=True))


def called(scene: dict, thing: str) -> dict:
    """The one thing of this kind or name."""
    (found,) = (each for each in scene["things"] if thing in (each.get("kind"), each["name"]))
    return found


def counted_rows(scene: dict) -> str:
    lines = []
    for frame in range(0, scene["num_frames"], 2):
        visible = [each for each in scene["things"] if frame in seen(each)]
        visible.sort(key=lambda each: (each["spans"][0][2] + mask_of(each).width / 2, each["spans"][0][3]))
        lines.append(", ".join(f"{e['name']} {sum(s <= frame for s in starts(e))}" for e in visible) or "no shape")
    return "\n".join(lines)


def derived(question: str, scene: dict) -> str:
    """The answer, from the description alone."""
    key, parts = asked(QUESTIONS, question)
    things, last = scene["things"], scene["num_frames"] - 1
    old, new = ([each for each in things if frame in seen(each)] for frame in (0, last))
    if key == "events":
        return str(len(starts(called(scene, parts["thing"]))))
    if key in ("faster", "slower"):
        fast, slow = sorted(things, key=lambda each: travel(each, 0, last), reverse=True)
        assert travel(fast, 0, last) >= 1.8 * travel(slow, 0, last)
        return (fast if key == "faster" else slow)["name"]
    if key == "speed_change":
        return "faster" if travel(things[0], 0, last // 2) < travel(things[0], last - last // 2, last) else "slower"
    if key in ("changed_colour", "changed_shape"):
        what = "colour" if key == "changed_colour" else "kind"
        (value,) = {each[what] for each in new} - {each[what] for each in old}
        return value
    if key == "changed_what":
        ((kind, _),) = {(e["kind"], e["colour"]) for e in new} - {(e["kind"], e["colour"]) for e in old}
        return kind
    if key.startswith("late"):
        (thing,) = (each for each in things if starts(each) and starts(each)[-1] >= LATE_FRAMES - 20)
        assert 2 <= len(seen(thing)) <= 6 and ("face" in thing) == (key == "late_digit")
        return thing["colour" if key == "late_colour" else "name"]
    if key == "film_count":
        return str(sum(starts(each)[0] > 0 for each in things))
    assert key == "event_rows"
    return counted_rows(scene)


@EVERY
@every_split
def test_answers_follow_from_the_description(task: str, split: str) -> None:
    check_answers(items(task, 40, split), task, derived)


@EVERY
def test_frames_are_what_the_description_says(task: str) -> None:
    for item in items(task, 24):
        scene = item.truth["scene"]
        drawn = []
        for frame in range(scene["num_frames"]):
            image = Image.new("RGB", tuple(scene["size"]), tuple(scene["ground"]))
            for thing in scene["things"]:
                for first, until, x, y in thing["spans"]:
                    if first <= frame < until:
                        image.paste(tuple(thing["rgb"]), (x, y), mask_of(thing))
            drawn.append(image)
        assert [each.tobytes() for each in drawn] == [each.tobytes() for each in media_of(item)]


def is_whole(thing: dict, place: list[int], size: tuple[int, int]) -> bool:
    """Whether all of a thing is inside the image, unlike while it enters."""
    extent = mask_of(thing).size
    return all(low >= 0 and low + length <= side for low, length, side in zip(place, extent, size, strict=True))


@EVERY
def test_things_stand_out_and_do_not_cover_each_other(task: str) -> None:
    """In every frame the pixels that differ clearly from the background are at least those of the visible masks."""
    for item in items(task, 12):
        scene = item.truth["scene"]
        solid = [int((np.asarray(mask_of(thing)) > 200).sum()) for thing in scene["things"]]
        for frame, image in enumerate(media_of(item)):
            away = np.abs(np.asarray(image).astype(int) - scene["ground"]).sum(axis=2) > 60
            expected = [
                pixels
                for pixels, thing in zip(solid, scene["things"], strict=True)
                for first, until, *place in thing["spans"]
                if first <= frame < until and is_whole(thing, place, image.size)
            ]
            assert away.sum() >= sum(expected)


@EVERY
def test_sizes_keep_to_the_limits(task: str) -> None:
    for item in items(task, 40):
        frames = media_of(item)
        (size,) = {frame.size for frame in frames}
        assert len(frames) % 2 == 0 and 6 <= len(frames) <= 64 and size[0] * size[1] >= 4 * 784
        assert size[0] % 28 == size[1] % 28 == 0 and max(size) <= 112
        assert len(frames) // 2 * size[0] * size[1] // 784 <= 170
    easiest = [media_of(ALL[task](Random(seed), "train", 1.0)) for seed in range(20)]
    assert len({(frames[0].size, len(frames)) for frames in easiest}) == 1


def digest() -> str:
    tasks = [task for task in ALL if not (NO_FONTS and task in WITH_DIGITS)]
    return digest_of(ALL[task](Random(task), "val", 0.3) for task in tasks)


def test_the_same_pixels_again_and_in_another_process() -> None:
    check_repeatable(digest)


@needs_fonts
def test_digits_are_in_faces_of_their_split() -> None:
    for split in SPLITS:
        files = {face.file for face in fonts.faces(split)}
        things = [
            each for task in WITH_DIGITS for item in items(task, 40, split) for each in item.truth["scene"]["things"]
        ]
        faces = {each["face"] for each in things if "face" in each}
        assert faces and faces <= files


@EVERY
@every_split
def test_questions_are_worded_for_their_split(task: str, split: str) -> None:
    check_wordings(items(task, 20, split), QUESTIONS, split)


@EVERY
def test_words_are_known_to_the_tokenizer(task: str) -> None:
    check_taught(items(task, 40), taught_words())


def test_counts_are_balanced() -> None:
    for task in ("events", "film_count"):
        given = [ALL[task](Random(seed), "train", 0.0).answer for seed in range(500)]
        assert set(given) == set("12345") and all(65 < given.count(each) < 135 for each in "12345")
