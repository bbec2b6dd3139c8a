"""The length-controlled win rate of many resamples at once, each exactly the fit that `control_length` makes.

Shapes: R replicates, X items.
"""

from __future__ import annotations

import numpy as np

from ropo_bench.scoring.length_control.fit import GAMED_WEIGHT, Array, C, Gamed, logistic
from ropo_bench.scoring.length_control.lasso import Block, solve


def win_rates(
    weight_RX: Array,
    preferences: Array,
    length_deltas: Array,
    difficulties: Array | None = None,
    *,
    gamed: Gamed | None = None,
    c: float = C,
) -> Array:
    """Win rates (R,), 0..100, at equal lengths, refitted with each item counted weight_RX times.

    The other arguments are those of `control_length`. The standard deviation of the length deltas is part of the
    fit: each replicate has its own. The optimum is exact, where `control_length` stops at liblinear's tolerance
    (some 0.01 points away). A replicate of nothing but ties at equal lengths is 50 by construction; one that is
    separable has an optimum like every other, because of the regularisation.
    """
    one_X = np.ones_like(preferences)
    shared_XK = one_X[:, None] if difficulties is None else np.column_stack([difficulties, one_X])
    constant = [] if gamed is None else [_gamed_block(gamed)]

    def fit(weights: Array, start_RF: Array) -> Array:
        own = Block(_tanh(length_deltas, weights), shared_XK, preferences, weights)
        return solve([own, *constant], c, start_RF)

    # The replicates lie around the optimum of all items, so that few steps remain.
    pooled_1F = fit(one_X[None, :], np.zeros((1, 1 + shared_XK.shape[1])))
    coefficients_RF = fit(weight_RX, np.repeat(pooled_1F, len(weight_RX), axis=0))
    predicted_RX = logistic(coefficients_RF[:, 1:] @ shared_XK.T)
    total_R = weight_RX.sum(axis=1)
    rates_R: Array = 100 * np.einsum("rx,rx->r", weight_RX, predicted_RX) / total_R
    alive_R = weight_RX @ ((length_deltas != 0) | (preferences != 0.5)) > 0
    return np.where(alive_R, rates_R, 50.0)


def _tanh(length_deltas: Array, weight_RX: Array) -> Array:
    """tanh(delta / std) (R, X), std with one degree of freedom less than items; 0 where all deltas are one."""
    total_R = weight_RX.sum(axis=1)
    centred_RX = length_deltas - (weight_RX @ length_deltas / total_R)[:, None]
    spread_R = np.sqrt(np.einsum("rx,rx,rx->r", weight_RX, centred_RX, centred_RX) / np.maximum(total_R - 1, 1))
    # Equal deltas leave a spread of rounding only, which must not become a feature.
    spread_R[spread_R <= 1e-9 * np.abs(length_deltas).max()] = np.inf
    tanh_RX: Array = np.tanh(length_deltas / spread_R[:, None])
    return tanh_RX


def _gamed_block(gamed: Gamed) -> Block:
    features = np.column_stack([np.tanh(gamed.length_deltas), gamed.difficulties, np.zeros_like(gamed.preferences)])
    return Block(None, features, gamed.preferences, np.full((1, len(features)), GAMED_WEIGHT))
