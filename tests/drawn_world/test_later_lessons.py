"""Overlapping shapes, knowledge about things, and articles: tests derive each answer, where possible from the pixels."""

import re
from collections import Counter

import numpy as np
import pytest

from drawn_world import KINDS, fonts, palette
from drawn_world.glyphs import articles, emoji, knowledge
from drawn_world.shapes import overlaps
from drawn_world.wording import FILES
from drawn_world.write_records import MediaFile, record_body

from .checks import (
    asked,
    check_repeatable,
    check_wordings,
    digest_of,
    every_split,
    image_of,
    makers_of,
    needs,
    of_every_ease,
    turns_of,
)

needs_glyphs = needs(lambda: fonts.font_file(emoji.FONT))
MODULES = (overlaps, pytest.param(knowledge, marks=needs_glyphs), pytest.param(articles, marks=needs_glyphs))
every_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])


def items(module, split="train", count=60):
    (task,) = module.TASKS
    return of_every_ease(makers_of(module), task.name, count, split)


def digest_of_module(name: str) -> str:
    return digest_of(items({each.__name__: each for each in (overlaps, knowledge, articles)}[name], "val", 6))


@every_module
def test_same_pixels_in_another_process(module) -> None:
    check_repeatable(digest_of_module, module.__name__)


@every_module
@every_split
def test_wordings_are_held_out(module, split) -> None:
    name = module.__name__.rpartition(".")[2]
    if module is not articles:
        check_wordings(items(module, split), FILES[name]["questions"], split)


@every_split
def test_what_lies_in_front_hides_a_part_of_what_is_behind(split) -> None:
    seen = Counter()
    for item in items(overlaps, split, 200):
        ((question, answer),) = turns_of(item)
        form, parts = asked(FILES["overlaps"]["questions"], question)
        front, behind = (item.truth["scene"][place] for place in ("in_front", "behind"))
        if form == "covers":
            assert {parts["a"], parts["b"]} == {front, behind}
            assert answer == ("yes" if parts["a"] == front else "no")
        else:
            assert answer.split(maxsplit=1)[1] == {"in_front": front, "behind": behind}[form]
        assert {name.split()[0] for name in (front, behind)} <= colours_in(np.asarray(image_of(item)))
        seen[form, answer if form == "covers" else ""] += 1
    assert len(seen) == 4 and min(seen.values()) > 15


def colours_in(pixels: np.ndarray) -> set[str]:
    """Names of the colours that many pixels have, except that of the background."""
    names, table = list(palette.COLOURS), np.array(list(palette.COLOURS.values()))
    ground = np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]), axis=0)
    flat = pixels.reshape(-1, 3).astype(int)
    flat = flat[np.abs(flat - ground).sum(axis=1) > 60]
    nearest = np.abs(flat[:, None] - table).sum(axis=2).argmin(axis=1)
    counts = np.bincount(nearest, minlength=len(names))
    return {name for name, count in zip(names, counts, strict=True) if count > 80}


@needs_glyphs
@every_split
def test_answers_about_things_follow_from_the_tables(split) -> None:
    assert all(set(names) <= set(emoji.NAMES) for each in knowledge.ANSWERS.values() for names in each.values())
    legs, flies = knowledge.ANSWERS["legs"], knowledge.ANSWERS["flies"]
    answers = Counter()
    for item in items(knowledge, split, 300):
        ((question, answer),) = turns_of(item)
        form, parts = asked(FILES["knowledge"]["questions"], question)
        (glyph,) = item.truth["scene"]["glyphs"]
        kinds = [kind for kind, names in knowledge.ANSWERS["kind"].items() if glyph["name"] in names]
        if form == "kind":
            assert [answer.split()[1]] == kinds
        elif form == "is_a":
            assert answer == ("yes" if parts["kind"].split()[1] in kinds else "no")
        elif form == "legs":
            assert glyph["name"] in legs[answer]
        else:
            assert answer == ("yes" if glyph["name"] in flies["yes"] else "no")
            assert (glyph["name"] in flies["yes"]) != (glyph["name"] in flies["no"])
        answers[form, answer] += 1
    for form in ("is_a", "flies"):
        yes, no = (answers[form, answer] for answer in ("yes", "no"))
        assert 0.5 < yes / no < 2
    assert len([answer for form, answer in answers if form == "legs"]) == len(legs)


@needs_glyphs
@every_split
def test_articles_name_what_their_images_show_and_become_documents(split) -> None:
    for item in items(articles, split):
        texts = [part["text"] for part in item.messages[0]["content"] if part["type"] == "text"]
        images = item.truth["scene"]["images"]
        for text, image in zip(texts, images, strict=True):
            names = [glyph["name"] for glyph in image["glyphs"]]
            assert len(set(names)) == 1
            number, thing = re.search(r"\b(an?|two|three) (\w+)( here)?\.\n$", text).groups()[:2]
            assert len(names) == {"a": 1, "an": 1, "two": 2, "three": 3}[number]
            assert thing == (names[0] if len(names) == 1 else emoji.plural(names[0]))
        assert re.findall(r"\d+", item.answer) == [str(sum(len(image["glyphs"]) for image in images))]
        document = record_body(item, KINDS[item.task], MediaFile("media/x.bin"))["document"]
        assert [part["type"] for part in document] == ["image", "text"] * len(images) + ["text"]
        assert document[-1]["text"] == item.answer
