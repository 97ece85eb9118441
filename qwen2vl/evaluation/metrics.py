"""How right one answer is: texts, numbers and places. What an answer has to be is `judging`, how sure a mean is `intervals`."""

import re
from collections.abc import Sequence

Box = Sequence[float]

IOU_HIT = 0.5
"""A box counts as found from this overlap on, as in RefCOCO [paper 8.12]."""
ANLS_THRESHOLD = 0.5
"""From this normalised distance on an answer counts nothing, as in DocVQA."""
_NUMBER = re.compile(r"(?:(?<!\w)[-−])?\d+(?:,\d{3}(?!\d))*(?:\.\d+)?|(?:(?<!\w)[-−])?(?<!\w)\.\d+")


def exact_match(text: str, accepted: Sequence[str]) -> bool:
    """The answer, without blanks around it, is one of the accepted ones."""
    return text.strip() in accepted


def anls(text: str, accepted: Sequence[str]) -> float:
    """Average normalised Levenshtein similarity of one answer [paper 8.12]: the best over the accepted ones, 0..1.

    Upper and lower case are the same, and so are all stretches of white space: "Total  12" for "total 13" gives 7/8, as one
    of eight signs differs. Up to one half of similarity it is 0.
    """
    return max((_similarity(_plain(text), _plain(wanted)) for wanted in accepted), default=0.0)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _similarity(a: str, b: str) -> float:
    longest = max(len(a), len(b))
    if longest == 0:
        return 1.0
    if abs(len(a) - len(b)) >= ANLS_THRESHOLD * longest:  # the distance is no smaller
        return 0.0
    distance = levenshtein(a, b) / longest
    return 1 - distance if distance < ANLS_THRESHOLD else 0.0


def levenshtein(a: str, b: str) -> int:
    """Fewest insertions, deletions and replacements of one sign that turn a into b; len(a) * len(b) steps."""
    above = list(range(len(b) + 1))
    for i, sign in enumerate(a, 1):
        line = [i]
        for j, other in enumerate(b, 1):
            line.append(min(above[j] + 1, line[-1] + 1, above[j - 1] + (sign != other)))
        above = line
    return above[-1]


def first_number(text: str) -> float | None:
    """The first number that is written in a text, thousands with commas or not: "about 1,250.5 m" gives 1250.5."""
    found = _NUMBER.search(text)
    return float(found[0].replace(",", "").replace("−", "-")) if found else None


def number_match(text: str, value: float, tolerance: float = 0.05) -> bool:
    """The first number of the answer is within `tolerance` of the true one, relative to that; the bounds count as right."""
    number = first_number(text)
    return number is not None and abs(number - value) <= (tolerance + 1e-9) * abs(value)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes (x1, y1, x2, y2) in one frame of reference; 0 for empty ones."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    areas = [max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - both
    return both / union if union > 0 else 0.0


def inside(point: Sequence[float], box: Box) -> bool:
    """Whether (x, y) lies in (x1, y1, x2, y2), edges included."""
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]
