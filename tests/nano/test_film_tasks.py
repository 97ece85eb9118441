"""Films beyond motion and order: frames and answers are derived again from the description in the truth."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from qwen2vl.common.errors import Qwen2VLError
from qwen2vl.data import records
from qwen2vl.nano.world import SPLITS, Item, corpus_words, fonts, palette, wording
from qwen2vl.nano.world.films.tasks import KINDS, LATE_FRAMES, LESSONS, MAKERS, QUESTIONS, WORDS
from qwen2vl.nano.world.lettering import fit_size
from qwen2vl.nano.world.shapes import kinds as shapes

ALL = MAKERS | LESSONS
WITH_DIGITS = ("late", "flash_rows")


def why_no_fonts() -> str:
    try:
        for split in SPLITS:
            fonts.faces(split)
    except Qwen2VLError as error:
        return str(error)
    return ""


NO_FONTS = why_no_fonts()
needs_fonts = pytest.mark.skipif(bool(NO_FONTS), reason=NO_FONTS)
EVERY = pytest.mark.parametrize("task", [pytest.param(t, marks=needs_fonts if t in WITH_DIGITS else ()) for t in ALL])


def items(task: str, count: int, split: str = "train") -> list[Item]:
    """Of every ease from 0 to 1."""
    return [ALL[task](Random(f"{split}/{task}/{seed}"), split, seed / (count - 1)) for seed in range(count)]


def frames_of(item: Item) -> list[Image.Image]:
    return item.messages[0]["content"][0]["video"]


def turns_of(item: Item) -> list[tuple[str, str]]:
    texts = [m["content"] if isinstance(m["content"], str) else m["content"][-1]["text"] for m in item.messages]
    return list(zip(texts[::2], [*texts[1::2], item.answer], strict=True))


def asked(question: str) -> tuple[str, dict[str, str]]:
    """Which question this is a wording of, and what was filled in; the least where several fit."""
    fitting = []
    for key, wordings in QUESTIONS.items():
        for each in wordings:
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(each))
            if found := re.fullmatch(pattern, question):
                fitting.append((sum(map(len, found.groups())), key, found.groupdict()))
    assert fitting, f"no question is worded {question!r}"
    return min(fitting, key=lambda each: each[0])[1:]


def mask_of(thing: dict) -> Image.Image:
    if "kind" in thing:
        return shapes.mask(thing["kind"], thing["side"], thing["turn"])
    (face,) = (face for split in SPLITS for face in fonts.faces(split) if face.file == thing["face"])
    large = Image.new("L", (200, 200))
    font = fonts.font(face, fit_size(face, thing["name"], thing["height"], thing["height"]))
    ImageDraw.Draw(large).text((50, 50), thing["name"], font=font, fill=255)
    return large.crop(large.getbbox())


def seen(thing: dict) -> list[int]:
    """The frames in which a thing shows."""
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


def by_motion(scene: dict) -> tuple[dict, list[dict]]:
    """The thing that moves, and those that flash."""
    (mover,) = (each for each in scene["things"] if len({tuple(span[2:]) for span in each["spans"]}) > 1)
    return mover, [each for each in scene["things"] if each is not mover]


def counted_rows(scene: dict) -> str:
    lines = []
    for frame in range(0, scene["num_frames"], 2):
        visible = [each for each in scene["things"] if frame in seen(each)]
        visible.sort(key=lambda each: (each["spans"][0][2] + mask_of(each).width / 2, each["spans"][0][3]))
        lines.append(", ".join(f"{e['name']} {sum(s <= frame for s in starts(e))}" for e in visible) or "no shape")
    return "\n".join(lines)


def derived(question: str, scene: dict) -> str:
    """The answer by the description alone."""
    key, parts = asked(question)
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
    if key == "event_rows":
        return counted_rows(scene)
    if key == "flash_rows":
        return "\n".join(each["name"] for each in sorted(things, key=lambda each: starts(each)[0]))
    if key == "colour":
        return called(scene, parts["kind"])["colour"]
    mover, flashing = by_motion(scene)
    if key == "direction":
        (x1, y1), (x2, y2) = mover["spans"][0][2:], mover["spans"][-1][2:]
        assert called(scene, parts["thing"]) is mover
        return ("right" if x2 > x1 else "left") if abs(x2 - x1) > abs(y2 - y1) else "down" if y2 > y1 else "up"
    ends = {"flash_first": min(flashing, key=lambda e: starts(e)[0]), "mover": mover}
    return (ends | {"flash_last": max(flashing, key=lambda e: starts(e)[-1])})[key]["name"]


@EVERY
@pytest.mark.parametrize("split", SPLITS)
def test_answers_follow_from_the_description(task: str, split: str) -> None:
    for item in items(task, 40, split):
        assert item.task == task and item.answer in item.truth["accept"]
        scene = json.loads(json.dumps(item.truth["scene"]))
        for question, answer in turns_of(item):
            assert derived(question, scene) == answer, (question, answer, scene)


@EVERY
def test_frames_are_what_the_description_says(task: str) -> None:
    for item in items(task, 24):
        scene = item.truth["scene"]
        drawn = []
        for frame in range(scene["num_frames"]):
            picture = Image.new("RGB", tuple(scene["size"]), tuple(scene["ground"]))
            for thing in scene["things"]:
                for first, until, x, y in thing["spans"]:
                    if first <= frame < until:
                        picture.paste(tuple(thing["rgb"]), (x, y), mask_of(thing))
            drawn.append(picture)
        assert [each.tobytes() for each in drawn] == [each.tobytes() for each in frames_of(item)]


def is_whole(thing: dict, place: list[int], size: tuple[int, int]) -> bool:
    """Whether nothing of it lies outside the picture, as while it enters."""
    extent = mask_of(thing).size
    return all(low >= 0 and low + length <= side for low, length, side in zip(place, extent, size, strict=True))


@EVERY
def test_things_stand_out_and_do_not_cover_each_other(task: str) -> None:
    """In every frame at least as many pixels differ clearly from the ground as the masks of what shows there have."""
    for item in items(task, 12):
        scene = item.truth["scene"]
        solid = [int((np.asarray(mask_of(thing)) > 200).sum()) for thing in scene["things"]]
        for frame, picture in enumerate(frames_of(item)):
            away = np.abs(np.asarray(picture).astype(int) - scene["ground"]).sum(axis=2) > 60
            expected = [
                pixels
                for pixels, thing in zip(solid, scene["things"], strict=True)
                for first, until, *place in thing["spans"]
                if first <= frame < until and is_whole(thing, place, picture.size)
            ]
            assert away.sum() >= sum(expected)


@EVERY
def test_sizes_keep_to_the_limits(task: str) -> None:
    for item in items(task, 40):
        frames = frames_of(item)
        (size,) = {frame.size for frame in frames}
        assert len(frames) % 2 == 0 and 6 <= len(frames) <= 64 and size[0] * size[1] >= 4 * 784
        assert size[0] % 28 == size[1] % 28 == 0 and max(size) <= 112
        assert len(frames) // 2 * size[0] * size[1] // 784 <= 170
    easiest = [frames_of(ALL[task](Random(seed), "train", 1.0)) for seed in range(20)]
    assert len({(frames[0].size, len(frames)) for frames in easiest}) == 1


def digest(tasks: tuple[str, ...]) -> str:
    made = hashlib.sha256()
    for task in tasks:
        item = ALL[task](Random(task), "val", 0.3)
        made.update(json.dumps([turns_of(item), item.truth]).encode())
        for frame in frames_of(item):
            made.update(frame.tobytes())
    return made.hexdigest()


def test_the_same_pixels_again_and_in_another_process() -> None:
    tasks = tuple(task for task in ALL if not (NO_FONTS and task in WITH_DIGITS))
    assert digest(tasks) == digest(tasks)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_film_tasks as t; print(t.digest(tuple(sys.argv[2:])))"
    )
    folder = Path(__file__).parent
    command = [sys.executable, "-c", code, str(folder), *tasks]
    other = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder.parents[1])
    assert other.stdout.strip() == digest(tasks)


@needs_fonts
def test_digits_are_in_faces_of_their_split() -> None:
    for split in SPLITS:
        files = {face.file for face in fonts.faces(split)}
        things = [
            each for task in WITH_DIGITS for item in items(task, 40, split) for each in item.truth["scene"]["things"]
        ]
        faces = {each["face"] for each in things if "face" in each}
        assert faces and faces <= files


def test_held_out_wordings_are_new_sentences_of_known_words() -> None:
    in_training = {each for group in QUESTIONS.values() for each in group[:-2]}
    elsewhere = {each for group in wording.QUESTIONS.values() for each in group}
    known = {word for each in in_training | elsewhere for word in re.findall(r"\w+", each.lower())}
    for group in QUESTIONS.values():
        assert len(group) == len(set(group)) >= 5
        for held_out in group[-2:]:
            assert held_out not in in_training | elsewhere
            assert set(re.findall(r"\w+", held_out.lower())) <= known


@EVERY
@pytest.mark.parametrize("split", SPLITS)
def test_questions_are_worded_for_their_split(task: str, split: str) -> None:
    place = {"train": slice(None, -2), "val": slice(-2, -1), "test": slice(-1, None)}[split]
    for item in items(task, 20, split):
        for question, _ in turns_of(item):
            key, parts = asked(question)
            assert question in [each.format(**parts) for each in QUESTIONS[key][place]]


@EVERY
def test_words_are_known_to_the_tokenizer(task: str) -> None:
    known = {*corpus_words(), *WORDS}
    known |= {word for group in QUESTIONS.values() for each in group for word in re.findall(r"[A-Za-z]+", each)}
    for item in items(task, 40):
        for question, answer in turns_of(item):
            assert question.isascii() and set(re.findall(r"[A-Za-z]+", f"{question} {answer}")) <= known


def test_counts_are_balanced() -> None:
    for task in ("events", "film_count"):
        given = [MAKERS[task](Random(seed), "train", 0.0).answer for seed in range(500)]
        assert set(given) == set("12345") and all(65 < given.count(each) < 135 for each in "12345")


def test_every_kind_is_one_of_the_paper() -> None:
    assert set(KINDS) == set(ALL) and set(KINDS.values()) <= set(records.KINDS)
    assert not set(ALL) & set(palette.COLOURS)
