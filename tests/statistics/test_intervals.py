"""Intervals that stay on their scale and cover near its ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from ropo_bench.statistics.cells import level
from ropo_bench.statistics.intervals import Level, Scale
from ropo_bench.statistics.sample import Sample

PERCENT: Scale = (0.0, 100.0)


def of(values_SC: np.ndarray, scale: Scale | None = PERCENT) -> Level:
    made = level(Sample.linear([f"p{i}" for i in range(values_SC.shape[1])], values_SC), scale)
    assert made is not None
    return made


def test_one_seed_is_wilsons_score_interval() -> None:
    """With the t quantile of so many items that it is the normal one."""
    right = np.array([[100.0] * 4850 + [0.0] * 150])
    truth = proportion_confint(4850, 5000, method="wilson")
    assert np.array(of(right).interval()) / 100 == pytest.approx(np.array(truth), abs=2e-5)


def test_where_all_is_right_the_interval_has_a_lower_end() -> None:
    low, high = of(np.full((1, 40), 100.0)).interval()
    assert high == 100.0
    assert low == pytest.approx(100 / (1 + 2.0227**2 / 40), abs=1e-3)  # t of 39 degrees
    assert of(np.full((3, 40), 100.0)).interval()[0] < low  # three seeds know their spread by two degrees
    assert of(np.full((1, 40), 50.0)).interval() == (50.0, 50.0)  # nothing varies, and nothing is near an end


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.floats(0.02, 0.98), st.integers(0, 2**32 - 1))
def test_intervals_stay_inside_and_agree_with_tests(num_seeds: int, share: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    made = of(100.0 * (draw.random((num_seeds, 30)) < share))
    low, high = made.interval()
    assert 0 <= low <= made.estimate <= high <= 100
    for border in (1.0, 30.0, 60.0, 97.0):
        p_value = made.p_value(border)
        if abs(p_value - 0.05) > 1e-6:
            assert (p_value > 0.05) == (low < border < high)


def test_without_a_scale_it_is_symmetric() -> None:
    made = of(np.random.default_rng(0).normal(size=(1, 20)), None)
    low, high = made.interval()
    assert (low + high) / 2 == pytest.approx(made.estimate)


@pytest.mark.parametrize(("num_items", "share", "num_seeds"), [(40, 0.97, 1), (300, 0.99, 1), (40, 0.97, 5)])
def test_it_covers_near_the_end_of_the_scale(num_items: int, share: float, num_seeds: int) -> None:
    """The symmetric t interval covers 70, 80 and 86 % here."""
    from scipy.special import ndtri

    draw = np.random.default_rng(num_items)
    covered = 0
    for _ in range(500):
        quality = 0.8 * draw.normal(size=(1, num_items)) + 0.6 * draw.normal(size=(num_seeds, num_items))
        low, high = of(100.0 * (quality < ndtri(share))).interval()
        covered += low <= 100 * share <= high
    assert covered / 500 > 0.935 - 2 * (0.065 * 0.935 / 500) ** 0.5
