"""Metrics of one answer: texts, numbers and places.

Which metric judges an item: `judging`. How certain a mean of scores is: `intervals`.
"""

from collections.abc import Sequence

IOU_HIT = 0.5
"""Least overlap with which a box counts as found, as in RefCOCO [paper 8.12]."""


def exact_match(text: str, accepted: Sequence[str]) -> bool:
    """Whether the answer, without surrounding white space, is one of the accepted texts."""
    return text.strip() in accepted


def anls(text: str, accepted: Sequence[str]) -> float:
    """Average normalised Levenshtein similarity of one answer [paper 8.12], 0..1: the best over the accepted texts.

    Letter case and the amount of white space do not count: "Total  12" for "total 13" scores 7/8, because one of eight
    characters differs. A similarity of one half or less scores 0.
    """
    answer, *wanted = (" ".join(each.lower().split()) for each in (text, *accepted))
    return max((_similarity(answer, each) for each in wanted), default=0.0)


def _similarity(a: str, b: str) -> float:
    longest = max(len(a), len(b))
    if longest == 0:
        return 1.0
    threshold = 0.5  # normalised distance from which an answer scores zero, as in DocVQA
    if abs(len(a) - len(b)) >= threshold * longest:  # the distance is at least as large
        return 0.0
    distance = levenshtein(a, b) / longest
    return 1 - distance if distance < threshold else 0.0


def levenshtein(a: str, b: str) -> int:
    """Least number of insertions, deletions and replacements of one character that turn a into b; len(a) * len(b) steps."""
    above = list(range(len(b) + 1))
    for i, character in enumerate(a, 1):
        line = [i]
        for j, other in enumerate(b, 1):
            line.append(min(above[j] + 1, line[-1] + 1, above[j - 1] + (character != other)))
        above = line
    return above[-1]


def number_match(text: str, target: float | str, tolerance: float = 0.05) -> bool:
    """Relaxed accuracy of one answer as ChartQA publishes it: a number within a relative `tolerance`, or an equal text.

    The whole answer, without surrounding white space, is read as one number: "5%" is 0.05 and "1,250", "$5" and "about 5" are
    no numbers. If either side is no number, or the target is 0, both texts must be equal but for letter case. A target given
    as a number is the text "12" or "0.5", without trailing zeros. The bounds are included.
    """
    target = target.strip() if isinstance(target, str) else f"{target:.15g}"
    answer = text.strip()
    number, wanted = _number(answer), _number(target)
    if number is None or not wanted:
        return answer.lower() == target.lower()
    # The tiny addend includes bounds that floats miss: 1.05 against 1.
    return abs(number - wanted) <= (tolerance + 1e-9) * abs(wanted)


def _number(text: str) -> float | None:
    """The number that a text is, percent as its hundredth part; None for any other text."""
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (x1, y1, x2, y2) in the same frame of reference; 0 for empty boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    areas = [max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - both
    return both / union if union > 0 else 0.0


def is_inside(point: Sequence[float], box: Sequence[float]) -> bool:
    """Whether (x, y) lies in (x1, y1, x2, y2), edges included."""
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]
