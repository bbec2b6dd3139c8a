"""The average over tasks of different size, each counting the same.

Shapes: S seeds, T tasks, C clusters of one task.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ropo_bench.statistics import Array, Estimate
from ropo_bench.types import Score


def macro_mean(scores_by_seed: Sequence[Sequence[Score]]) -> Estimate:
    """Unweighted mean over tasks (detail "task") of their mean items, averaged over seeds.

    A task without any scored item is no part of it, which coverage shows. Tasks are fixed, items within them are
    drawn: with one seed SE^2 = sum over t of var_c(y_tc)/C_t / T^2. With S >= 2 seeds, as in statistics.mean,
    var_c is of the means over seeds, and max(0, var_s(average_s) - var(rest))/S is added for what training seeds
    add. Only items scored under every seed enter the standard error, None where a task has fewer than two of them.
    """
    tables = [_table(name, scores_by_seed) for name in _tasks(scores_by_seed)]
    value = float(np.mean([_over_seeds(y_SC) for y_SC in tables]))
    common = [y_SC[:, ~np.isnan(y_SC).any(axis=0)] for y_SC in tables]
    if min(y_SC.shape[1] for y_SC in common) < 2:
        return Estimate(value, None)
    num_seeds, num_tasks = len(scores_by_seed), len(common)
    variance = sum(float(y_SC.mean(axis=0).var(ddof=1)) / y_SC.shape[1] for y_SC in common) / num_tasks**2
    if num_seeds > 1:
        rest = sum(map(_rest, common)) / num_tasks**2
        average_S = np.mean([y_SC.mean(axis=1) for y_SC in common], axis=0)
        variance += max(0.0, float(average_S.var(ddof=1)) - rest) / num_seeds
    return Estimate(value, float(variance**0.5))


def _over_seeds(y_SC: Array) -> float:
    """Mean over seeds of their mean item; a seed without a scored item of the task is left out."""
    rows = [y_C[~np.isnan(y_C)] for y_C in y_SC]
    return float(np.mean([row.mean() for row in rows if len(row)]))


def _rest(y_SC: Array) -> float:
    """Variance of a seed's mean of one task that items and seeds together explain, beyond each alone."""
    num_seeds, num_clusters = y_SC.shape
    rest_SC = y_SC - y_SC.mean(axis=0) - y_SC.mean(axis=1, keepdims=True) + y_SC.mean()
    return float((rest_SC**2).sum() / ((num_seeds - 1) * (num_clusters - 1)) / num_clusters)


def _tasks(scores_by_seed: Sequence[Sequence[Score]]) -> list[str]:
    return sorted({str(score.detail["task"]) for scores in scores_by_seed for score in scores})


def _table(task: str, scores_by_seed: Sequence[Sequence[Score]]) -> Array:
    """Cluster means (S, C) of one task, clusters sorted by name; NaN where a seed has no score in a cluster."""
    rows: list[dict[str, list[float]]] = []
    for scores in scores_by_seed:
        found: dict[str, list[float]] = defaultdict(list)
        for score in scores:
            if score.detail["task"] == task and score.value is not None:
                found[score.cluster].append(score.value)
        rows.append(found)
    names = sorted(set().union(*rows))
    return np.array([[np.mean(row[name]) if name in row else np.nan for name in names] for row in rows])
