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

from ropo_bench.statistics.sample import Array, strata_indices


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
    found: Array = t + k * t**2 / 3 + k**2 * t**3 / 27 + k / 6
    return found


def twist(g: Array | float, skewness: Array | float) -> Array:
    """The t statistic with this g: the inverse of `untwist`."""
    g, k = np.asarray(g, dtype=float), np.asarray(skewness, dtype=float)
    safe = np.where(np.abs(k) > 1e-8, k, 1.0)
    found: Array = np.where(np.abs(k) > 1e-8, 3 / safe * (np.cbrt(1 + safe * (g - safe / 6)) - 1), g)
    return found
