"""Seeds crossed with prompts: mean squares, degrees and intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from ropo_bench.statistics.crossed import Parts, bootstrap_parts, linear_parts, sample_parts
from ropo_bench.statistics.sample import Array, Sample


def crossed(num_seeds: int, num_clusters: int, seeds: float, draw: np.random.Generator, rest: float = 1.0) -> Array:
    values_SC: Array = draw.normal(size=(1, num_clusters)) + rest * draw.normal(size=(num_seeds, num_clusters))
    return values_SC + seeds * draw.normal(size=(num_seeds, 1))


def test_one_seed_is_students_t() -> None:
    y = np.random.default_rng(0).normal(0.2, 1, size=40)
    parts, truth = linear_parts(y[None]), stats.ttest_1samp(y, 0)
    interval = truth.confidence_interval()
    assert (y.mean() - parts.half_width(), y.mean() + parts.half_width()) == pytest.approx(interval)
    assert parts.p_value(y.mean()) == pytest.approx(truth.pvalue)
    assert parts.degrees() == pytest.approx(39)


def test_mean_squares_are_those_of_an_analysis_of_variance() -> None:
    values_SC = crossed(4, 12, 0.7, np.random.default_rng(1))
    seed, cluster = np.indices(values_SC.shape)
    frame = pd.DataFrame({"y": values_SC.ravel(), "seed": seed.ravel(), "prompt": cluster.ravel()})
    squares = anova_lm(ols("y ~ C(seed) + C(prompt)", frame).fit())["mean_sq"]
    parts = linear_parts(values_SC)
    assert parts.prompts == pytest.approx(squares["C(prompt)"] / 48)
    assert parts.seeds == pytest.approx(squares["C(seed)"] / 48)
    assert parts.rest == pytest.approx(squares["Residual"] / 48)
    assert (parts.degrees_prompts, parts.degrees_seeds, parts.degrees_rest) == (11, 3, 33)


def test_worked_example() -> None:
    # seed means 2 and 4, prompt means 2, 3, 4 and no rest: 1/3 from prompts, 2/2 from seeds
    parts = linear_parts(np.array([[1.0, 2, 3], [3.0, 4, 5]]))
    assert parts.standard_error == pytest.approx((1 / 3 + 1) ** 0.5)
    t2, t1 = stats.t.ppf(0.975, 2), stats.t.ppf(0.975, 1)
    assert parts.half_width() == pytest.approx((t2**2 / 3 + t1**2) ** 0.5)


def test_degrees_and_p_values_belong_to_the_interval() -> None:
    parts = linear_parts(crossed(3, 30, 0.3, np.random.default_rng(2)))
    quantile = stats.t.ppf(0.975, parts.degrees())
    assert quantile * parts.standard_error == pytest.approx(parts.half_width())
    for alpha in (0.3, 0.05, 1e-3, 1e-9):
        assert parts.p_value(parts.half_width(alpha)) == pytest.approx(alpha)
    assert parts.p_value(-0.4) == parts.p_value(0.4)


@pytest.mark.parametrize("seeds", [0.0, 0.1, 1.0, 10.0])
def test_degrees_lie_between_those_of_the_parts(seeds: float) -> None:
    draw = np.random.default_rng(3)
    for _ in range(20):
        assert 2 - 1e-6 <= linear_parts(crossed(3, 20, seeds, draw)).degrees() <= 38 + 1e-6


def test_many_prompts_and_great_seed_noise_leave_t_over_seeds() -> None:
    values_SC = crossed(4, 200, 100.0, np.random.default_rng(4))
    means = values_SC.mean(axis=1)
    assert linear_parts(values_SC).half_width() == pytest.approx(stats.t.ppf(0.975, 3) * stats.sem(means), rel=1e-2)


@pytest.mark.filterwarnings("error")
def test_without_any_spread() -> None:
    parts = linear_parts(np.full((3, 5), 2.0))
    assert (parts.standard_error, parts.half_width(), parts.p_value(0.0), parts.p_value(1.0)) == (0, 0, 1, 0)
    assert np.isfinite(parts.degrees())


@given(st.integers(1, 4), st.integers(2, 12), st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(-50, 50))
def test_order_scale_and_shift(num_seeds: int, num_clusters: int, seed: int, scale: float, shift: float) -> None:
    draw = np.random.default_rng(seed)
    values_SC = crossed(num_seeds, num_clusters, 0.5, draw)
    half = linear_parts(values_SC).half_width()
    mixed = values_SC[draw.permutation(num_seeds)][:, draw.permutation(num_clusters)]
    assert linear_parts(mixed).half_width() == pytest.approx(half, rel=1e-6)
    assert linear_parts(scale * values_SC + shift).half_width() == pytest.approx(scale * half, rel=1e-6)


def test_strata_count_the_same_whatever_their_size() -> None:
    draw = np.random.default_rng(5)
    large, small = draw.normal(size=(1, 50)), draw.normal(size=(1, 5)) * 2
    parts = linear_parts(np.concatenate([large, small], axis=1), ["a"] * 50 + ["b"] * 5)
    expected = (large.var(ddof=1) / 50 + small.var(ddof=1) / 5) / 4
    assert parts.variance == pytest.approx(expected)
    assert 4 < float(parts.degrees_prompts) < 10  # the small one decides


def test_one_stratum_is_none() -> None:
    values_SC = crossed(3, 10, 0.5, np.random.default_rng(6))
    one, none = linear_parts(values_SC, ["a"] * 10), linear_parts(values_SC)
    assert one.half_width() == pytest.approx(none.half_width())


def test_bootstrap_parts_of_a_mean_are_the_analytic_ones() -> None:
    values_SC = crossed(3, 60, 0.4, np.random.default_rng(7))
    sample = Sample.refitted(
        [f"p{i:02}" for i in range(60)],
        values_SC.mean(axis=1),
        lambda weight_RC: weight_RC @ values_SC.T / weight_RC.sum(axis=1, keepdims=True),
    )
    found, analytic = sample_parts(sample), linear_parts(values_SC)
    assert found is not None
    for name in ("prompts", "seeds", "rest"):
        assert getattr(found, name) == pytest.approx(float(getattr(analytic, name)), rel=0.12)
    again = bootstrap_parts(sample.estimates_S, sample.draws(sample.clusters), 60)
    assert again == found  # the same draws every time


def test_nothing_to_give() -> None:
    assert sample_parts(Sample.census(np.array([3.0]))) is None
    assert sample_parts(Sample.linear(["a"], np.array([[3.0], [4.0]]))) is None
    assert sample_parts(Sample.linear(["a", "b", "c"], np.array([[1.0, 2, 3]]), ["x", "x", "y"])) is None


def test_a_census_over_seeds_is_a_t_interval_of_them() -> None:
    parts = sample_parts(Sample.census(np.array([1.0, 2.0, 4.0])))
    assert parts is not None
    assert parts.half_width() == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem([1, 2, 4]))
    assert parts.degrees() == pytest.approx(2)


@pytest.mark.parametrize(
    ("num_seeds", "seeds"), [(1, 0.0), (3, 0.0), (3, 0.1), (3, 0.6), (5, 0.0), (5, 0.1), (5, 0.6)]
)
def test_coverage(num_seeds: int, seeds: float) -> None:
    """Small; benchmarks/coverage.py is the large one."""
    draw = np.random.default_rng(8)
    held = []
    for _ in range(1500):
        values_SC = crossed(num_seeds, 60, seeds, draw, rest=0.7)
        parts = linear_parts(values_SC)
        held.append(abs(values_SC.mean()) <= parts.half_width())
    assert np.mean(held) >= 0.935
    assert np.mean(held) <= (0.97 if num_seeds != 3 else 0.99)


def test_parts_are_asked_together_as_one_by_one() -> None:
    draw = np.random.default_rng(9)
    tables = [crossed(3, 20, seeds, draw) for seeds in (0.0, 0.2, 2.0)]
    single = [linear_parts(values_SC) for values_SC in tables]
    names = ("prompts", "seeds", "rest", "degrees_prompts", "degrees_seeds", "degrees_rest")
    together = Parts(*(np.array([float(getattr(one, name)) for one in single]) for name in names))
    assert together.half_width() == pytest.approx([float(one.half_width()) for one in single])
    assert together.degrees() == pytest.approx([float(one.degrees()) for one in single])
    assert together.p_value(0.3) == pytest.approx([float(one.p_value(0.3)) for one in single])
