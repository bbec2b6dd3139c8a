"""How many canaries it takes to see a bias, and what bias so many could have seen.

A canary fails when its interval, t with n - 1 degrees over items, lies beyond the tolerance; so a bias is found with
80 % power where it exceeds the tolerance by the minimum detectable effect of n items (noncentral t; Cohen 1988,
chapter 2). How far items spread is taken from a judge that tosses coins: every verdict a win or a loss, drawn on its
own, with the chance that makes the bias. Ties, and verdicts that agree from item to item, spread less. Points are
0..100.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import sqrt
from typing import Literal

from ropo_bench.statistics import minimum_detectable_effect

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
_STEP = 0.5
_FEWEST = 5


def item_spread(kind: Kind, bias: float) -> float:
    """Standard deviation of one item, in points, for independent verdicts of win or loss with this bias."""
    match kind:
        case "constant":  # the mean of two verdicts, each won with chance bias/100
            return 100 * sqrt(bias / 100 * (1 - bias / 100) / 2)
        case "verbose":
            return 100 * sqrt((0.25 - (bias / 100) ** 2) / 2)
        case "identical":  # one verdict
            return 100 * sqrt(0.25 - (bias / 100) ** 2)
        case "swap":  # the sum of two
            return 100 * sqrt(2 * (0.25 - (bias / 200) ** 2))


def num_items(kind: Kind) -> int:
    """Items of a comparison's canary: the fewest that find the bias FOUND with 80 % power."""
    return _enough(FOUND[kind] - TOLERANCES[kind], item_spread(kind, FOUND[kind]))


def num_graded_items() -> int:
    """Items of the canaries of grades."""
    return _enough(GRADE_EXCESS, GRADE_SPREAD)


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
    while bias < MOST[kind] and not _finds(bias - TOLERANCES[kind], item_spread(kind, bias), n):
        bias += _STEP
    return bias


@cache
def detectable_grade(kind: Kind, n: int) -> float | None:
    """The same in grades."""
    if n < 2:
        return None
    return GRADE_TOLERANCES[kind] + minimum_detectable_effect(GRADE_SPREAD / sqrt(n), n - 1)


@cache
def _enough(excess: float, spread: float) -> int:
    n = _FEWEST
    while not _finds(excess, spread, n):
        n += 1
    return n


def _finds(excess: float, spread: float, n: int) -> bool:
    return excess > 0 and minimum_detectable_effect(spread / sqrt(n), n - 1) <= excess
