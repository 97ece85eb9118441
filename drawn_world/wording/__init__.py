"""The wordings of all questions, the labels and the words for tokenizers, read once from the files beside this one.

A file has some of these parts:
    [questions]   name of a question to its wordings, plain ASCII and short; names in braces are filled in
    [labels]      name of a list to texts that are drawn or filled in
    [answers.Q]   of knowledge.toml: answer to the names of the things for which it answers question Q
    words         further words of answers, in one string
Names are unique over all files. The order of wordings and labels decides what a random choice picks: a new one changes
every item drawn after it. Words from the word list, which are to be read in images, are not here (words.py).
"""

import tomllib
from pathlib import Path
from random import Random
from typing import Any

FILES: dict[str, dict[str, Any]] = {
    file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in sorted(Path(__file__).parent.glob("*.toml"))
}
"""Name of a file, for example "charts", to its parts."""
QUESTIONS: dict[str, list[str]] = {
    name: wordings for file in FILES.values() for name, wordings in file.get("questions", {}).items()
}
LABELS: dict[str, list[str]] = {
    name: labels for file in FILES.values() for name, labels in file.get("labels", {}).items()
}


def ask(rng: Random, question: str, ease: float = 0.0, split: str | None = None, /, **parts: str) -> str:
    """Choose a wording of a question and fill in its parts.

    ease: probability of the first wording, so that positions in the text repeat.
    split: the last wording is for "test" alone and the last but one for "val" alone, training has all others; None allows
    every wording in every split.
    """
    wordings = QUESTIONS[question]
    if split is not None:
        wordings = {"test": wordings[-1:], "val": wordings[-2:-1]}.get(split, wordings[:-2])
    return (wordings[0] if ease and rng.random() < ease else rng.choice(wordings)).format(**parts)


def texts() -> list[str]:
    """All wordings of questions, and all labels."""
    return [text for table in (QUESTIONS, LABELS) for each in table.values() for text in each]


def words() -> list[str]:
    """The further words of answers, one string a file."""
    return [file["words"] for file in FILES.values() if "words" in file]
