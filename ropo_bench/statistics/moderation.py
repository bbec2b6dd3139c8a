"""Few seeds a method, several methods: each one's variance over seeds, drawn towards what all of them show.

A variance of three seeds has two degrees of freedom, and a test with Holm's correction can then see next to nothing.
Methods of one table are trained alike, so their variances are taken as draws from one scaled inverse chi-squared
distribution whose parameters the table itself gives (Smyth 2004, doi 10.2202/1544-6115.1027, sections 5 and 6).
"""

from __future__ import annotations

import numpy as np

from ropo_bench.statistics.sample import Array

_TINY = 1e-6  # of the largest: a variance of 0 has no logarithm
_STEPS = 50


def moderate(variances_M: Array, degrees_M: Array) -> tuple[Array, Array]:
    """Posterior variances (M,) and their degrees, those of the prior added: at most those of all other groups.

    Smyth's bound is all groups together; one is given up, because few groups tell little of a prior's own degrees.
    variances_M: of M independent groups, each chi-squared with its degrees around its own truth. Fewer than two
    groups, or none that varies, are given back as they are.
    """
    if len(variances_M) < 2 or not (variances_M > 0).any():
        return variances_M, degrees_M
    prior, prior_degrees = _prior(variances_M, degrees_M)
    most_M = np.maximum(degrees_M.sum() - degrees_M, degrees_M)
    if np.isinf(prior_degrees):
        return np.full_like(variances_M, prior), most_M
    whole_M = prior_degrees + degrees_M
    return (prior_degrees * prior + degrees_M * variances_M) / whole_M, np.minimum(whole_M, most_M)


def _prior(variances_M: Array, degrees_M: Array) -> tuple[float, float]:
    """Variance and degrees of the prior, by the moments of log variances; infinite degrees where they agree."""
    from scipy.special import digamma, polygamma

    shown_M = np.maximum(variances_M, _TINY * variances_M.max())
    logs_M = np.log(shown_M) - digamma(degrees_M / 2) + np.log(degrees_M / 2)
    excess = float(logs_M.var(ddof=1) - polygamma(1, degrees_M / 2).mean())
    if excess <= 0:
        return float((degrees_M * variances_M).sum() / degrees_M.sum()), float("inf")
    half = inverse_trigamma(excess)
    return float(np.exp(logs_M.mean() + digamma(half) - np.log(half))), 2 * half


def inverse_trigamma(value: float) -> float:
    """The x > 0 with trigamma(x) = value, by Newton's method on 1/trigamma, which is convex (Smyth's appendix)."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    for _ in range(_STEPS):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-12 * x:
            break
    return x


def moderate_upwards(variances_M: Array, degrees_M: Array) -> tuple[Array, Array]:
    """Moderated variances, where they are above a group's own, and their degrees (see `moderate`)."""
    moderated_M, freedom_M = moderate(variances_M, degrees_M)
    return np.maximum(variances_M, moderated_M), freedom_M
