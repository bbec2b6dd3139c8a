"""Paired differences of rows, against textbook tests where those apply."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ropo_bench.recipes.task import Column
from ropo_bench.statistics.cells import split
from ropo_bench.statistics.comparisons import compare, compare_samples, subtract
from ropo_bench.statistics.sample import Array, Sample
from ropo_bench.types import Comparison
from tests.statistics.score_tables import item, table

M = Column(metric="m", header="m")
NAMES = [f"p{i:03}" for i in range(200)]
PAIR = [("a", "b")]


def one(a_SC: Array, b_SC: Array) -> Comparison:
    [found] = compare("t", [M], {"a": table(a_SC), "b": table(b_SC)}, None, [("a", "b")])
    return found


def refitted(values_SC: Array) -> Sample:
    def evaluate(weight_RC: Array) -> Array:
        found: Array = weight_RC @ values_SC.T / weight_RC.sum(axis=1, keepdims=True)
        return found

    return Sample.refitted(NAMES[: values_SC.shape[1]], values_SC.mean(axis=1), evaluate)


def test_worked_example_on_common_prompts() -> None:
    a = [item("p", 5), item("q", 7), item("r", 9), item("only-a", 100)]
    b = [item("p", 4), item("q", 5), item("r", 6), item("only-b", -100)]
    [found] = compare("t", [M], {"a": [a], "b": [b]}, None, [("a", "b")])
    assert (found.estimate, found.n, found.test) == (2.0, 3, "sign flips")
    assert found.standard_error == pytest.approx(1 / 3**0.5)
    assert found.degrees == pytest.approx(2)
    assert found.p_value == pytest.approx(0.25, abs=0.02)  # all three of one sign: 2 of 8 flips
    assert found.low is not None
    assert found.low <= 0  # as the test says
    assert found.adjusted is None


@pytest.mark.parametrize(("num_lost", "num_compared"), [(1, 1), (2, 0)])
def test_a_row_with_too_few_of_its_items_scored_is_not_compared(num_lost: int, num_compared: int) -> None:
    """Of 25 items one may be missing, which is 4 %; with 8 % what is missing may be all the difference."""
    a = [item(f"p{i}", None if i < num_lost else i) for i in range(25)]
    b = [item(f"p{i}", i + i % 3) for i in range(25)]
    assert len(compare("t", [M], {"a": [a], "b": [b]}, None, [("a", "b")])) == num_compared


def test_one_seed_has_the_paired_t_interval_where_nothing_is_skewed() -> None:
    values = np.concatenate([np.linspace(-1, 3, 25), np.linspace(-3, 1, 25)])
    a, b = np.concatenate([values, -values])[None], np.full((1, 100), -0.05)
    truth = stats.ttest_rel(a[0], b[0]).confidence_interval()
    assert (one(a, b).low, one(a, b).high) == pytest.approx(tuple(truth))


def test_sign_flips_agree_with_t_on_normal_data() -> None:
    draw = np.random.default_rng(1)
    for shift in (0.0, 0.2, 0.35):
        a, b = draw.normal(size=(2, 1, 60)) + np.array([shift, 0.0])[:, None, None]
        assert one(a, b).p_value == pytest.approx(stats.ttest_rel(a[0], b[0]).pvalue, abs=0.02)


def test_accuracies_of_one_seed_are_mcnemars() -> None:
    a = np.array([[100.0] * 9 + [0.0] * 2 + [100.0] * 20])
    b = np.array([[0.0] * 9 + [100.0] * 2 + [100.0] * 20])
    found = one(a, b)
    assert found.test == "exact McNemar"
    assert found.p_value == pytest.approx(stats.binomtest(2, 11).pvalue)


def test_seeds_in_pairs_are_crossed_with_prompts() -> None:
    draw = np.random.default_rng(2)
    common = 5 * draw.normal(size=(3, 1))
    a, b = common + draw.normal(size=(3, 40)), common + draw.normal(size=(3, 40))
    found = one(a, b)
    assert found.test == "crossed t"
    assert found.standard_error is not None
    assert found.standard_error < 1  # what a seed does to both rows cancels
    assert found.estimate == pytest.approx((a - b).mean())


def test_one_fixed_model_stands_beside_every_seed() -> None:
    draw = np.random.default_rng(3)
    fixed, seeds = draw.normal(size=(1, 30)), draw.normal(size=(4, 30))
    assert one(seeds, fixed) == one(seeds, np.repeat(fixed, 4, axis=0))


def test_rows_with_other_numbers_of_seeds_are_paired_on_those_that_both_have() -> None:
    draw = np.random.default_rng(4)
    a, b = draw.normal(size=(3, 1)) + draw.normal(size=(3, 40)), draw.normal(size=(5, 1)) + draw.normal(size=(5, 40))
    assert one(a, b) == one(a, b[:3])


def test_rows_without_a_seed_in_common_are_independent() -> None:
    draw = np.random.default_rng(4)
    a, b = 3 * draw.normal(size=(3, 1)) * np.ones((3, 40)), draw.normal(size=(3, 1)) * np.ones((3, 40))
    a, b = (values + 1e-3 * draw.normal(size=values.shape) for values in (a, b))
    rows = {"a": Sample.linear(NAMES[:40], a), "b": replace(Sample.linear(NAMES[:40], b), seeds=(3, 4, 5))}
    [found] = compare_samples("t", "m", rows, [("a", "b")])
    assert found.test == "Welch t"
    # Each row's variance over seeds at its own t quantile: between Welch's interval and that of the fewest degrees.
    error = (a.mean(axis=1).var(ddof=1) / 3 + b.mean(axis=1).var(ddof=1) / 3) ** 0.5
    assert found.standard_error == pytest.approx(error, rel=1e-3)
    assert found.high is not None
    assert found.high - found.estimate == pytest.approx(error * stats.t.ppf(0.975, 2), rel=1e-3)
    by_bootstrap = {"a": refitted(a), "b": replace(refitted(b), seeds=(3, 4, 5))}
    [again] = compare_samples("t", "m", by_bootstrap, [("a", "b")])
    assert again.p_value == pytest.approx(found.p_value, rel=2e-2)


@pytest.mark.parametrize(("seeds_a", "spread_a"), [(2, 15.0), (5, 5.0)])
def test_unlike_spreads_are_respected(seeds_a: int, spread_a: float) -> None:
    """Two seeds that spread far beside five that do not: equal rows are called different in 5 % at most."""
    draw = np.random.default_rng(12)
    seeds_b, spread_b = 7 - seeds_a, 20 - spread_a
    rejected = 0
    for _ in range(300):
        a = spread_a * draw.normal(size=(seeds_a, 1)) + draw.normal(size=(seeds_a, 40))
        b = spread_b * draw.normal(size=(seeds_b, 1)) + draw.normal(size=(seeds_b, 40))
        rejected += one(a, b).p_value < 0.05
    assert rejected / 300 < 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32 - 1), st.booleans())
def test_b_minus_a_is_minus_a_minus_b(seeds_a: int, seeds_b: int, seed: int, whole: bool) -> None:
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=(seeds_a, 12)), draw.normal(size=(seeds_b, 12))
    if whole:
        a, b = 100.0 * (a > 0), 100.0 * (b > 0)
    found, turned = one(a, b), one(b, a)
    assert turned.low is not None
    assert turned.high is not None
    assert (turned.estimate, turned.standard_error) == pytest.approx((-found.estimate, found.standard_error))
    assert (-turned.high, -turned.low) == pytest.approx((found.low, found.high))
    assert turned.p_value == pytest.approx(found.p_value)
    mixed = draw.permutation(seeds_a)
    if seeds_a == seeds_b:
        assert one(a[mixed], b[mixed]).p_value == pytest.approx(found.p_value, abs=1e-6)
    shifted = one(a + 7, b + 7)
    assert (shifted.estimate, shifted.standard_error) == pytest.approx((found.estimate, found.standard_error))


def test_the_same_row_twice() -> None:
    a = np.random.default_rng(5).normal(size=(3, 30))
    for rows in (a, a[:1]):
        found = one(rows, rows)
        assert (found.estimate, found.standard_error, found.p_value) == (0.0, 0.0, 1.0)


def test_refitted_estimates_use_the_same_draws_for_both_rows() -> None:
    draw = np.random.default_rng(6)
    common = 10 * draw.normal(size=100)
    a, b = (common + draw.normal(size=(1, 100)) for _ in range(2))
    [found] = compare_samples("t", "m", {"a": refitted(a), "b": refitted(b)}, [("a", "b")])
    assert found.test == "bootstrap t"
    assert found.standard_error == pytest.approx(one(a, b).standard_error, rel=0.1)
    assert found.estimate == pytest.approx(one(a, b).estimate)


def test_refitted_estimates_on_other_prompts_are_compared_on_the_common_ones() -> None:
    draw = np.random.default_rng(7)
    a, b = draw.normal(size=(1, 100)), draw.normal(size=(1, 60))
    [found] = compare_samples("t", "m", {"a": refitted(a), "b": refitted(b)}, [("a", "b")])
    assert found.n == 60
    assert found.estimate == pytest.approx(a[0, :60].mean() - b[0].mean())


def test_strata_count_the_same() -> None:
    draw = np.random.default_rng(8)
    values = draw.normal(size=(2, 1, 55))
    strata = ["large"] * 50 + ["small"] * 5
    a, b = (Sample.linear(NAMES[:55], each, strata) for each in values)
    [found] = compare_samples("t", "m", {"a": a, "b": b}, [("a", "b")])
    gap = values[0, 0] - values[1, 0]
    assert found.estimate == pytest.approx((gap[:50].mean() + gap[50:].mean()) / 2)
    assert found.test == "sign flips"


def test_nothing_to_test_is_left_out() -> None:
    census = {"a": Sample.census(np.array([1.0])), "b": Sample.census(np.array([2.0]))}
    assert compare_samples("t", "m", census, [("a", "b")]) == []
    assert compare("t", [M], {"a": [[item("p", 1)]], "b": [[item("p", 2)]]}, None, [("a", "b")]) == []
    assert compare("t", [M], {"a": [[item("p", None)]], "b": [[item("p", 2)]]}, None, [("a", "b")]) == []


def test_censuses_over_seeds() -> None:
    a, b = np.array([1.0, 2.0, 4.0]), np.array([0.5, 1.0, 1.5])
    samples = {"a": Sample.census(a), "c": Sample.census(b[:2])}
    [paired] = compare_samples("t", "m", {"a": Sample.census(a), "b": Sample.census(b)}, [("a", "b")])
    [common] = compare_samples("t", "m", samples, [("a", "c")])
    assert paired.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert common.p_value == pytest.approx(stats.ttest_rel(a[:2], b[:2]).pvalue)


@pytest.mark.filterwarnings("error")
def test_censuses_without_any_spread() -> None:
    values = {"SFT": [50.0], "a": [50.0] * 3, "b": [80.0] * 3}
    samples = {name: Sample.census(np.array(seeds)) for name, seeds in values.items()}
    found = compare_samples("t", "m", samples, [("SFT", "a"), ("SFT", "b"), ("a", "b")])
    assert [one.p_value for one in found] == [1.0, 0.0, 0.0]
    assert all(one.degrees is not None and math.isfinite(one.degrees) for one in found)


def test_several_rows_tell_of_each_others_seeds() -> None:
    """Five rows whose own seed effects spread alike, with a common effect: a two-way analysis of variance by hand."""
    own_MS = np.array([[0, 1, -1], [1, -1, 0], [-1, 0, 1], [0, -1, 1], [1, 0, -1]], dtype=float)
    common_S = np.array([4.0, -1.0, -3.0])
    table_MS = own_MS + common_S + np.arange(5.0)[:, None]
    samples = {f"r{i}": Sample.census(row_S) for i, row_S in enumerate(table_MS)} | {
        "fixed": Sample.census(np.zeros(1))
    }
    between, beside = compare_samples("t", "m", samples, [("r0", "r1"), ("r2", "fixed")])
    residual_MS = table_MS - table_MS.mean(axis=1, keepdims=True) - table_MS.mean(axis=0) + table_MS.mean()
    own_M = (
        (residual_MS**2).sum(axis=1) / 2 * 5 / 4
    )  # two degrees each, 5/4 for the part that the mean over rows took
    pooled = own_M.mean()  # they agree, so that the prior has all degrees; none is made smaller than it is
    spread_M = np.maximum(own_M, pooled)
    assert between.standard_error == pytest.approx(((spread_M[0] + spread_M[1]) / 3) ** 0.5)
    assert between.degrees == pytest.approx(8)
    common = table_MS.mean(axis=0).var(ddof=1)
    own = max(4 / 5 * spread_M[2], table_MS[2].var(ddof=1) - common)
    assert beside.standard_error == pytest.approx(((common + own) / 3) ** 0.5)
    [alone] = compare_samples("t", "m", samples, [("r0", "r1")])
    assert alone == between  # all rows tell, however few pairs are asked for


def test_a_difference_can_be_split_for_planning() -> None:
    draw = np.random.default_rng(9)
    common = 30 * draw.normal(size=(1, 200))
    a, b = (common + draw.normal(size=(5, 200)) for _ in range(2))
    found = subtract(Sample.linear(NAMES, a), Sample.linear(NAMES, b))
    assert found is not None
    assert split(found)["rest"] == pytest.approx(2**0.5, rel=0.15)
    assert split(found)["prompts"] < 1  # common to both


def test_p_values_are_uniform_when_nothing_differs() -> None:
    draw = np.random.default_rng(10)
    prompt = 3 * draw.normal(size=(1, 40))  # what the rows share must not matter
    rows = {f"r{i}": Sample.linear(NAMES[:40], prompt + draw.normal(size=(1, 40))) for i in range(2000)}
    pairs = [(f"r{i}", f"r{i + 1}") for i in range(0, 2000, 2)]
    p_values = np.sort([found.p_value for found in compare_samples("t", "m", rows, pairs)])
    gap = np.abs(p_values - (np.arange(1000) + 0.5) / 1000).max()
    assert gap < 1.63 / 1000**0.5  # Kolmogorov-Smirnov at 1 %


def test_a_seed_that_lost_its_scores_is_left_out_and_not_the_pair() -> None:
    draw = np.random.default_rng(13)
    a, b = (draw.normal(size=(4, 1)) + draw.normal(size=(4, 30)) for _ in range(2))
    whole = {"a": Sample.linear(NAMES[:30], a[:3]), "b": Sample.linear(NAMES[:30], b[:3])}
    a[3, 1:] = np.nan
    [found] = compare_samples("t", "m", {"a": Sample.linear(NAMES[:30], a), "b": Sample.linear(NAMES[:30], b)}, PAIR)
    assert found == compare_samples("t", "m", whole, PAIR)[0]
