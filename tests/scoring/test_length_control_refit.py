"""Refitting length control in every resample: an exact optimum, stable at the edges."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ropo_bench.scoring.length_control import C, Gamed, control_length, logistic, win_rates
from ropo_bench.scoring.length_control.fit import GAMED_WEIGHT
from ropo_bench.scoring.length_control.lasso import Block, solve

Table = tuple[np.ndarray, np.ndarray, np.ndarray]


def table(n: int, constant: float = 0.4, seed: int = 0) -> Table:
    """Fractional preferences, length deltas in characters, difficulties."""
    draw = np.random.default_rng(seed)
    deltas, difficulties = np.round(draw.normal(300, 800, n)), draw.normal(size=n)
    z = constant - 1.2 * np.tanh(deltas / 800) + 0.7 * difficulties + draw.logistic(size=n)
    return logistic(3 * z), deltas, difficulties


def gamed_annotations(n: int = 120) -> Gamed:
    draw = np.random.default_rng(5)
    return Gamed(draw.random(n), draw.normal(size=n), draw.normal(size=n))


def resamples(n: int, replicates: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=replicates).astype(float)


def features_of(deltas: np.ndarray, difficulties: np.ndarray) -> np.ndarray:
    tanh = np.tanh(deltas / deltas.std(ddof=1))
    return np.column_stack([tanh, difficulties, np.ones_like(tanh)])


def objective(w: np.ndarray, features: np.ndarray, target: np.ndarray, weight: np.ndarray, c: float) -> float:
    z = features @ w
    return float(np.abs(w).sum() + c * (weight * (np.logaddexp(0, z) - target * z)).sum())


@pytest.mark.parametrize("c", [0.01, 0.05, C, 400.0])
def test_optimality_conditions(c: float) -> None:
    """0 lies in the subdifferential; at a small c some coefficients are 0."""
    preferences, deltas, difficulties = table(150)
    features, weights = features_of(deltas, difficulties), resamples(150, 30)
    block = Block(np.repeat(features[None, :, 0], 30, axis=0), features[:, 1:], preferences, weights)
    found = solve([block], c, np.zeros((30, 3)))
    for w, weight in zip(found, weights, strict=True):
        gradient = c * features.T @ (weight * (logistic(features @ w) - preferences))
        assert np.abs(gradient[w == 0]).max(initial=0) <= 1 + 1e-6
        assert gradient[w != 0] == pytest.approx(-np.sign(w[w != 0]), abs=1e-6 * max(1, c))
    assert (found == 0).any() == (c < 0.1)


def test_no_other_solver_finds_less() -> None:
    """scipy on the same convex objective, w = a - b with a, b >= 0; and liblinear, told to go on to the end."""
    from scipy.optimize import minimize
    from sklearn.linear_model import LogisticRegression

    preferences, deltas, difficulties = table(90)
    features, weights = features_of(deltas, difficulties), resamples(90, 2)
    shared = Block(None, features, preferences, weights)
    found = solve([shared], C, np.zeros((2, 3)))
    for w, weight in zip(found, weights, strict=True):
        ours = objective(w, features, preferences, weight, C)

        def split(ab: np.ndarray, weight: np.ndarray = weight) -> float:
            return objective(ab[:3] - ab[3:], features, preferences, weight, C)

        theirs = minimize(split, np.full(6, 0.1), method="L-BFGS-B", bounds=[(0, None)] * 6, options={"ftol": 1e-12})
        assert ours <= theirs.fun + 1e-9
        assert w == pytest.approx(theirs.x[:3] - theirs.x[3:], abs=1e-3)
        model = LogisticRegression(
            C=C, l1_ratio=1.0, solver="liblinear", fit_intercept=False, tol=1e-12, max_iter=10_000, random_state=0
        )
        model.fit(
            np.concatenate([features, features]),
            np.repeat([1.0, 0.0], len(preferences)),
            sample_weight=np.concatenate([preferences * weight, (1 - preferences) * weight]),
        )
        assert w == pytest.approx(model.coef_[0], abs=1e-5)


@pytest.mark.parametrize(("difficult", "gamed"), [(False, None), (True, None), (True, gamed_annotations())])
def test_a_weight_counts_an_item_so_often(difficult: bool, gamed: Gamed | None) -> None:
    """Each replicate is the fit on the items repeated, the standard deviation of the length deltas included."""
    columns = table(120)[: 3 if difficult else 2]
    weights = resamples(120, 8)
    found = win_rates(weights, *columns, gamed=gamed)
    for rate, weight in zip(found, weights, strict=True):
        index = np.repeat(np.arange(120), weight.astype(int))
        repeated = [column[index] for column in columns]
        assert rate == pytest.approx(win_rates(np.ones((1, 120)), *repeated, gamed=gamed)[0], abs=1e-7)
        # liblinear stops early, so that the published estimator lies a little beside the optimum.
        assert rate == pytest.approx(control_length(*repeated, gamed=gamed).win_rate, abs=0.1)


def test_gamed_annotations_are_items_of_their_own_weight() -> None:
    """As one block of items in which the gamed rows weigh a tenth and lack the constant."""
    preferences, deltas, difficulties = table(80)
    gamed = gamed_annotations()
    none = np.zeros_like(gamed.preferences)
    rows = np.column_stack([np.tanh(gamed.length_deltas), gamed.difficulties, none])
    features = np.concatenate([features_of(deltas, difficulties), rows])
    weight = np.concatenate([np.ones(80), none + GAMED_WEIGHT])[None, :]
    (w,) = solve(
        [Block(None, features, np.concatenate([preferences, gamed.preferences]), weight)], C, np.zeros((1, 3))
    )
    expected = 100 * logistic(w[1] * difficulties + w[2]).mean()
    assert win_rates(np.ones((1, 80)), *table(80), gamed=gamed)[0] == pytest.approx(expected, abs=1e-7)


def test_a_weight_of_zero_leaves_an_item_out() -> None:
    preferences, deltas, difficulties = table(100)
    deltas[:10] = 1e7
    weight = np.concatenate([np.zeros(10), np.ones(90)])[None, :]
    (found,) = win_rates(weight, preferences, deltas, difficulties)
    (expected,) = win_rates(np.ones((1, 90)), preferences[10:], deltas[10:], difficulties[10:])
    assert found == pytest.approx(expected, abs=1e-7)


DEGENERATE = {
    "won all": lambda n: (np.ones(n), *table(n)[1:]),
    "lost all": lambda n: (np.zeros(n), *table(n)[1:]),
    "length decides": lambda n: ((table(n)[1] > 0).astype(float), *table(n)[1:]),
    "difficulty decides": lambda n: ((table(n)[2] > 0).astype(float), *table(n)[1:]),
    "all ties": lambda n: (np.full(n, 0.5), *table(n)[1:]),
    "equal lengths": lambda n: (table(n)[0], np.zeros(n), table(n)[2]),
    "one length delta": lambda n: (table(n)[0], np.full(n, 0.1), table(n)[2]),
    "one difficulty": lambda n: (*table(n)[:2], np.zeros(n)),
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("n", [1, 2, 5, 60])
def test_degenerate_tables_stay_finite(name: str, n: int) -> None:
    preferences, deltas, difficulties = DEGENERATE[name](n)
    with np.errstate(all="raise", under="ignore"):
        found = win_rates(resamples(n, 50), preferences, deltas, difficulties)
    assert found.min() >= 0
    assert found.max() <= 100
    if name == "won all" and n == 60:
        assert found.min() > 90
    if name == "lost all" and n == 60:
        assert found.max() < 10
    if name == "all ties":
        assert found == pytest.approx(np.full(50, 50.0), abs=1e-6)


def test_nothing_but_ties_at_equal_lengths_is_50_whatever_the_gamed_rows_say() -> None:
    preferences, deltas, difficulties = table(40)
    preferences[:30], deltas[:30] = 0.5, 0.0
    weight = np.repeat([[1.0, 0.0], [1.0, 1.0]], [30, 10], axis=1)
    copy, mixed = win_rates(weight, preferences, deltas, difficulties, gamed=gamed_annotations())
    assert copy == 50.0
    assert mixed != 50.0


def test_400_resamples_of_805_prompts_take_well_under_a_second() -> None:
    columns, weights = table(805), resamples(805, 400)
    began = time.process_time()
    win_rates(weights, *columns, gamed=gamed_annotations(1610))
    assert time.process_time() - began < 1  # 0.07 on an idle core
