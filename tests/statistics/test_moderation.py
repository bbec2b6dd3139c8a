"""Variances over few seeds, drawn towards each other (Smyth 2004)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import polygamma

from ropo_bench.statistics.moderation import inverse_trigamma, moderate


@given(st.floats(1e-3, 1e3))
def test_inverse_trigamma(x: float) -> None:
    assert inverse_trigamma(float(polygamma(1, x))) == pytest.approx(x, rel=1e-8)


def test_variances_that_agree_are_pooled() -> None:
    variances_M, degrees_M = moderate(np.array([1.0, 1.2, 0.9]), np.array([2.0, 2.0, 4.0]))
    assert variances_M == pytest.approx((2 * 1.0 + 2 * 1.2 + 4 * 0.9) / 8)
    assert degrees_M == pytest.approx([6, 6, 4])


def test_one_that_differs_by_much_keeps_to_itself() -> None:
    draw = np.random.default_rng(0)
    degrees_M = np.full(40, 20.0)
    true_M = np.where(np.arange(40) < 20, 1.0, 400.0)
    found_M, freedom_M = moderate(true_M * draw.chisquare(20, 40) / 20, degrees_M)
    assert (freedom_M < 25).all()
    assert found_M[:20].max() < 10
    assert found_M[20:].min() > 100


def test_the_prior_is_found_again() -> None:
    """Variances drawn from the model: prior degrees 8 around 3."""
    draw = np.random.default_rng(1)
    true_M = 3 * 8 / draw.chisquare(8, 20_000)
    variances_M = true_M * draw.chisquare(4, 20_000) / 4
    found_M, degrees_M = moderate(variances_M, np.full(20_000, 4.0))
    assert degrees_M == pytest.approx(12, rel=0.1)
    assert np.polyfit(variances_M, found_M, 1) == pytest.approx([4 / 12, 8 * 3 / 12], rel=0.1)
    errors = [np.log(one / true_M).std() for one in (variances_M, found_M)]
    assert errors[1] < 0.6 * errors[0]


@given(st.lists(st.floats(0, 1e6).map(lambda v: round(v, 6)), min_size=1, max_size=8), st.floats(1e-3, 1e3))
def test_scales_and_keeps_within_bounds(variances: list[float], scale: float) -> None:
    variances_M, degrees_M = np.array(variances), np.full(len(variances), 2.0)
    found_M, freedom_M = moderate(variances_M, degrees_M)
    assert (freedom_M >= degrees_M).all()
    assert (freedom_M <= degrees_M.sum()).all()
    assert (found_M >= 0).all()
    again_M, _ = moderate(scale * variances_M, degrees_M)
    assert again_M == pytest.approx(scale * found_M, rel=1e-6, abs=1e-300)
