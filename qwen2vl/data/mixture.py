"""The source of every draw: proportions are exact in every prefix, and any range of draws is computed directly.

Random choice drifts by the square root of the number of draws. Here a source of share w has t * w draws after t draws,
with an error under one for every t [data 9, D5]. Tijdeman's rule gives each draw to the source whose next draw is due
first, among the sources that can have it already. Shares are whole numbers, so the schedule repeats after their sum, and
one period is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd

import numpy as np

from qwen2vl.common.arrays import Ints
from qwen2vl.common.errors import ConfigError

MAX_PERIOD = 1_000_000
"""Largest number of draws of a schedule that is stored."""


@dataclass(frozen=True, slots=True)
class Draws:
    """A range of draws; entry i of both arrays belongs to draw i of the range."""

    sources: Ints
    """Number of the source, in the order of the weights."""
    ordinals: Ints
    """Number of earlier draws of the same source."""


class Mixture:
    """Sources and their shares of the samples. Raises ConfigError for shares that are not whole, negative or all zero."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        self.names = tuple(weights)
        shares = list(weights.values())
        if any(isinstance(share, bool) or not isinstance(share, int) or share < 0 for share in shares) or not any(
            shares
        ):
            raise ConfigError(
                f"mixture {dict(weights)}: every weight must be a whole number from 0 on, and one of them over 0"
            )
        common = gcd(*shares)
        self.shares = tuple(share // common for share in shares)
        if sum(self.shares) > MAX_PERIOD:
            raise ConfigError(f"mixture {dict(weights)}: the weights add up to over {MAX_PERIOD}, round them")
        self.pattern = _pattern(self.shares)
        self.before = _ordinals(self.pattern)

    def draws(self, start: int, count: int) -> Draws:
        """Draws `start` to `start + count - 1`, at a cost that does not depend on `start`."""
        period = len(self.pattern)
        numbers = np.arange(start, start + count)
        sources = self.pattern[numbers % period]
        shares = np.asarray(self.shares, dtype=np.int64)
        return Draws(sources, numbers // period * shares[sources] + self.before[numbers % period])


def _pattern(shares: tuple[int, ...]) -> Ints:
    """The source of every draw of one period, computed in whole numbers.

    With n sources, share s of S and c draws done, draw t can go to a source when s * t / S - c >= 1 / (2n - 2), and goes
    to the source with the smallest (c + 1 - 1 / (2n - 2)) * S / s [Tijdeman 1980].
    """
    total, slack = sum(shares), max(2, 2 * sum(share > 0 for share in shares) - 2)
    done = [0] * len(shares)
    chosen = []
    for draw in range(1, total + 1):
        best, due = -1, (0, 1)
        for source, share in enumerate(shares):
            if share and (share * draw - done[source] * total) * slack >= total:
                here = ((done[source] + 1) * slack - 1, share)
                if best < 0 or here[0] * due[1] < due[0] * here[1]:
                    best, due = source, here
        done[best] += 1
        chosen.append(best)
    return np.asarray(chosen, dtype=np.int64)


def _ordinals(pattern: Ints) -> Ints:
    """For each place of the pattern, the number of earlier places with the same source."""
    ordinals = np.empty_like(pattern)
    for source in np.unique(pattern):
        places = np.flatnonzero(pattern == source)
        ordinals[places] = np.arange(len(places))
    return ordinals
