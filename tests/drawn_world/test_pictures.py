"""Dialogues about several images of glyphs: tests derive the answers from the descriptions of the images."""

from collections import Counter
from functools import partial
from random import Random

from drawn_world import fonts
from drawn_world.glyphs import emoji, picture_lessons
from drawn_world.glyphs.picture_lessons import ORDINALS
from drawn_world.wording import FILES, LABELS

from .checks import (
    asked,
    check_repeatable,
    check_wordings,
    digest_of,
    every_split,
    makers_of,
    media_of,
    needs,
    of_every_ease,
    turns_of,
)

ALL = makers_of(picture_lessons)
QUESTIONS = {key: each for key, each in FILES["glyphs"]["questions"].items() if key.startswith("picture")}
pytestmark = needs(partial(fonts.font_file, emoji.FONT))
items = partial(of_every_ease, ALL, "picture_talk")


def with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def derived(key: str, parts: dict[str, str], images: list[dict]) -> str:
    names = [[glyph["name"] for glyph in sorted(image["glyphs"], key=middle)] for image in images]
    if key == "picture_number":
        return str(len(images))
    if key == "picture_count":
        return str(len(names[ORDINALS.index(parts["which"])]))
    if key == "picture_what":
        return ", ".join(map(with_article, names[ORDINALS.index(parts["which"])]))
    if key == "picture_which":
        found = [i for i, each in enumerate(names) if parts["thing"].split()[-1] in each]
        assert len(found) < 2
        return ORDINALS[found[0]] if found else LABELS["cannot_tell"][0]
    if key == "picture_most":
        ((index, _), (_, second), *_) = Counter({i: len(each) for i, each in enumerate(names)}).most_common()
        assert len(names[index]) > second
        return ORDINALS[index]
    (shared,) = {*names[0]} & {*names[1]} or {""}
    return with_article(shared) if key == "picture_shared" else "yes" if shared else "no"


def middle(glyph: dict) -> float:
    return glyph["box_px"][0] + glyph["box_px"][2]


@every_split
def test_answers_follow_from_the_images(split: str) -> None:
    keys: Counter[str] = Counter()
    drawn = items(250, split)
    for item in drawn:
        images = item.truth["scene"]["images"]
        assert [list(image.size) for image in media_of(item)] == [image["size"] for image in images]
        for question, answer in turns_of(item):
            key, parts = asked(QUESTIONS, question)
            assert derived(key, parts, images) == answer, (question, answer)
            keys[key] += 1
    assert {*keys} == {*QUESTIONS} and min(keys.values()) > 5
    check_wordings(drawn[:50], QUESTIONS, split)


def digest() -> str:
    return digest_of(ALL["picture_talk"](Random(seed), "val", 0.3) for seed in range(6))


def test_the_same_pixels_again_and_in_another_process() -> None:
    check_repeatable(digest)
