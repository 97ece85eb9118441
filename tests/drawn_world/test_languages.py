"""Languages: faces have their letters, words stay in their split, right-to-left letters join as a shaping library joins them."""

from functools import partial
from random import Random

import numpy as np
import pytest
from PIL import ImageFont, features

from drawn_world import SPLITS, fonts, words
from drawn_world.reading import languages, pictures
from drawn_world.reading.right_to_left import shaped
from drawn_world.wording import QUESTIONS
from qwen2vl.evaluation.exam import EXAMS
from qwen2vl.evaluation.items import read_items

from .checks import (
    are_inside,
    check_repeatable,
    digest_of,
    drawn,
    every_split,
    image_of,
    makers_of,
    needs,
    turns_of,
    wordings_for,
)


def language_fonts() -> None:
    """Raises Qwen2VLError if a font for languages is not installed."""
    for split in SPLITS:
        for language in languages.WORDS:
            languages.language_faces(split, language)


ALL = makers_of(languages)
draw = partial(drawn, ALL)
needs_languages = needs(language_fonts, pictures.photo_folder, lambda: pictures.photo_folder("matplotlib"))


def digest(seeds: range) -> str:
    return digest_of(draw(task, seed, SPLITS[seed % 3], seed % 4 / 3) for task in ALL for seed in seeds)


@needs_languages
def test_the_same_arguments_give_the_same_pixels_in_another_process() -> None:
    assert check_repeatable(digest, range(2)) != digest(range(2, 4))


@needs_languages
@every_split
def test_answers_are_the_lines_in_characters_that_tokenizers_are_given(split: str) -> None:
    known = {*languages.language_characters()[0]}
    for seed in range(60):
        item = draw("read_language", seed, split, seed / 59)
        scene = item.truth["scene"]
        assert item.answer == "\n".join(scene["lines"]) and item.truth["metric"] == "anls"
        assert all(letter in known or letter.isascii() for letter in item.answer)
        ((question, _),) = turns_of(item)
        wordings = wordings_for(QUESTIONS["read_language"], split)
        assert question in [each.format(language=scene["language"]) for each in wordings]
        assert are_inside([scene["box_px"]], image_of(item).size)
        assert (
            max(image_of(item).size) <= 448 and np.ptp(np.asarray(image_of(item)).astype(int), axis=(0, 1)).max() > 60
        )


@needs_languages
def test_words_and_random_letters_belong_to_their_split() -> None:
    for split in SPLITS:
        for language in languages.WORDS:
            assert len(languages.language_words(split, language)) >= 6
            sampled = [languages.pick_language_word(Random(seed), split, language) for seed in range(40)]
            assert all(words.split_of(word) == split for word in sampled)


@needs_languages
@pytest.mark.parametrize("language", languages.WORDS)
def test_faces_have_every_letter_by_their_own_table(language: str) -> None:
    table = pytest.importorskip("fontTools.ttLib")
    for split in SPLITS:
        for face in languages.language_faces(split, language):
            with table.TTFont(fonts.font_file(face.file), fontNumber=0) as opened:
                codes = opened.getBestCmap()
            letters = languages.characters_of(language)
            letters = (
                {*"".join(shaped(word) for word in languages.WORDS[language])} if language == "Arabic" else letters
            )
            assert all(ord(letter) in codes for letter in letters), face.file


def test_faces_of_the_test_split_are_its_own() -> None:
    for table in (fonts.FACES, fonts.LANGUAGE_FACES):
        families = [{face.family for face in table[split]} for split in SPLITS]
        assert sum(map(len, families)) == len(set.union(*families))


@needs_languages
@pytest.mark.skipif(not features.check("raqm"), reason="Pillow has no libraqm to compare with")
@pytest.mark.parametrize("language", languages.RIGHT_TO_LEFT)
def test_letters_join_as_the_shaping_library_joins_them(language: str) -> None:
    path = str(fonts.font_file("DejaVuSans.ttf"))
    basic = ImageFont.truetype(path, 40, layout_engine=ImageFont.Layout.BASIC)
    joined = 0
    raqm = ImageFont.truetype(path, 40, layout_engine=ImageFont.Layout.RAQM)
    for text in languages.WORDS[language]:
        boxes = raqm.getbbox(text, direction="rtl"), basic.getbbox(shaped(text)), basic.getbbox(text)
        theirs, ours, apart = (right - left for left, _, right, _ in boxes)
        assert abs(ours - theirs) <= 2, text
        joined += abs(apart - theirs) > 4
    assert (joined > 100) == (language == "Arabic"), "letters that are not joined are wider or narrower"


def test_characters_for_the_tokenizer_are_few_and_words_are_of_training() -> None:
    characters, listed = languages.language_characters()
    assert len(characters) == len(set(characters)) < 900
    hangul, han = (sum(low <= letter <= high for letter in characters) for low, high in (("가", "힣"), ("一", "鿿")))
    assert hangul <= 200 and han <= 320
    assert all(words.split_of(word) == "train" for word in listed)


def test_the_exam_of_languages_has_words_that_training_never_shows() -> None:
    trained = {*languages.language_characters()[1]}
    held_out = {name: {word for word in listed if word not in trained} for name, listed in languages.WORDS.items()}
    for item in read_items(EXAMS["languages"].path):
        language = item.task.removeprefix("read_").capitalize()
        for word in item.truth["accept"][0].split():
            if language not in ("Latin", *languages.DENSE):  # Japanese and Chinese lines have no spaces between words
                assert word in held_out[language] or words.split_of(word) == "test", word
