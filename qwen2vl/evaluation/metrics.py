"""Whether an answer is right, and how sure a share of right answers is."""

import math
from collections.abc import Sequence

Box = Sequence[float]

IOU_HIT = 0.5
"""A box counts as found from this overlap on, as in RefCOCO [paper 8.12]."""


def exact_match(text: str, accepted: Sequence[str]) -> bool:
    """The answer, without blanks around it, is one of the accepted ones."""
    return text.strip() in accepted


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


def wilson_interval(right: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share by Wilson's score (1927), which stays within 0..1 and is honest near its ends."""
    if total == 0:
        return 0.0, 1.0
    share, square = right / total, z * z
    middle = share + square / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    low, high = ((middle + sign * spread) / (1 + square / total) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)
