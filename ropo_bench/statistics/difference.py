"""One estimated difference a - b and every question that may be asked of it: an interval, and a p-value at any
margin.

The same object answers for tables, comparisons and claims, so that one pair has one verdict. Shapes: C clusters, P
pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ropo_bench.statistics.crossed import LEVEL, Parts, stack
from ropo_bench.statistics.permutation import mcnemar, sign_flips
from ropo_bench.statistics.sample import Array
from ropo_bench.statistics.skewness import twist, untwist
from ropo_bench.types import Test

Pair = tuple[str, str]


@dataclass(frozen=True)
class Difference:
    """An estimate of a - b on n common clusters, with its error.

    skewness: of the estimate (statistics.skewness). contributions_C, weight_C: of a test by sign flips, what each
    cluster adds to the estimate, and what it would add where all differences were 1. wins: (a alone right, b alone
    right) where both rows are of 0 and 100 and McNemar's exact test decides.
    """

    pair: Pair
    estimate: float
    parts: Parts
    n: int
    test: Test
    skewness: float = 0.0
    contributions_C: Array | None = None
    weight_C: Array | None = None
    wins: tuple[int, int] | None = None

    def p_value(self, margin: float = 0.0) -> float:
        """Two-sided, of "a - b is exactly the margin"."""
        return float(p_values([self], margin)[0])


def p_values(differences: Sequence[Difference], margin: float = 0.0) -> Array:
    """Two-sided p-values (P,) of "a - b is exactly the margin".

    The largest of what the t interval, Hall's correction of it for skewness, and, with one seed, an exact or
    permutation test say: each of them errs where another does not.
    """
    parts = stack([difference.parts for difference in differences])
    size = np.array([difference.estimate for difference in differences]) - margin
    largest = np.maximum(parts.p_value(size), parts.p_value(_straight(differences, parts, size)))
    by_permutation = _permutations(differences, margin)
    for place, p_value in by_permutation.items():
        largest[place] = max(largest[place], p_value)
    return largest


def intervals(differences: Sequence[Difference], alpha: float = 1 - LEVEL) -> tuple[Array, Array]:
    """Ends (P,), (P,) of the intervals of level 1 - alpha: what the tests of `p_values` do not reject.

    The hull of the t interval and the one corrected for skewness; where a permutation test finds nothing, 0 is in it.
    """
    parts = stack([difference.parts for difference in differences])
    estimate = np.array([difference.estimate for difference in differences])
    half, error = parts.half_width(alpha), parts.standard_error
    with np.errstate(invalid="ignore", divide="ignore"):
        far = np.where(error > 0, half / error, 0.0)
    skewness = np.array([difference.skewness for difference in differences])
    low = np.minimum(estimate - half, estimate - error * twist(far, skewness))
    high = np.maximum(estimate + half, estimate - error * twist(-far, skewness))
    for place, p_value in _permutations(differences, 0.0).items():
        if p_value > alpha:
            low[place], high[place] = min(low[place], 0.0), max(high[place], 0.0)
    return low, high


def _straight(differences: Sequence[Difference], parts: Parts, size: Array) -> Array:
    """The estimates' distances from a margin with their skewness taken out."""
    error, skewness = parts.standard_error, np.array([difference.skewness for difference in differences])
    with np.errstate(invalid="ignore", divide="ignore"):
        straight: Array = np.where(error > 0, error * untwist(size / error, skewness), size)
    return straight


def _permutations(differences: Sequence[Difference], margin: float) -> dict[int, float]:
    """By place, p-values of McNemar's test and of sign flips; pairs of as many clusters are flipped together."""
    by_place: dict[int, float] = {}
    by_size: dict[int, list[int]] = {}
    for place, difference in enumerate(differences):
        if difference.wins is not None and margin == 0:
            by_place[place] = mcnemar(*difference.wins)
        elif difference.contributions_C is not None:
            by_size.setdefault(len(difference.contributions_C), []).append(place)
    for places in by_size.values():
        table_PC = np.array([_shift(differences[place], margin) for place in places])
        by_place |= dict(zip(places, map(float, sign_flips(table_PC)), strict=True))
    return by_place


def _shift(difference: Difference, margin: float) -> Array:
    assert difference.contributions_C is not None
    assert difference.weight_C is not None
    shifted_C: Array = difference.contributions_C - margin * difference.weight_C
    return shifted_C
