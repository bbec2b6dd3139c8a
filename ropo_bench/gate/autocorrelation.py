"""Do nights wander? Their autocorrelation, learned from all watched cells together.

A CUSUM adds nights up, and sums of positively correlated nights vary more than independent ones: by the long-run
variance 1 + 2 (rho_1 + rho_2 + ...) of a night's. One cell cannot tell a slow excursion from a loss that lasts; the
median over the cells can, for a loss in some of them does not move it. And nothing can where all cells lose together:
so only nights at most FARTHEST apart are compared. What wanders more slowly than that counts as drift, and is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median
from typing import NamedTuple

FEWEST_NIGHTS = 8
"""Of a cell, before its autocorrelation says anything."""

NEAREST, FARTHEST = 5, 7
"""Lags at which nights are taken to be independent: their half squared difference is a night's variance."""


class Autocorrelation(NamedTuple):
    """first: lag-1 autocorrelation, 0 or more. long_run: the long-run variance in units of a night's, 1 or more."""

    first: float = 0.0
    long_run: float = 1.0


def estimate_autocorrelation(series: Sequence[Sequence[float]]) -> Autocorrelation:
    """Of the watched cells' nights, oldest first.

    Each lag's autocorrelation is 1 less its variogram (mean half squared difference) over that of far lags, the
    median over the cells; lags count up to the first that is not positive (Geyer 1992, initial positive sequence).
    """
    long = [values for values in series if len(values) >= FEWEST_NIGHTS and len(set(values)) > 1]
    if not long:
        return Autocorrelation()
    rhos = [median(lag) for lag in zip(*(_autocorrelations(values) for values in long), strict=True)]
    count = next((place for place, rho in enumerate(rhos) if rho <= 0), len(rhos))
    return Autocorrelation(rhos[0] if count else 0.0, 1 + 2 * sum(rhos[:count]))


def _autocorrelations(values: Sequence[float]) -> list[float]:
    """At lags 1 to NEAREST - 1."""
    near = [_variogram(values, lag) for lag in range(1, NEAREST)]
    far = fmean(_variogram(values, lag) for lag in range(NEAREST, FARTHEST + 1))
    return [1 - variogram / far if far else 0.0 for variogram in near]


def _variogram(values: Sequence[float], lag: int) -> float:
    squares = [(later - earlier) ** 2 for earlier, later in zip(values, values[lag:], strict=False)]
    return sum(squares) / (2 * len(squares))
