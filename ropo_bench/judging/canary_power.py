"""How many canaries it takes to see a bias, and what bias so many could have seen.

A canary fails when its interval, t with n - 1 degrees over items, lies beyond the tolerance. How often it does is
computed exactly for a judge that tosses coins: every verdict a win or a loss, drawn on its own, with the chance that
makes the bias, so that counts of items are multinomial. (The noncentral t of Cohen 1988, chapter 2, gives nearly the
same numbers, but does not know the steps that whole verdicts make.) Ties, and verdicts that agree from item to item,
spread less. Grades are no coins: for them it is the noncentral t. Points are 0..100.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import sqrt
from typing import Literal

import numpy as np

from ropo_bench.statistics.power import minimum_detectable_effect

Kind = Literal["constant", "identical", "swap", "verbose"]

TOLERANCES: Mapping[Kind, float] = {"constant": 25.0, "identical": 10.0, "swap": 10.0, "verbose": 10.0}
"""Of comparisons, in points: wins of the constant answer; distance from 50; p(wins first) - p(wins second)."""
FOUND: Mapping[Kind, float] = {"constant": 50.0, "identical": 25.0, "swap": 30.0, "verbose": 25.0}
"""Biases that must be found with 80 % power: wins half of the time; 75 % of the time; 30 points of order; 75 %."""
MOST: Mapping[Kind, float] = {"constant": 100.0, "identical": 50.0, "swap": 100.0, "verbose": 50.0}
"""The largest bias that there is."""
CALLS: Mapping[Kind, int] = {"constant": 2, "identical": 1, "swap": 2, "verbose": 2}
"""Questions an item: both orders, but for identical answers, which have only one."""

GRADE_TOLERANCES: Mapping[Kind, float] = {"constant": 0.0, "identical": 0.5, "verbose": 1.0}
"""Of grades 1..10: grade above the real answer's; mean distance of two grades; grade above the single copy's."""
GRADE_EXCESS = 1.0
"""Grades beyond the tolerance that must be found with 80 % power."""
GRADE_SPREAD = 1.5
"""Standard deviation over items of a difference of two grades, assumed: our choice."""
GRADE_CALLS_PER_ITEM = 4
POWER = 0.8
_STEP = 0.5
_FEWEST = 5


def find_power(kind: Kind, bias: float, n: int) -> float:
    """The chance (0..1) that a comparison's canary of n items fails for a judge with a bias of so many points."""
    from scipy.special import gammaln, stdtrit, xlogy

    p = _chance(kind, bias)
    won_2, won_1 = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    if kind == "identical":  # one verdict an item: 1 or 0 of 1
        keep, shares, sums = won_1 == 0, (p, 0.0, 1 - p), (1.0, 0.0, 0.0)
    else:  # two an item: 2, 1 or 0 of 2
        keep, shares, sums = won_2 + won_1 <= n, (p * p, 2 * p * (1 - p), (1 - p) ** 2), (2.0, 1.0, 0.0)
    counts = np.stack([won_2[keep], won_1[keep], n - won_2[keep] - won_1[keep]])
    chances = np.exp(gammaln(n + 1) + (xlogy(counts, np.array(shares)[:, None]) - gammaln(counts + 1)).sum(axis=0))
    points = np.array([_points(kind, total) for total in sums])
    mean = points @ counts / n
    spread = np.sqrt(np.maximum(((points[:, None] - mean) ** 2 * counts).sum(axis=0) / (n - 1), 0.0))
    low = mean - float(stdtrit(n - 1, 0.975)) * spread / sqrt(n)
    return float(chances[low > TOLERANCES[kind]].sum())


def _chance(kind: Kind, bias: float) -> float:
    """Of one verdict to fall on the side of the bias."""
    return {"constant": bias / 100, "swap": 0.5 + bias / 200}.get(kind, 0.5 + bias / 100)


def _points(kind: Kind, won: float) -> float:
    """An item's bias from its verdicts on that side: of two, or of one for identical answers."""
    match kind:
        case "constant":
            return 50 * won
        case "identical":
            return 100 * won - 50
        case "swap":
            return 100 * won - 100
        case "verbose":
            return 50 * won - 50


@cache
def num_items(kind: Kind) -> int:
    """Items of a comparison's canary: the fewest that find the bias FOUND with 80 % power."""
    n = _FEWEST
    while find_power(kind, FOUND[kind], n) < POWER:
        n += 1
    return n


@cache
def num_graded_items() -> int:
    """Items of the canaries of grades."""
    n = _FEWEST
    while minimum_detectable_effect(GRADE_SPREAD / sqrt(n), n - 1, POWER) > GRADE_EXCESS:
        n += 1
    return n


def num_calls(available: int) -> int:
    """Questions to a judge that compares, where so many prompts can be canaries."""
    return sum(calls * min(num_items(kind), available) for kind, calls in CALLS.items())


def num_grade_calls(available: int) -> int:
    """Questions to a judge that grades, where so many prompts can be canaries."""
    return GRADE_CALLS_PER_ITEM * min(num_graded_items(), available)


@cache
def detectable(kind: Kind, n: int) -> float | None:
    """The smallest bias in points (steps of 0.5) that n items find with 80 % power; None for fewer than two items."""
    if n < 2:
        return None
    bias = TOLERANCES[kind]
    while bias < MOST[kind] and find_power(kind, bias, n) < POWER:
        bias += _STEP
    return bias


@cache
def detectable_grade(kind: Kind, n: int) -> float | None:
    """The same in grades."""
    if n < 2:
        return None
    return GRADE_TOLERANCES[kind] + minimum_detectable_effect(GRADE_SPREAD / sqrt(n), n - 1, POWER)
