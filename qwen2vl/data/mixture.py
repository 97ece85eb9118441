"""Which source every draw comes from: exact proportions in every prefix, and any stretch computed by itself.

Sampling by lot drifts by the square root of the draws. Here source i of share w has been drawn t * w times after t
draws, off by less than one whatever t is [data 9, D5]: Tijdeman's rule, which gives a draw to the source whose next one
is due first among those that may already have it. Shares are whole numbers, so the pattern repeats after their sum
and one period of it is the whole schedule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd

import numpy as np

from qwen2vl.common.arrays import Ints
from qwen2vl.common.errors import ConfigError

MAX_PERIOD = 1_000_000


@dataclass(frozen=True, slots=True)
class Draws:
    """A stretch of the schedule."""

    sources: Ints
    """Number of the source of every draw, in the order of the weights."""
    ordinals: Ints
    """How often that source had been drawn before."""


class Mixture:
    """Sources and their shares of the samples. Raises ConfigError for shares that are not whole, negative or all nought."""

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
        """Draws start..start+count-1, at a cost that does not depend on `start`."""
        period = len(self.pattern)
        at = np.arange(start, start + count)
        sources = self.pattern[at % period]
        shares = np.asarray(self.shares, dtype=np.int64)
        return Draws(sources, at // period * shares[sources] + self.before[at % period])


def _pattern(shares: tuple[int, ...]) -> Ints:
    """One period, by whole numbers throughout: with n sources, share s of S and c draws done, draw t may go to a source
    when s * t / S - c >= 1 / (2n - 2), and goes to the one whose (c + 1 - 1 / (2n - 2)) * S / s is least [Tijdeman 1980].
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
    """How often the same source stands before each place of the pattern."""
    ordinals = np.empty_like(pattern)
    for source in np.unique(pattern):
        places = np.flatnonzero(pattern == source)
        ordinals[places] = np.arange(len(places))
    return ordinals
