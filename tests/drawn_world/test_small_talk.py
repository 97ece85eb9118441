"""Small talk and refusals: replies follow from the wordings, and what is refused is not in the image."""

from collections import Counter
from functools import partial
from random import Random

from drawn_world import fonts
from drawn_world.glyphs import emoji
from drawn_world.shapes import kinds
from drawn_world.text import refusals, small_talk
from drawn_world.wording import FILES, LABELS, QUESTIONS

from .checks import (
    asked,
    check_repeatable,
    digest_of,
    every_split,
    makers_of,
    media_of,
    needs,
    needs_text,
    of_every_ease,
    turns_of,
    wordings_for,
)

TALK = FILES["talk"]["questions"]
ALL = makers_of(small_talk, refusals)
CANNOT_TELL = LABELS["cannot_tell"][0]
pytestmark = [needs_text, needs(partial(fonts.font_file, emoji.FONT))]
items = partial(of_every_ease, ALL)


def reply_to(key: str) -> str:
    if key.startswith("absent"):
        return CANNOT_TELL
    return LABELS["no_image" if key == "without_image" else f"reply_{key}"][0]


@every_split
def test_small_talk_without_an_image_is_replied_to(split: str) -> None:
    topics: Counter[str] = Counter()
    for item in items("small_talk", 400, split):
        assert not media_of(item) and 1 <= len(turns_of(item)) <= 6
        for question, answer in turns_of(item):
            fitting = [key for key, wordings in TALK.items() if question in wordings_for(wordings, split)]
            topics.update(fitting)
            if fitting and not any(key.startswith("absent") for key in fitting):
                assert answer in [reply_to(key) for key in fitting], (question, answer)
    expected = {key for key in TALK if not key.startswith("absent")}
    assert expected <= {*topics} and min(topics[key] for key in expected) >= 5


@every_split
def test_talk_about_an_image_keeps_its_questions(split: str) -> None:
    for item in items("image_talk", 100, split):
        assert len(media_of(item)) == 1
        replies = {reply_to(key) for key in TALK if not key.startswith(("absent", "without"))}
        said = [answer in replies for _, answer in turns_of(item)]
        assert any(said) and not all(said)
        assert LABELS["no_image"][0] not in [answer for _, answer in turns_of(item)]


@every_split
def test_what_is_refused_is_not_shown(split: str) -> None:
    refused, answered, bases = 0, 0, set()
    for item in items("cannot_tell", 200, split):
        bases.add(item.truth["scene"]["base"])
        others = " ".join(text for turn in turns_of(item) if turn[1] != CANNOT_TELL for text in turn)
        for question, answer in turns_of(item):
            if answer != CANNOT_TELL:
                answered += 1
                continue
            refused += 1
            key, parts = asked({name: each for name, each in TALK.items() if name.startswith("absent")}, question)
            assert question in [each.format(**parts) for each in wordings_for(TALK[key], split)]
            if "thing" in parts:
                assert parts["thing"] not in others
            base = next(each for each in refusals.BASES if each.task.name == item.truth["scene"]["base"])
            kind = "kind" if parts.get("thing") in kinds.KINDS else "thing"
            assert {key.removeprefix("absent_"), kind if "thing" in parts else ""} & {*base.absent}
    assert bases == {base.task.name for base in refusals.BASES}
    assert 0.15 < refused / (refused + answered) < 0.5


def test_replies_are_short_and_no_two_topics_share_a_wording() -> None:
    for name, (reply, *others) in FILES["talk"]["labels"].items():
        if name.startswith("reply") or name in ("cannot_tell", "no_image"):
            assert not others and len(reply.split()) <= 14 and reply.isascii()
    topics = [each for key, wordings in TALK.items() if not key.startswith(("absent", "without")) for each in wordings]
    assert len(topics) == len(set(topics))
    assert all(len(wordings) >= 12 for wordings in TALK.values())
    elsewhere = {each for key, wordings in QUESTIONS.items() if key not in TALK and key != "who" for each in wordings}
    assert not {*topics} & elsewhere


def digest() -> str:
    return digest_of(ALL[task](Random(seed), "test", 0.3) for task in ALL for seed in range(8))


def test_the_same_again_and_in_another_process() -> None:
    check_repeatable(digest)
