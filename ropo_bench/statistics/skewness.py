"""Tests of a mean whose values are skewed: Hall's transformation of the t statistic.

Where a row fails seldom and badly, most samples miss some of the failures, and then the mean is too good and its
error too small, both at once; t and sign flips call such a row better too often. Hall's g takes the skewness that an
estimate has out of t = (estimate - truth) / error:

    g(t) = t + k t^2/3 + k^2 t^3/27 + k/6        k: third cumulant of the estimate over its error cubed

which is normal to one order more (Hall 1992, J. R. Statist. Soc. B 54:221; Johnson 1978, J. Am. Statist. Assoc.
73:536, without the cubic term, which makes it monotone). Shapes: C clusters, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ropo_bench.statistics.sample import Array, Sample, strata_indices


def third_cumulant(contributions_C: Array, strata: Sequence[str] | None = None) -> float:
    """Of a sum over independent clusters, unbiased (Fisher's k statistic); 0 for fewer than three in a stratum."""
    groups = [contributions_C] if strata is None else [contributions_C[index] for index in strata_indices(strata)]
    whole = 0.0
    for group in groups:
        count = len(group)
        if count > 2:
            whole += float(((group - group.mean()) ** 3).sum()) * count**2 / ((count - 1) * (count - 2))
    return whole


def untwist(t: Array | float, skewness: Array | float) -> Array:
    """Hall's g of a t statistic; skewness: of the estimate, k above."""
    t, k = np.asarray(t, dtype=float), np.asarray(skewness, dtype=float)
    g: Array = t + k * t**2 / 3 + k**2 * t**3 / 27 + k / 6
    return g


def twist(g: Array | float, skewness: Array | float) -> Array:
    """The t statistic with this g: the inverse of `untwist`."""
    g, k = np.asarray(g, dtype=float), np.asarray(skewness, dtype=float)
    safe = np.where(np.abs(k) > 1e-8, k, 1.0)
    t: Array = np.where(np.abs(k) > 1e-8, 3 / safe * (np.cbrt(1 + safe * (g - safe / 6)) - 1), g)
    return t


def skewness(sample: Sample, error: float) -> float:
    """Of a sample's estimate with this standard error, from its prompts' part; 0 without an error."""
    if not error:
        return 0.0
    if sample.values_SC is not None:
        seen = np.flatnonzero(~np.isnan(sample.values_SC).all(axis=0))
        strata = None if sample.strata is None else [sample.strata[place] for place in seen]
        values_C = np.nanmean(sample.values_SC[:, seen], axis=0)
        return third_cumulant(cluster_weights(len(values_C), strata) * values_C / error, strata)
    if sample.evaluate is not None or sample.drawn_RS is not None:
        drawn_R = sample.draws(sample.clusters).mean(axis=1)
        return float((((drawn_R - drawn_R.mean()) / error) ** 3).mean())
    return 0.0


def cluster_weights(num_clusters: int, strata: Sequence[str] | None) -> Array:
    """What each cluster counts in the estimate, 1 in all: strata count alike."""
    if strata is None:
        return np.full(num_clusters, 1 / num_clusters)
    weight_C = np.empty(num_clusters)
    indices = strata_indices(strata)
    for index in indices:
        weight_C[index] = 1 / (len(index) * len(indices))
    return weight_C
