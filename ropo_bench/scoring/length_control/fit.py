"""Length-controlled win rate: what the win rate would be if both answers were of the same length.

AlpacaEval's estimator (arXiv 2404.04475, eq. 2): a logistic model of the preference with a length term
tanh(delta/std), a term in the prompt's difficulty and a constant, L1-regularised; then the length term is set
to zero and the predictions averaged. Shapes: X items, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ropo_bench.scoring.length_control.lasso import Block, solve

Array = NDArray[np.float64]

# Inverse regularisation strength. alpaca_eval picks it by cross-validation, whose scores are tied to 1e-6, so
# that the pick moves with the library's version; this is the value of its grid (10^(4/9)) at which the published
# leaderboard was reached. Fixed, so that a resample or a new row changes nothing else.
C = float(np.logspace(-4, 4, 10)[5])
# Weight of one gamed baseline's annotations against the model's: alpaca_eval's lambda 0.2, over two of them.
GAMED_WEIGHT = 0.2 / 2


@dataclass(frozen=True, slots=True)
class Gamed:
    """Annotations of a deliberately long and a short baseline, which hold the length term in place, (X,) each.

    preferences: 0..1 for the gamed answer; length_deltas: already divided by their standard deviation.
    """

    preferences: Array
    length_deltas: Array
    difficulties: Array


@dataclass(frozen=True, slots=True)
class LengthControl:
    """win_rate (0..100) at equal lengths; coefficients of length, difficulty (where given) and constant."""

    win_rate: float
    coefficients: tuple[float, ...]


def control_length(
    preferences: Array,
    length_deltas: Array,
    difficulties: Array | None = None,
    *,
    gamed: Gamed | None = None,
    c: float = C,
) -> LengthControl:
    """Fit the model and predict at length delta 0.

    preferences (X,): 0..1 for the model, 0.5 a tie. length_deltas (X,): characters of the baseline's answer
    minus the model's. difficulties (X,): None drops the term (the result is then called lc_win_rate_nodiff).
    gamed: AlpacaEval's regularisation towards the baseline, where such annotations exist; needs difficulties.
    The baseline against itself has nothing to fit and is 50 by construction, as in alpaca_eval.
    """
    if not length_deltas.any() and (preferences == 0.5).all():
        return LengthControl(50.0, (0.0,) * (2 if difficulties is None else 3))
    deviation = length_deltas.std(ddof=1) if len(length_deltas) > 1 else 0.0
    delta_X = length_deltas / deviation if deviation > 0 else np.zeros_like(length_deltas)
    here_X = np.ones_like(delta_X)
    columns = [np.tanh(delta_X), here_X] if difficulties is None else [np.tanh(delta_X), difficulties, here_X]
    features_XF = np.column_stack(columns)
    predict_XF = features_XF.copy()
    predict_XF[:, 0] = 0.0
    target_X, weight_X = preferences, here_X
    if gamed is not None:
        assert difficulties is not None
        away_X = np.zeros_like(gamed.preferences)
        gamed_XF = np.column_stack([np.tanh(gamed.length_deltas), gamed.difficulties, away_X])
        features_XF = np.concatenate([gamed_XF, features_XF])
        target_X = np.concatenate([gamed.preferences, preferences])
        weight_X = np.concatenate([away_X + GAMED_WEIGHT, here_X])
    coefficients_F = _fit(features_XF, target_X, weight_X, c)
    win_rate = 100 * float(logistic(predict_XF @ coefficients_F).mean())
    return LengthControl(win_rate, tuple(float(value) for value in coefficients_F))


def _fit(features_XF: Array, target_X: Array, weight_X: Array, c: float) -> Array:
    """Minimise |w|_1 + c * weighted log-loss of the fractional targets.

    liblinear with alpaca_eval's seed, row order and tolerance: at that tolerance a published win rate lies up
    to 0.01 points from the exact optimum, and parity is with what was published. Where all is won, or all is lost,
    liblinear sees one class and takes it for the positive one: those tables have the exact optimum.
    """
    if not ((target_X * weight_X).any() and ((1 - target_X) * weight_X).any()):
        block = Block(None, features_XF, target_X, weight_X[None])
        exact: Array = solve([block], c, np.zeros((1, features_XF.shape[1])))[0]
        return exact
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, l1_ratio=1.0, solver="liblinear", fit_intercept=False, random_state=123)
    model.fit(
        np.concatenate([features_XF, features_XF]),
        np.concatenate([np.ones_like(target_X), np.zeros_like(target_X)]),
        sample_weight=np.concatenate([target_X * weight_X, (1 - target_X) * weight_X]),
    )
    coefficients: Array = model.coef_[0]
    return coefficients


def logistic(z: Array) -> Array:
    """1 / (1 + e^-z), without overflow."""
    small = np.exp(-np.abs(z))
    probability: Array = np.where(z > 0, 1.0, small) / (1 + small)
    return probability
