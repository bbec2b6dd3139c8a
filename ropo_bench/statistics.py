"""From scores to estimates with standard errors, and from two methods' scores to a difference one may believe.

The unit of uncertainty is the cluster: a prompt, with all its turns and samples. Shapes: S seeds, C clusters,
R bootstrap replicates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ropo_bench.errors import UsageError
from ropo_bench.types import Measurement, Score

if TYPE_CHECKING:
    from ropo_bench.tasks import Column

Array = NDArray[np.float64]


class Estimate(NamedTuple):
    """A number and its standard error; None: there is none to give."""

    value: float
    standard_error: float | None


Estimator = Callable[[Sequence[Sequence[Score]]], Estimate]
"""Scored items of one metric, one sequence a seed (none of them empty), to an estimate."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean paired difference a - b over n clusters, and the two-sided p-value of "there is none"."""

    estimate: float
    standard_error: float
    p_value: float
    n: int


def measure(
    task: str,
    columns: Sequence[Column],
    scores_by_seed: Sequence[Sequence[Score]],
    estimators: Mapping[str, Estimator] | None = None,
) -> list[Measurement]:
    """One measurement a column; unscored items are counted and never part of an estimate.

    scores_by_seed: one sequence a training seed. estimators: more names beside those of ESTIMATORS.
    n and n_unscored count items over all seeds. The value is None where a seed has no scored item at all.
    Raises UsageError for an estimator that is not known.
    """
    known = {**ESTIMATORS, **(estimators or {})}
    found = []
    for column in columns:
        if column.estimator not in known:
            raise UsageError(
                f"task {task}, column {column.metric}: unknown estimator {column.estimator!r};"
                f" known: {', '.join(known)}"
            )
        rows = [[score for score in scores if score.metric == column.metric] for scores in scores_by_seed]
        scored = [[score for score in row if score.value is not None] for row in rows]
        n = sum(map(len, scored))
        complete = bool(scored) and all(scored)
        value, error = known[column.estimator](scored) if complete else (None, None)
        unscored = sum(map(len, rows)) - n
        found.append(Measurement(task, column.metric, value, error, n, unscored, len(scores_by_seed)))
    return found


def mean(scores_by_seed: Sequence[Sequence[Score]]) -> Estimate:
    """Mean of the cluster means, averaged over seeds.

    Standard error with one seed: of the C cluster means, about this checkpoint only. With S >= 2 seeds the
    prompts are crossed with the seeds, y_sc = mu + seed_s + prompt_c + rest_sc (two-way random effects):
    SE^2 = var_c(mean over s)/C + max(0, var_s(mean over c) - var(rest)/C)/S. The first term holds the prompts
    and the rest; the second what the seeds add to it. Only clusters scored under every seed enter the SE.
    With few seeds and much seed noise a normal interval is too short (S = 3: it covers about 90 %).
    """
    means_SC = _cluster_means(scores_by_seed)
    value = float(np.nanmean(means_SC, axis=1).mean())
    common_SC = means_SC[:, ~np.isnan(means_SC).any(axis=0)]
    num_seeds, num_clusters = common_SC.shape
    if num_clusters < 2:
        return Estimate(value, None)
    variance = common_SC.mean(axis=0).var(ddof=1) / num_clusters
    if num_seeds > 1:
        rest_SC = common_SC - common_SC.mean(axis=0) - common_SC.mean(axis=1, keepdims=True) + common_SC.mean()
        rest = (rest_SC**2).sum() / ((num_seeds - 1) * (num_clusters - 1))
        variance += _seed_excess(common_SC.mean(axis=1), rest / num_clusters)
    return Estimate(value, float(np.sqrt(variance)))


def census(scores_by_seed: Sequence[Sequence[Score]]) -> Estimate:
    """Mean over all there is, so without sampling error; with S >= 2 seeds the standard error over seeds."""
    return _over_seeds([float(np.mean(_values(scores))) for scores in scores_by_seed])


def maximum(scores_by_seed: Sequence[Sequence[Score]]) -> Estimate:
    """Largest value (of absolute size), averaged over seeds; with S >= 2 seeds the standard error over seeds."""
    return _over_seeds([float(np.abs(_values(scores)).max()) for scores in scores_by_seed])


ESTIMATORS: Mapping[str, Estimator] = {"mean": mean, "census": census, "max": maximum}


