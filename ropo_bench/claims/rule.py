"""What the numbers say of a claim: supported, not supported, or too few numbers. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ropo_bench.statistics.crossed import Parts
from ropo_bench.statistics.multiplicity import holm

Verdict = Literal["SUPPORTED", "NOT SUPPORTED", "UNDERPOWERED", "PENDING", "INCOMPLETE"]
ALPHA = 0.025  # one-sided, of each of the two wrong verdicts over a whole file: together those of a 95 % interval


class Region(NamedTuple):
    """Where a claim says that a number lies: between low and high. One of the two may be infinite."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def is_bounded(self) -> bool:
        """Whether it claims that there is no difference beyond a margin, on either side."""
        return not (math.isinf(self.low) or math.isinf(self.high))

    def distance(self, value: float) -> float:
        """From the nearest border, inside or outside."""
        return min(abs(value - self.low), abs(value - self.high))


@dataclass(frozen=True, slots=True)
class Evidence:
    """An estimate of the number that is claimed, with its 95 % interval (low, high).

    standard_error: None for a census, which has no sampling error; 0 where none can be told. degrees: of its t
    distribution. p_at: border -> two-sided p-value of "it is exactly there". parts: variances that the error is made
    of.
    """

    estimate: float
    standard_error: float | None
    degrees: float | None = None
    low: float | None = None
    high: float | None = None
    p_at: Callable[[float], float] | None = None
    parts: Parts | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """p_support, p_refute: one-sided p-values of "it lies outside" and "inside", Holm's over the file."""

    verdict: Verdict
    p_support: float
    p_refute: float


def decide(evidence: Sequence[Evidence | None], regions: Sequence[Region]) -> list[Decision | None]:
    """The verdict on every claim of a file, None where there is no evidence yet; such a claim counts in Holm's m.

        interval of the number (95 %, Holm)        verdict
        wholly within the claimed region           SUPPORTED
        wholly outside it                          NOT SUPPORTED
        across its border                          UNDERPOWERED
        a census (no interval), within / outside   SUPPORTED / NOT SUPPORTED

    A border belongs to neither side: a number that is exactly at the margin gets a verdict other than UNDERPOWERED
    in 5 % of all files at most. Two families, each Holm's at one-sided 2.5 %: p_support of "outside", p_refute of
    "inside". So a file has a false claim SUPPORTED in at most 2.5 % of all repetitions, a true one NOT SUPPORTED in
    at most 2.5 %, and any wrong verdict in at most 5 %, whatever the dependence between the claims. An estimate on
    the wrong side is no refutation: at the margin half of all estimates are. That a claim of "by >= M" would have
    been seen and was not needs no rule of its own: where the smallest detectable effect is below M and the estimate
    is not positive, its interval ends below M. A claim by any amount (margin 0) can only be refuted by the opposite.

    A claim becomes known and never changes the verdict of another to UNDERPOWERED: p-values in place of 1 only
    lower what Holm multiplies the others with.
    """
    pairs = [
        (1.0, 1.0) if number is None else p_values(number, region)
        for number, region in zip(evidence, regions, strict=True)
    ]
    inside, outside = holm([p for p, _ in pairs]), holm([p for _, p in pairs])
    return [
        None if number is None else Decision(_verdict(number, region, p_in, p_out), p_in, p_out)
        for number, region, p_in, p_out in zip(evidence, regions, inside, outside, strict=True)
    ]


def _verdict(evidence: Evidence, region: Region, p_support: float, p_refute: float) -> Verdict:
    # The shown interval must say the same: it may be asymmetric (a bootstrap's) where the p-value's is not.
    low = -math.inf if evidence.low is None else evidence.low
    high = math.inf if evidence.high is None else evidence.high
    census = evidence.standard_error is None
    if p_support <= ALPHA and (census or (region.low <= low and high <= region.high)):
        return "SUPPORTED"
    if p_refute <= ALPHA and (census or high <= region.low or region.high <= low):
        return "NOT SUPPORTED"
    return "UNDERPOWERED"


def p_values(evidence: Evidence, region: Region) -> tuple[float, float]:
    """One-sided p-values (0..1) of "the number lies outside the region" and of "it lies inside".

    Outside is tested at every finite border, and all must be rejected (two one-sided tests, Schuirmann 1987); inside
    can be rejected at either border, so the smaller p-value counts twice where there are two.
    """
    borders = [(region.low, 1)] * (region.low > -math.inf) + [(region.high, -1)] * (region.high < math.inf)
    inside = max(_beyond(evidence, border, sign) for border, sign in borders)
    outside = min(_beyond(evidence, border, -sign) for border, sign in borders)
    return inside, min(1.0, len(borders) * outside)


def _beyond(evidence: Evidence, border: float, sign: int) -> float:
    """p-value of "the number is not beyond the border", on the side of the sign."""
    distance = sign * (evidence.estimate - border)
    if evidence.standard_error is None:
        return 0.0 if distance > 0 else 1.0
    if evidence.standard_error == 0 or evidence.p_at is None:
        return 1.0  # nothing varied among the few prompts that there are: no error can be told
    p_value = evidence.p_at(border)
    return p_value / 2 if distance > 0 else 1 - p_value / 2


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """1 a claim is not supported, else 4 a row is unfinished, else 3 underpowered, 0 all supported.

    4 before 3: 3 says that everything was measured and that it was not enough.
    """
    for verdict, code in (("NOT SUPPORTED", 1), ("PENDING", 4), ("INCOMPLETE", 4), ("UNDERPOWERED", 3)):
        if verdict in verdicts:
            return code
    return 0
