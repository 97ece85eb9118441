"""Words and strings to be read in images. A word belongs to one split, by its hash, wherever it appears."""

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from random import Random
from string import ascii_lowercase, digits

from drawn_world.fonts import INSTALL_LINE
from qwen2vl.common.errors import Qwen2VLError

WORD_LIST = Path("/usr/share/dict/words")
UNFIT = re.compile(
    r"anal$|anus|arses?$|ass(es)?$|bastard|bitch|boob|bugger|chink|clit|cocks?$|coons?$|crap|cums?$|cunt|damn|dicks?$|"
    r"dyke|enema|erotic|fag|fart(s|ed|ing)?$|feces|fuck|goddamn|gook|gyp($|p|s)|hell$|hooker|horny|hussy|incest|kike|"
    r"labia|milf|molest|nazi|nigg[ae]|nude|org(y|ies|asm)|pees?$|penis|piss|pimp($|s|e|i)|poop|porn|prick|pub[ei]|puss|"
    r"queer|rap(e|ing|ist)|rectum|redskin|retard|scrot|semen|sex|shit|slut|smut|sodom|spastic|sperm|squaw|tits?$|turd|"
    r"urin|vagin|vulva|wank|wetback|whor"
)
"""Beginnings of words that no image should show; the word list contains such words."""

SHORT_WORDS = (
    "a", "am", "an", "as", "at", "be", "by", "do", "go", "he", "hi", "if", "in", "is", "it", "me", "my", "no", "of", "oh", "ok",
    "on", "or", "ox", "so", "to", "up", "us", "we",
)  # fmt: skip
"""Words of one or two letters; the word list has hundreds of abbreviations of that length."""


def split_of(word: str) -> str:
    """The split of a word: 80 % train, 10 % val, 10 % test, by a hash that never changes."""
    bucket = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4]) % 10
    return "val" if bucket == 8 else "test" if bucket == 9 else "train"


@lru_cache(maxsize=3)
def words(split: str) -> tuple[str, ...]:
    """All words of a split with three to seven letters, sorted. Raises Qwen2VLError when no word list is installed."""
    return _listed(split, "[a-z]{3,7}")


def _listed(split: str, pattern: str) -> tuple[str, ...]:
    """The words of the list that match a pattern and whose hash is in the split, sorted."""
    if not WORD_LIST.is_file():
        raise Qwen2VLError(
            f"word list {WORD_LIST} was not found: drawing words for training needs it; install it with: {INSTALL_LINE}"
        )
    lines = set(WORD_LIST.read_text(encoding="utf-8").splitlines())
    fit = (line for line in lines if re.fullmatch(pattern, line) and not UNFIT.match(line))
    return tuple(sorted(word for word in fit if split_of(word) == split))


def pick_word(rng: Random, split: str) -> str:
    """A random word of the split; its length is chosen first, so that short words are not rare."""
    return rng.choice(_by_length(split, rng.randint(3, 7)))


@lru_cache(maxsize=32)
def _by_length(split: str, length: int) -> tuple[str, ...]:
    return tuple(word for word in words(split) if len(word) == length)


def pick_letters(rng: Random, split: str, length: int | None = None) -> str:
    """Random letters, three to seven unless length is given. Their hash is in the split, so they are no word of another."""
    length = length or rng.randint(3, 7)
    while True:
        letters = "".join(rng.choices(ascii_lowercase, k=length))
        if split_of(letters) == split:
            return letters


def pick_digits(rng: Random, low: int = 1, high: int = 6) -> str:
    """A string of low to high digits; longer ones do not start with zero."""
    length = rng.randint(low, high)
    return rng.choice(digits[1:] if length > 1 else digits) + "".join(rng.choices(digits, k=length - 1))


def pick_written(rng: Random, split: str, dress: float) -> str:
    """One word as real text has it: a listed word of one to twelve letters, random letters or a number.

    dress: probability of capitals or punctuation. Words of the test split stay lower-case and without punctuation.
    """
    roll = rng.random()
    if roll < 0.1:
        return _number(rng, dress)
    if roll < 0.2:
        word = pick_letters(rng, split)
    elif roll < 0.26 and split == "train":
        word = rng.choice(_short_words(split))
    elif roll < 0.38 and split == "train":
        word = rng.choice(_long_words(split))
    else:
        word = pick_word(rng, split)
    if split == "test" or rng.random() >= dress:
        return word
    return _with_marks(rng, rng.choice((word.capitalize, word.capitalize, word.upper, word.lower))())


@lru_cache(maxsize=3)
def _long_words(split: str) -> tuple[str, ...]:
    return _listed(split, "[a-z]{8,12}")


@lru_cache(maxsize=3)
def _short_words(split: str) -> tuple[str, ...]:
    return tuple(word for word in SHORT_WORDS if split_of(word) == split)


def _number(rng: Random, dress: float) -> str:
    """A number; when dressed, one as prices, dates, times and shares are written."""
    whole = pick_digits(rng, 1, 4)
    if rng.random() >= dress:
        return whole
    cents, small = f"{rng.randint(0, 99):02}", rng.randint(1, 12)
    forms = (
        f"{whole}.{cents}", f"{whole},{cents}", f"${whole}.{cents}", f"{small}:{rng.randint(0, 59):02}", f"{small}%",
        f"{rng.randint(1, 28)}/{small}/{rng.randint(1990, 2035)}", f"{rng.randint(1990, 2035)}-{small:02}-{cents}",
        f"#{whole}", f"{small},{rng.randint(0, 999):03}", f"+{whole}", f"-{small}", f"{small}/{small + 1}", f"{small}x",
        f"{rng.choice(ascii_lowercase).upper()}{whole}", f"{whole}{rng.choice(('kg', 'cm', 'ml', 'km', 'am', 'pm'))}",
    )  # fmt: skip
    return rng.choice(forms)


def _with_marks(rng: Random, word: str) -> str:
    """The word, in half of all cases with punctuation."""
    forms = ("{},", "{}.", "{}!", "{}?", "{}:", "{};", "({})", '"{}"', "{}'s", "{}...", "{}-", "&{}", "@{}", "{}_")
    return rng.choice(forms[:5] if rng.random() < 0.6 else forms).format(word) if rng.random() < 0.5 else word
