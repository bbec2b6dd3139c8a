"""Skewed differences: a row that fails seldom and badly is not called better."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropo_bench.statistics.comparisons import compare_samples
from ropo_bench.statistics.sample import Sample
from ropo_bench.statistics.skewness import skewness, third_cumulant, twist, untwist


@given(st.floats(-50, 50), st.floats(-2, 2))
def test_twist_is_what_untwist_takes_out(g: float, bend: float) -> None:
    assert untwist(twist(g, bend), bend) == pytest.approx(g, rel=1e-6, abs=1e-6)


def test_untwist_rises_and_is_nothing_without_skewness() -> None:
    t = np.linspace(-30, 30, 400)
    for bend in (-1.5, -0.1, 0.4):
        assert (np.diff(untwist(t, bend)) > 0).all()
    assert untwist(t, 0.0) == pytest.approx(t)


def test_the_third_cumulant_of_a_mean_is_unbiased() -> None:
    """Of exponential values, whose third cumulant is 2, the mean of 12 has 2/12^2; by strata as well."""
    draw = np.random.default_rng(0)
    values = draw.exponential(size=(20_000, 12)) / 12
    whole = np.mean([third_cumulant(row) for row in values])
    parted = np.mean([third_cumulant(row, ["a"] * 5 + ["b"] * 7) for row in values])
    assert (whole, parted) == (pytest.approx(2 / 144, rel=0.08), pytest.approx(2 / 144, rel=0.08))


@pytest.mark.parametrize("unit", [1e-150, 1.0, 1e90])
def test_skewness_has_no_unit(unit: float) -> None:
    values = unit * np.array([[0.0, 1.0, 1.0, 5.0]])
    sample = Sample.linear(["a", "b", "c", "d"], values)
    error = float(values.std(ddof=1)) / 2
    assert skewness(sample, error) == pytest.approx(
        skewness(Sample.linear(sample.clusters, values / unit), error / unit)
    )


def _supported(num_prompts: int, num_tables: int) -> float:
    """Share of tables in which a row that gains 1 on 30 % of prompts and loses 6 on 5 % is called better."""
    draw = np.random.default_rng(num_prompts)
    names = [f"p{i}" for i in range(num_prompts)]
    nothing = Sample.linear(names, np.zeros((1, num_prompts)))
    better = 0
    for _ in range(num_tables):
        chance = draw.random(num_prompts)
        gain = np.where(chance < 0.05, -6.0, np.where(chance < 0.35, 1.0, 0.0))
        rows = {"a": Sample.linear(names, gain[None]), "b": nothing}
        [found] = compare_samples("", "", rows, [("a", "b")])
        better += found.p_value < 0.05 and found.estimate > 0
    return better / num_tables


@pytest.mark.slow
def test_a_row_that_fails_seldom_and_badly_is_not_called_better() -> None:
    """Sign flips alone call it better in 9 % of tables of 80 prompts."""
    assert _supported(80, 400) < 0.025 + 2 * (0.025 * 0.975 / 400) ** 0.5


def test_an_interval_says_what_its_test_says() -> None:
    draw = np.random.default_rng(3)
    names = [f"p{i}" for i in range(30)]
    for _ in range(60):
        shift = draw.normal(scale=12)
        a, b = (100.0 * (draw.normal(size=(1, 30)) + move / 30 > 0) for move in (shift, 0.0))
        if draw.random() < 0.5:
            a = a + draw.exponential(size=(1, 30))
        rows = {"a": Sample.linear(names, a), "b": Sample.linear(names, b)}
        [found] = compare_samples("", "", rows, [("a", "b")])
        assert found.low is not None
        assert found.high is not None
        assert (found.p_value >= 0.05) == (found.low <= 0 <= found.high)
