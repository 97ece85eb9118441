"""Questions about a text of several lines: read a line, the word after another one, how many words.

Every question of a dialogue is about a line of its own, so that no earlier answer contains it, and most of the letters
of the image are answered once. Not here: how the lines are drawn (line_stacks, languages).
"""

from collections import Counter
from collections.abc import Sequence
from random import Random

from drawn_world.item import MAX_TURNS, Turn
from drawn_world.wording import LABELS, ask

AROUND = ".,!?:;()\"'"
"""Punctuation that surrounds a word without being a part of it."""


def line_turns(rng: Random, split: str, ease: float, lines: Sequence[str], *, read: str, **parts: str) -> list[Turn]:
    """Up to six questions about the lines: one for the whole text, or one for every line, in any order.

    read: name of the question for the whole text. parts: what its wording fills in.
    """
    whole = ask(rng, read, ease, split, **parts), "\n".join(lines)
    count = ask(rng, "line_count", ease, split), str(len(lines))
    if len(lines) == 1:
        return [*_word_turns(rng, split, ease, lines, 0)[: rng.choice((0, 0, 1))], whole]
    if rng.random() < max(0.3, ease):
        return [count, whole] if rng.random() < 0.15 else [whole]
    order = rng.sample(range(len(lines)), min(len(lines), MAX_TURNS - 1))
    turns = [_line_turn(rng, split, ease, lines, index) for index in order]
    if rng.random() < 0.15:
        turns.insert(rng.randint(0, len(turns)), count)
    return turns


def _line_turn(rng: Random, split: str, ease: float, lines: Sequence[str], index: int) -> Turn:
    """A question about one line; most ask for all of it, because it has the most letters."""
    narrow = _word_turns(rng, split, ease, lines, index)
    if narrow and rng.random() < 0.4:
        return narrow[0]
    if index == len(lines) - 1 and rng.random() < 0.5:
        return ask(rng, "last_line", ease, split), lines[index]
    return ask(rng, "line_at", ease, split, **_place(index)), lines[index]


def _word_turns(rng: Random, split: str, ease: float, lines: Sequence[str], index: int) -> list[Turn]:
    """The possible questions about single words of a line, in random order; none for a line of one word."""
    words = [word.strip(AROUND) for word in lines[index].split()]
    if len(words) < 2:
        return []
    place = _place(index)
    turns = [(ask(rng, "words_in_line", ease, split, **place), str(len(words)))]
    if len(lines) > 1:
        turns.append((ask(rng, "first_word", ease, split, **place), words[0]))
        turns.append((ask(rng, "last_word", ease, split, **place), words[-1]))
    seen = Counter(word.strip(AROUND).lower() for line in lines for word in line.split())
    at = rng.randrange(len(words) - 1)
    if seen[words[at].lower()] == 1:
        turns += 2 * [(ask(rng, "word_after", ease, split, word=words[at]), words[at + 1])]
    if seen[words[at + 1].lower()] == 1:
        turns.append((ask(rng, "word_before", ease, split, word=words[at + 1]), words[at]))
    rng.shuffle(turns)
    return turns


def _place(index: int) -> dict[str, str]:
    return {"number": str(index + 1), "ordinal": LABELS["ordinals"][index]}
