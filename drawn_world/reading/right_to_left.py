"""Arabic and Hebrew for a layout engine that puts characters from left to right: joined forms, in the order of drawing.

Pillow does this with libraqm, but fonts are drawn with its basic engine everywhere, so that pixels do not depend on the
libraries of a machine. Enough for words and spaces: no vowel signs, digits or mixed directions (Unicode UAX 9 has those).
"""

import unicodedata
from functools import lru_cache

FORMS = ("isolated", "final", "initial", "medial")
LAM_ALEF = ("\u0644\u0627", "\u0644\u0623", "\u0644\u0625", "\u0644\u0622")
"""Pairs of letters that are drawn as one."""


@lru_cache(maxsize=1)
def joined_forms() -> dict[str, dict[str, str]]:
    """Letter or pair of letters -> form -> the one character of that form (Arabic Presentation Forms-B of Unicode)."""
    table: dict[str, dict[str, str]] = {}
    for code in range(0xFE80, 0xFEFD):
        form, *letters = unicodedata.decomposition(chr(code)).split()
        letter = "".join(chr(int(each, 16)) for each in letters)
        table.setdefault(letter, {})[form.strip("<>")] = chr(code)
    return table


def shaped(text: str) -> str:
    """The characters to draw from left to right for a text that is read from right to left."""
    return "".join(reversed([form for word in _split_words(text) for form in _join(word)]))


def _split_words(text: str) -> list[list[str]]:
    """Words and the spaces between them, as lists of letters; lam and alef are one."""
    words: list[list[str]] = []
    for word in text.split(" "):
        units: list[str] = []
        for letter in word:
            if units and units[-1] + letter in LAM_ALEF:
                units[-1] += letter
            else:
                units.append(letter)
        words += [units, [" "]]
    return words[:-1]


def _join(units: list[str]) -> list[str]:
    """The form of every letter: it joins the one before if that has an initial form, and the next if it has one itself."""
    table, formed = joined_forms(), []
    for index, unit in enumerate(units):
        forms = table.get(unit, {})
        after = index > 0 and "initial" in table.get(units[index - 1], {}) and "final" in forms
        before = index + 1 < len(units) and "initial" in forms and "final" in table.get(units[index + 1], {})
        form = FORMS[after + 2 * before]
        formed.append(forms.get(form, unit))
    return formed
