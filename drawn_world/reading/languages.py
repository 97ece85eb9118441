"""Words and short lines of many languages, in the faces of each split that have their letters.

Data: wording/languages.toml. Answers are in the characters of the language, in reading order. Not here: Greek and Cyrillic
words as the exam "exam" asks for them (scripts).
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from random import Random
from typing import Any

from PIL import Image

from drawn_world.fonts import Face, faces_with
from drawn_world.item import Item, dialogue_item, image_item, text_truth
from drawn_world.reading.line_questions import line_turns
from drawn_world.reading.line_stacks import on_paper, sample_size
from drawn_world.reading.pictures import draw_picture, ink_over
from drawn_world.reading.right_to_left import joined_forms, shaped
from drawn_world.reading.text_blocks import LARGEST_SIDE, LONGEST_LINE, RIGHT, make_block, place_block, smooth_masks
from drawn_world.task import Task
from drawn_world.typesetting import TextStyle, choose_style, with_scene
from drawn_world.wording import FILES, ask
from drawn_world.words import split_of

WORDS: dict[str, tuple[str, ...]] = {
    name: tuple(dict.fromkeys(words.split())) for name, words in FILES["languages"]["languages"].items()
}
"""Language to its listed words."""
LATIN = ("French", "German", "Spanish", "Portuguese", "Polish", "Czech", "Swedish")
"""Languages that share most letters: together they are drawn as often as three others."""
RIGHT_TO_LEFT = ("Arabic", "Hebrew")
DENSE = ("Japanese", "Korean", "Chinese")
"""Languages of more complicated characters, which need larger ones to be legible."""
KANA = (
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん"
    "がぎぐげござじずぜぞだでどばびぶべぼぱぴぷぺぽ"
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン"
    "ガギグゲゴザジズゼゾダデドバビブベボパピプペポー"
)
"""Characters for random Japanese strings besides those of the listed words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageStyle:
    """Style of all text on an image in one language. Draws lines like a TextStyle."""

    base: TextStyle
    language: str

    def line_mask(self, size: int, text: str) -> Image.Image:
        """Coverage of one line, as wide as its ink."""
        return self.base.line_mask(size, shaped(text) if self.language in RIGHT_TO_LEFT else text)


@lru_cache(maxsize=32)
def characters_of(language: str) -> str:
    """All different characters of a language, sorted; the letters of random strings."""
    return "".join(sorted({*"".join(WORDS[language]), *(KANA if language == "Japanese" else "")}))


@lru_cache(maxsize=64)
def language_faces(split: str, language: str) -> tuple[Face, ...]:
    """The faces of a split with all characters of a language; those of training where the split has none."""
    letters = characters_of(language)
    if language == "Arabic":
        letters = "".join(form for letter in letters for form in joined_forms().get(letter, {}).values())
    return faces_with(split, letters, latin=language not in RIGHT_TO_LEFT + DENSE)


@lru_cache(maxsize=64)
def language_words(split: str, language: str) -> tuple[str, ...]:
    """The listed words of a language whose hash is in the split."""
    return tuple(word for word in WORDS[language] if split_of(word) == split)


def language_characters() -> tuple[str, list[str]]:
    """For tokenizers: all characters of all languages that are not ASCII, sorted, and all words of training, in order."""
    characters = sorted({letter for name in WORDS for letter in characters_of(name) if not letter.isascii()})
    words = dict.fromkeys(word for name in WORDS for word in language_words("train", name))
    return "".join(characters), list(words)


def pick_language_word(rng: Random, split: str, language: str) -> str:
    """A listed word, or in a third of all cases random letters whose hash is in the split."""
    if rng.random() < 0.67:
        return rng.choice(language_words(split, language))
    letters, low, high = characters_of(language), 2, 6
    if language in DENSE:
        low, high = 1, 4
    while True:
        word = "".join(rng.choices(letters, k=rng.randint(low, high)))
        word = word if language in DENSE else word.lower()
        if split_of(word) == split and not word.startswith("ー"):
            return word


def pick_language(rng: Random) -> str:
    """A random language: Latin letters in one of four images, every other language equally often."""
    others = tuple(name for name in WORDS if name not in LATIN)
    return rng.choice(LATIN) if rng.random() < 0.25 else rng.choice(others)


