"""How much easier than the average each prompt is to win, fitted from reference models and frozen in a file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ropo_bench.scoring.length_control.fit import Array, logistic


def fit_difficulties(
    prompt_ids: Sequence[str], preferences: Array, length_deltas: Array, *, ridge: float = 0.5
) -> dict[str, float]:
    """How much easier than the average each prompt is to win, from reference models; to be frozen in a file.

    preferences, length_deltas (M, X): as for `control_length`, of M reference models (decoding variants of the
    baseline, trained models) on the same X prompts; NaN where there is none. One joint logistic model, as in
    arXiv 2404.04475 (section 3), logit = theta_m + phi_m tanh(delta/std_m) + gamma_x, with a ridge on gamma
    and phi; gamma is returned with mean 0 and standard deviation 1, so that the fixed C weighs it alike for
    every prompt set. All 0 where the models' preferences do not depend on the prompt.
    """
    num_models, num_prompts = preferences.shape
    known_MX = ~np.isnan(preferences)
    deviation_M1 = np.nanstd(length_deltas, axis=1, ddof=1, keepdims=True)
    deviation_M1[~(deviation_M1 > 0)] = np.inf
    tanh_MX = np.tanh(np.nan_to_num(length_deltas) / deviation_M1)
    model, prompt = np.nonzero(known_MX)
    features = np.zeros((len(model), 2 * num_models + num_prompts))
    row = np.arange(len(model))
    features[row, model] = 1.0
    features[row, num_models + model] = tanh_MX[known_MX]
    features[row, 2 * num_models + prompt] = 1.0
    # A trace of ridge on theta only keeps a model that always wins finite.
    penalty = np.concatenate([np.full(num_models, 1e-3), np.full(num_models + num_prompts, ridge)])
    gamma = _newton(features, preferences[known_MX], penalty)[2 * num_models :]
    gamma -= gamma.mean()
    spread = gamma.std()
    gamma = gamma / spread if spread > 1e-6 else np.zeros_like(gamma)
    return {name: round(float(value), 6) for name, value in zip(prompt_ids, gamma, strict=True)}


def _newton(features: Array, target: Array, penalty: Array) -> Array:
    """Minimise log-loss + penalty/2 * w^2; convex and smooth, so that a damped Newton method ends."""
    coefficients = np.zeros(features.shape[1])

    def objective(w: Array) -> float:
        z = features @ w
        return float((np.logaddexp(0, z) - target * z).sum() + 0.5 * (penalty * w * w).sum())

    for _ in range(100):
        probability = logistic(features @ coefficients)
        gradient = features.T @ (probability - target) + penalty * coefficients
        hessian = (features.T * (probability * (1 - probability))) @ features + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-6 and objective(coefficients - size * step) > objective(coefficients):
            size /= 2
        coefficients = coefficients - size * step
        if np.abs(size * step).max() < 1e-10:
            break
    return coefficients
