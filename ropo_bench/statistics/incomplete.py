"""A table of seeds and prompts with holes in it: what is there is used, and what is missing is not made up.

The estimate is the mean over seeds of each seed's mean over the prompts that it has. Shapes: S seeds, C clusters.
"""

from __future__ import annotations

import numpy as np

from ropo_bench.statistics.sample import Array

_ROUNDS = 200


def prompt_part(values_SC: Array) -> tuple[float, float, float, float, float, float]:
    """(A, 0, D, degrees of A, 0, degrees of D) of the estimate, as `crossed.Parts` has them.

    A: the sum over clusters of the squared share that a cluster has in the estimate (a cluster-robust variance,
    C/(C - 1) of it; Liang and Zeger 1986, Biometrika 73:13), which for a full table is the variance of cluster means
    over C. D: the residual variance of an additive fit, at the weights that the estimate gives its values.
    """
    values_SC = _drop_unseen(values_SC)
    known_SC = ~np.isnan(values_SC)
    num_seeds, num_clusters = values_SC.shape
    count_S = known_SC.sum(axis=1)
    weight_SC = known_SC / (num_seeds * count_S)[:, None]
    centred_SC = np.where(known_SC, values_SC - np.nanmean(values_SC, axis=1, keepdims=True), 0.0)
    share_C = (weight_SC * centred_SC).sum(axis=0)
    prompts = float((share_C**2).sum()) * num_clusters / (num_clusters - 1)
    if num_seeds < 2:
        return prompts, 0.0, 0.0, num_clusters - 1.0, 0.0, 0.0
    degrees = float(known_SC.sum() - num_seeds - num_clusters + 1)
    if degrees <= 0:
        return prompts, 0.0, 0.0, num_clusters - 1.0, 0.0, 0.0
    residual_SC = np.where(known_SC, values_SC - seed_effects(values_SC)[:, None], np.nan)
    residual_SC -= np.nanmean(residual_SC, axis=0)
    variance = float(np.nansum(residual_SC**2)) / degrees
    return prompts, 0.0, variance * float((weight_SC**2).sum()), num_clusters - 1.0, 0.0, degrees


def seed_effects(values_SC: Array) -> Array:
    """What each seed adds (S,), prompts taken out: least squares of value = seed + prompt, on the values' own level.

    Without it a seed that lacks the hard prompts would look like a good one.
    """
    values_SC = _drop_unseen(values_SC)
    effect_S = np.nanmean(values_SC, axis=1)
    for _ in range(_ROUNDS):
        prompt_C = np.nanmean(values_SC - effect_S[:, None], axis=0)
        better_S = np.nanmean(values_SC - prompt_C, axis=1)
        if np.abs(better_S - effect_S).max() <= 1e-12 * (1 + np.abs(better_S).max()):
            break
        effect_S = better_S
    effects_S: Array = effect_S
    return effects_S


def _drop_unseen(values_SC: Array) -> Array:
    """The clusters that some seed has."""
    seen_SC: Array = values_SC[:, ~np.isnan(values_SC).all(axis=0)]
    return seen_SC
