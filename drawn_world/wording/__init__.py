"""The wordings of all questions, read from the files beside this one, and how one of them is chosen.

A file maps the key of a question to its wordings, plain ASCII and short; names in braces are filled in. The order of
wordings decides what a random choice picks: a new one changes every item drawn after it. Words that are to be read in
images are not here (words.py).
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random


def read_wordings(name: str) -> dict[str, tuple[str, ...]]:
    """Read one of the files, for example "charts": the key of every question, and its wordings."""
    text = Path(__file__).with_name(f"{name}.toml").read_text(encoding="utf-8")
    return {key: tuple(wordings) for key, wordings in tomllib.loads(text).items()}


QUESTIONS = read_wordings("common")
"""Questions of the first tasks, with the same wordings in all splits."""


def phrase(rng: Random, wordings: Sequence[str], ease: float = 0.0, split: str | None = None, /, **parts: str) -> str:
    """Choose a wording and fill in its parts; with probability `ease` the first one, so that positions in the text repeat.

    split: the last wording is for "test" alone and the last but one for "val" alone, training has all others; None allows
    every wording in every split.
    """
    if split is not None:
        wordings = {"test": wordings[-1:], "val": wordings[-2:-1]}.get(split, wordings[:-2])
    return (wordings[0] if ease and rng.random() < ease else rng.choice(wordings)).format(**parts)


def texts_of(questions: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """All wordings of all questions."""
    return tuple(wording for wordings in questions.values() for wording in wordings)


def ask(rng: Random, question: str, ease: float = 0.0, /, **parts: str) -> str:
    """Choose a wording of one of QUESTIONS; with probability `ease` always the first."""
    return phrase(rng, QUESTIONS[question], ease, **parts)
