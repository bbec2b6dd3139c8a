"""How many canaries are asked, and what so many could have seen."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ropo_bench.judging.canaries import Question, judge_canaries
from ropo_bench.judging.canary_power import (
    CALLS,
    FOUND,
    GRADE_TOLERANCES,
    TOLERANCES,
    detectable,
    detectable_grade,
    find_power,
    num_calls,
    num_graded_items,
    num_items,
)
from tests.judging.test_canaries import ITEMS, TWENTY, by_kind, exact


def power(kind: str, bias: float, n: int, judges: int = 1000) -> float:
    """How often a judge of this bias fails, each verdict a coin of its own."""
    draw = random.Random(f"{kind} {bias} {n}")
    chance = {"constant": bias / 100, "swap": 0.5 + bias / 200}.get(kind, 0.5 + bias / 100)

    def prefer(question: Question) -> float:
        """For the answer shown first: the canary's own answer in order ab, but what stands first in a swap."""
        won = draw.random() < chance
        return float(won if kind in ("swap", "identical") or question.order == "ab" else not won)

    items = ITEMS[:n]
    return sum(by_kind(judge_canaries(items, prefer))[kind].passed is False for _ in range(judges)) / judges


@pytest.mark.parametrize("kind", TOLERANCES)
def test_so_many_items_find_the_stated_bias_four_times_in_five(kind: Any) -> None:
    """1,000 judges: a power of 80 % is known to 1.3 points (one standard error)."""
    n = num_items(kind)
    exact_power = find_power(kind, FOUND[kind], n)
    assert 0.8 <= exact_power < 0.84
    assert find_power(kind, FOUND[kind], n - 1) < 0.8
    assert power(kind, FOUND[kind], n) == pytest.approx(exact_power, abs=0.045)
    assert detectable(kind, n) == FOUND[kind]


def test_detectable_by_hand() -> None:
    """Identical, 3 items, p = 0.9: only 3 of 3 wins have an interval above 10 points, so the power is 0.9^3."""
    assert find_power("identical", 40, 3) == pytest.approx(0.9**3)
    # Verbose, 2 items: both must win both orders (an interval of no width at 50): 0.75^4.
    assert find_power("verbose", 25, 2) == pytest.approx(0.75**4)
    assert num_items("verbose") == 37  # ((1.96 + 0.84) * 30.62 / 15)^2 = 32.7 by normal theory
    assert detectable("verbose", 20) == 30.0
    assert detectable("swap", 1) is None
    assert detectable_grade("verbose", num_graded_items()) == pytest.approx(2.0, abs=0.02)
    assert set(GRADE_TOLERANCES) < set(TOLERANCES)


def test_a_pass_says_what_it_could_have_seen() -> None:
    for result in judge_canaries(ITEMS, exact):
        assert result.passed is True
        assert result.detectable == FOUND[result.kind]
    assert by_kind(judge_canaries(TWENTY, exact))["swap"].detectable == 52.5
    assert num_calls(805) == sum(calls * num_items(kind) for kind, calls in CALLS.items())