def read_language(rng: Random, split: str, ease: float, language: str = "") -> Item:
    """Read one to three words of a language in one or two lines. language: "" for a random one."""
    language = language or pick_language(rng)
    image, lines, scene = _draw(rng, split, ease, language, 1 if rng.random() < 0.7 else 2, 2)
    question, answer = ask(rng, "read_language", ease, split, language=language), "\n".join(lines)
    truth = text_truth(answer, " ".join(lines), metric="anls", scene=scene)
    return image_item("read_language", [image], question, answer, truth)


def language_lines(rng: Random, split: str, ease: float) -> Item:
    """Read one to six lines of a language, or parts of them."""
    language = pick_language(rng)
    image, lines, scene = _draw(rng, split, ease, language, rng.randint(1, 6), 4)
    turns = line_turns(rng, split, ease, lines, read="read_language", language=language)
    return with_scene(dialogue_item("language_lines", image, turns), scene)


def _draw(
    rng: Random, split: str, ease: float, language: str, count: int, most_words: int
) -> tuple[Image.Image, list[str], dict[str, Any]]:
    """Image, texts and description of `count` lines of at most `most_words` words."""
    form = "plain" if rng.random() < ease else "full"
    base = choose_style(rng, split, form, among=language_faces(split, language))
    style = LanguageStyle(base=base, language=language)
    low, high = (18 if language in DENSE else 13) + round(5 * ease), 46 - round(14 * ease)
    size = sample_size(rng, low, high)
    count = min(count, int((LARGEST_SIDE - 16) / (1.5 * size)))
    used: set[str] = set()
    lines = [_line(rng, split, style, size, rng.randint(1, most_words), used) for _ in range(count)]
    if split == "train" and form == "full" and rng.random() < 0.4:
        masks = smooth_masks(rng, style, size, lines)
    else:
        masks = [style.line_mask(size, line) for line in lines]
    layout = RIGHT if language in RIGHT_TO_LEFT else rng.choice(("left", "left", "centre"))
    turn = rng.choice((0, 0, 2, 4)) * (1 - ease) if form == "full" else 0.0
    block = make_block(rng, masks, layout, turn=turn)
    scene = {"language": language, "lines": lines, "size": size}
    if form == "full" and rng.random() < 0.15:
        sides, (x, y) = place_block(rng, (block.mask.width + 8, block.mask.height + 8), layout, ease)
        image, behind = draw_picture(rng, split, sides, 0.5)
        edge = ink_over(rng, image, block.mask, (x + 4, y + 4))
        box = [x + 4, y + 4, x + 4 + block.mask.width, y + 4 + block.mask.height]
        made = {"behind": behind, "edge": edge, "box_px": box, "form": form, "family": base.face.family, **block.scene}
        return image, lines, scene | made
    image, made = on_paper(rng, base, block, size, ease)
    return image, lines, scene | made


def _line(rng: Random, split: str, style: LanguageStyle, size: int, most_words: int, used: set[str]) -> str:
    """As many words as fit an image, at most some, and none of those used before."""
    font, between = style.base.face.at(size), "" if style.language in ("Japanese", "Chinese") else " "
    words: list[str] = []
    while len(words) < most_words:
        word = pick_language_word(rng, split, style.language)
        if words and font.getlength(between.join([*words, word])) > min(LONGEST_LINE, 14 * size):
            break
        if word not in used:
            words.append(word)
            used.add(word)
    return between.join(words)


EXAM_LANGUAGES = ("Greek", "Russian", "Arabic", "Hebrew", "Japanese", "Korean", "Chinese", "Vietnamese")
"""Languages of the exam "languages" besides French, German, Spanish and Polish, which are one task of it."""


def exam_item(name: str, rng: Random) -> Item:
    """One item of the exam "languages": of a language, or for "Latin" of one of four."""
    language = rng.choice(("French", "German", "Spanish", "Polish")) if name == "Latin" else name
    return read_language(rng, "test", 0.0, language)


EXAM_MAKERS = {f"read_{name.lower()}": partial(exam_item, name) for name in ("Latin", *EXAM_LANGUAGES)}
"""Task of the exam "languages" to its maker."""
TASKS = (
    Task("read_language", read_language, "ocr"),
    Task("language_lines", language_lines, "ocr", lesson=True),
)
