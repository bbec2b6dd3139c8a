"""The CUSUM of a cell's losses since its anchor, and the limits that keep an unchanged night out of alarm."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

MIN_ALLOWANCE = 0.5
"""In standard deviations of a night: a lasting shift of twice this is found soonest (Page 1954)."""


class Limits(NamedTuple):
    """In standard deviations of a night."""

    allowance: float
    threshold: float


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
