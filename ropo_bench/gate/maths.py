"""The gate's statistics as pure functions: noise pooled from fresh seeds and nights, a t-test's parts, a CUSUM.

Everything is in the unit of one column. A night's value is the mean over its S seeds, so its variance is that of one
seed divided by S; noise is kept as the variance of one seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

MIN_ALLOWANCE = 0.5
"""Of the CUSUM, in standard deviations of a night: a lasting shift of twice this is found soonest (Page 1954)."""

PRETEST = 0.05  # one-sided, with the larger variance above


class Noise(NamedTuple):
    """Variance of one seed's value when nothing has changed, and the degrees of freedom that it was learned with."""

    variance: float
    degrees: float


class Reference(NamedTuple):
    """A value to compare with; factor: its variance in units of the variance of one seed."""

    value: float
    factor: float


class Limits(NamedTuple):
    """Of the CUSUM, in standard deviations of a night."""

    allowance: float
    threshold: float


def pooled(parts: Iterable[tuple[float, float]]) -> Noise | None:
    """One variance from (sum of squares about their mean, degrees) of groups of seeds; None without any degree."""
    squares, degrees = 0.0, 0.0
    for part_squares, part_degrees in parts:
        squares += part_squares
        degrees += part_degrees
    return Noise(squares / degrees, degrees) if degrees else None


def successive(values: Sequence[float], seeds: Sequence[int]) -> Noise | None:
    """One seed's variance from the steps between successive nights; a slow drift hardly enters it.

    Mean square successive difference (von Neumann 1941), its degrees by matching the variance under independence:
    2 (n - 1)^2 / (3 n - 4). None for fewer than two nights.
    """
    steps = len(values) - 1
    if steps < 1:
        return None
    scaled = [(values[i + 1] - values[i]) ** 2 / (1 / seeds[i] + 1 / seeds[i + 1]) for i in range(steps)]
    return Noise(sum(scaled) / steps, 2 * steps**2 / (3 * len(values) - 4))


def combined(one: Noise | None, other: Noise | None) -> Noise | None:
    """Two estimates of one variance: pooled, but the larger alone where an F-test (PRETEST) tells them apart.

    Without pooling, the few degrees of either would hide losses; without the test, nights that nothing has changed
    would make the noise of seeds look small.
    """
    if one is None or other is None:
        return one or other
    large, small = (one, other) if one.variance >= other.variance else (other, one)
    if small.variance <= 0:
        return large
    from scipy.special import fdtrc

    if fdtrc(large.degrees, small.degrees, large.variance / small.variance) <= PRETEST:
        return large
    return pooled([(noise.variance * noise.degrees, noise.degrees) for noise in (one, other)])


def median(values: Sequence[float], seeds: Sequence[int]) -> Reference:
    """Median of nights; its variance is that of normal data, pi / (2 n) of a night's, which small n stay below."""
    ordered, count = sorted(values), len(values)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    one_night = sum(1 / number for number in seeds) / count
    return Reference(middle, one_night * (1 / count if count < 3 else math.pi / (2 * count)))


def mean(values: Sequence[float], seeds: Sequence[int]) -> Reference:
    """Mean over all seeds of several runs."""
    total = sum(seeds)
    return Reference(sum(v * s for v, s in zip(values, seeds, strict=True)) / total, 1 / total)


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


def cusum_limits(alpha: float, degrees: float, anchor: float) -> Limits:
    """Allowance k and threshold h such that an unchanged night is in alarm with probability at most alpha.

    anchor: variance of the anchor's value in units of a night's. The sum S = max(0, S + z - k) of independent
    z ~ N(0, 1) exceeds h at any one night with probability at most exp(-2 k h) (Kingman 1964: the bound on the
    waiting time of a queue, whose exponent solves E exp(x (z - k)) = 1). Two things are estimated, and the bound
    is averaged over both: the anchor is off by d ~ N(0, anchor), which turns k into k - d, and the variance is off
    by chi-square / degrees, which scales the exponent. With u = 2 k h - 2 h^2 anchor that is

        alpha = (1 + 2 u / degrees)^(-degrees / 2), so u = (degrees / 2) (alpha^(-2 / degrees) - 1).

    k is the least at or above MIN_ALLOWANCE for which there is such an h, and h the lower one of its two.
    """
    exponent = degrees / 2 * math.expm1(-2 / degrees * math.log(alpha))
    allowance = max(MIN_ALLOWANCE, math.sqrt(2 * exponent * anchor))
    root = math.sqrt(max(0.0, allowance**2 - 2 * exponent * anchor))
    return Limits(allowance, exponent / (allowance + root))


def cusum(deviations: Iterable[float], limits: Limits) -> float:
    """The sum after these nights (worse is positive, in standard deviations of a night): in alarm at the threshold.

    It is held at the threshold: an alarm ends with the first night that is as the anchor, not when the sum of
    a long loss has been worked off.
    """
    total = 0.0
    for deviation in deviations:
        total = min(limits.threshold, max(0.0, total + deviation - limits.allowance))
    return total
