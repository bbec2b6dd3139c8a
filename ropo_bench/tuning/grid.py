"""Which learning rates are tried: one lattice of factors of 2 for all methods, finer around each one's peak."""

from __future__ import annotations

import math
from collections.abc import Sequence

ORIGIN = 1e-6
"""Of the lattice ORIGIN * 2^k; every grid is a part of it, so that a wider search finds its earlier trials again."""
MARGIN = 3
"""Factors of 2 that a grid goes beyond the lowest and the highest first guess."""
LEAST = 11
"""Points of a grid at least: factors of 2 over three decades."""
_ROUNDING = 1e-6


def grid_around(guesses: Sequence[float]) -> list[float]:
    """The grid of a search: from a factor 8 below the lowest first guess to a factor 8 above the highest.

    One grid for all methods, so that no method gains by a good guess. guesses: learning rates > 0, one at least.
    Ascending, LEAST points or more.
    """
    low, high = _steps(min(guesses)) - MARGIN, _steps(max(guesses)) + MARGIN
    first, last = math.ceil(low - _ROUNDING), math.floor(high + _ROUNDING)
    missing = max(0, LEAST - (last - first + 1))
    return _points(first - (missing + 1) // 2, last + missing // 2)


def grid_between(low: float, high: float) -> list[float]:
    """The points of the lattice from low to high, both > 0."""
    return _points(math.ceil(_steps(low) - _ROUNDING), math.floor(_steps(high) + _ROUNDING))


def half_steps(peak: float, grid: Sequence[float]) -> list[float]:
    """Half a step below and above a peak, as far as the grid reaches."""
    halves = [_round(peak / math.sqrt(2)), _round(peak * math.sqrt(2))]
    return [rate for rate in halves if grid[0] < rate < grid[-1]]


def is_near(rate: float, peak: float) -> bool:
    """Whether a rate is at most one step of the grid away from a peak: what may still be chosen then."""
    return abs(math.log2(rate / peak)) < 1.01  # rates are rounded to three digits


def _steps(rate: float) -> float:
    return math.log2(rate / ORIGIN)


def _points(first: int, last: int) -> list[float]:
    return [_round(ORIGIN * 2.0**k) for k in range(first, last + 1)]


def _round(rate: float) -> float:
    return float(f"{rate:.3g}")