def bootstrap_clusters(
    evaluate: Callable[[NDArray[np.intp]], Array], num_clusters: int, *, replicates: int = 200, seed: int = 0
) -> Estimate:
    """Estimate and standard error of any statistic, refitted on clusters drawn with replacement.

    evaluate: cluster indices to one value a seed (S,); all seeds see the same clusters. The combination over
    seeds is that of `mean`, with bootstrap variances: var_R(mean over s) + max(0, var_s - var_R(rest))/S.
    """
    estimates_S = evaluate(np.arange(num_clusters))
    value = float(estimates_S.mean())
    if num_clusters < 2:
        return Estimate(value, None)
    draw = np.random.default_rng(seed)
    drawn_RS = np.array([evaluate(draw.integers(num_clusters, size=num_clusters)) for _ in range(replicates)])
    mean_R = drawn_RS.mean(axis=1)
    variance = mean_R.var(ddof=1)
    if len(estimates_S) > 1:
        rest = (drawn_RS - mean_R[:, None]).var(axis=0, ddof=1).sum() / (len(estimates_S) - 1)
        variance += _seed_excess(estimates_S, rest)
    return Estimate(value, float(np.sqrt(variance)))


def paired_difference(scores_a: Sequence[Score], scores_b: Sequence[Score]) -> Difference:
    """Mean over clusters of a - b, on the items that both have scored; t-test with n - 1 degrees of freedom.

    Scores of one metric; an item that comes several times (seeds) counts as its mean. The clusters' differences
    already hold what the two methods share, so this is far sharper than two separate standard errors.
    Raises UsageError where fewer than two clusters are common.
    """
    items_a, items_b = _by_item(scores_a), _by_item(scores_b)
    by_cluster: dict[str, list[float]] = defaultdict(list)
    for key in items_a.keys() & items_b.keys():
        by_cluster[key[0]].append(items_a[key] - items_b[key])
    if len(by_cluster) < 2:
        raise UsageError(
            f"paired difference: {len(by_cluster)} prompt(s) scored for both; two at least are needed,"
            " so compare runs of one task on the same prompts"
        )
    # Sorted, because sums in another order would differ in the last bits from run to run.
    difference_C = np.array([fmean(sorted(by_cluster[name])) for name in sorted(by_cluster)])
    n = len(difference_C)
    estimate = float(difference_C.mean())
    error = float(difference_C.std(ddof=1) / np.sqrt(n))
    return Difference(estimate, error, _t_test(estimate, error, n - 1), n)


def minimum_detectable_effect(standard_error: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest true difference that a two-sided test at level alpha finds with this power (normal theory)."""
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * standard_error


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-adjusted p-values, in the order given: reject where <= alpha, and the table errs at most alpha."""
    order = np.argsort(p_values, kind="stable")
    m = len(p_values)
    steps = np.minimum(1.0, np.asarray(p_values, dtype=float)[order] * (m - np.arange(m)))
    adjusted = np.empty(m)
    adjusted[order] = np.maximum.accumulate(steps)
    return [float(p) for p in adjusted]


def _cluster_means(scores_by_seed: Sequence[Sequence[Score]]) -> Array:
    """Cluster means (S, C), clusters sorted by name, NaN where a seed has no score in a cluster."""
    names = sorted({score.cluster for scores in scores_by_seed for score in scores})
    column = {name: index for index, name in enumerate(names)}
    means_SC = np.full((len(scores_by_seed), len(names)), np.nan)
    for seed, scores in enumerate(scores_by_seed):
        where = np.array([column[score.cluster] for score in scores])
        count_C = np.bincount(where, minlength=len(names))
        total_C = np.bincount(where, weights=_values(scores), minlength=len(names))
        means_SC[seed, count_C > 0] = total_C[count_C > 0] / count_C[count_C > 0]
    return means_SC


def _values(scores: Sequence[Score]) -> Array:
    return np.array([score.value for score in scores], dtype=float)


def _seed_excess(estimates_S: Array, explained: float) -> float:
    """Variance that seeds add to the mean over S of them, beyond what prompts explain of their differences."""
    return max(0.0, float(estimates_S.var(ddof=1) - explained)) / len(estimates_S)


def _over_seeds(estimates: Sequence[float]) -> Estimate:
    value = float(np.mean(estimates))
    if len(estimates) < 2:
        return Estimate(value, None)
    return Estimate(value, float(np.std(estimates, ddof=1) / np.sqrt(len(estimates))))


def _by_item(scores: Sequence[Score]) -> dict[tuple[str, str], float]:
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for score in scores:
        if score.value is not None:
            values[score.cluster, score.item].append(score.value)
    return {key: fmean(found) for key, found in values.items()}


def _t_test(estimate: float, error: float, degrees: int) -> float:
    if error == 0:
        return 1.0 if estimate == 0 else 0.0
    from scipy.special import stdtr

    return float(2 * stdtr(degrees, -abs(estimate) / error))
