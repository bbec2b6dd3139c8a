"""The gate's statistics as pure functions: variances of seeds and of nights, references, a t-test's parts.

Everything is in the unit of one column. Two variances are kept apart: that of one seed's value, over fresh seeds, and
that of a night, over nights of the same seeds. A seed's own effect is in the first alone: it is the same every night.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple

PRETEST = 0.05  # one-sided, with the larger variance above


class Noise(NamedTuple):
    """A variance, and the degrees of freedom that it was learned with."""

    variance: float
    degrees: float


class Reference(NamedTuple):
    """A value to compare with, of so many nights; factor: its variance in units of the variance of one night."""

    value: float
    nights: int
    factor: float


def pool(parts: Iterable[tuple[float, float]]) -> Noise | None:
    """One variance from (sum of squares about their mean, degrees) of groups; None without any degree."""
    squares, degrees = 0.0, 0.0
    for part_squares, part_degrees in parts:
        squares += part_squares
        degrees += part_degrees
    return Noise(squares / degrees, degrees) if degrees else None


def successive(values: Sequence[float]) -> Noise | None:
    """A night's variance from the steps between successive nights, without the largest of them.

    Mean square successive difference (von Neumann 1941): a slow drift hardly enters it. A change between two nights
    is one large step, and is no noise: the largest step is left out, and what normal noise would lack without it is
    given back (as if steps were independent: 3 % too much for 13 nights, 10 % for 5). Degrees by matching the
    variance of all steps, 2 (n - 1)^2 / (3 n - 4), less one for the step left out (within 0.2 in simulation for 5 to
    60 nights). None for fewer than four nights.
    """
    steps = len(values) - 1
    if steps < 3:
        return None
    squares = [(later - earlier) ** 2 / 2 for earlier, later in pairwise(values)]
    variance = (sum(squares) - max(squares)) / (steps - _largest(steps))
    return Noise(variance, 2 * steps**2 / (3 * len(values) - 4) - 1)


@cache
def _largest(count: int) -> float:
    """Expectation of the largest of so many squared standard normals: the integral of 1 - F^count."""
    from scipy.integrate import quad
    from scipy.special import chdtr

    return float(quad(lambda x: 1 - chdtr(1, x) ** count, 0, 100, limit=200)[0])


def combine(first: Noise, second: Noise) -> Noise:
    """Two estimates of one variance: pooled, but the larger alone where an F-test (PRETEST) tells them apart."""
    large, small = (first, second) if first.variance >= second.variance else (second, first)
    if small.variance <= 0:
        return large
    from scipy.special import fdtrc

    if fdtrc(large.degrees, small.degrees, large.variance / small.variance) <= PRETEST:
        return large
    return Noise(
        (first.variance * first.degrees + second.variance * second.degrees) / (first.degrees + second.degrees),
        first.degrees + second.degrees,
    )


def middle(values: Sequence[float]) -> Reference:
    """Median of nights; its variance is that of normal data, pi / (2 n) of a night's, which small n stay below."""
    nights = len(values)
    return Reference(median(values), nights, 1 / nights if nights < 3 else math.pi / (2 * nights))


def mean(values: Sequence[float]) -> Reference:
    """Mean of nights of the same seeds."""
    return Reference(fmean(values), len(values), 1 / len(values))


def lower_tail(difference: float, error: float, degrees: float) -> float:
    """p-value (0..1) of "not worse": the chance of a difference this low or lower where there is none."""
    from scipy.special import stdtr

    return float(stdtr(degrees, difference / error))


def quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def detectable(error: float, degrees: float, alpha: float, power: float) -> float:
    """Smallest true loss that a one-sided t-test at level alpha finds with this power (non-central t, exact)."""
    from scipy.special import nctdtrinc

    return float(nctdtrinc(degrees, 1 - power, quantile(1 - alpha, degrees))) * error
