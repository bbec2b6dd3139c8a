"""The average over tasks of different size, each counting the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ropo_bench.statistics.estimators import cluster_means
from ropo_bench.statistics.sample import Sample
from ropo_bench.types import Score


def macro_mean(scores_by_seed: Sequence[Sequence[Score]]) -> Sample:
    """Unweighted mean over tasks (detail "task") of their mean items, averaged over seeds.

    Tasks are fixed, the strata of the sample; items within them are drawn. A task without any scored item is no
    part of the mean, which coverage shows.
    """
    tasks = sorted({str(score.detail["task"]) for scores in scores_by_seed for score in scores})
    clusters: list[str] = []
    strata: list[str] = []
    tables = []
    for task in tasks:
        own = [[score for score in scores if score.detail["task"] == task] for scores in scores_by_seed]
        names, values_SC = cluster_means(own)
        # A cluster is one task's: two tasks may name their items alike.
        clusters += [f"{task}\0{name}" for name in names]
        strata += [task] * len(names)
        tables.append(values_SC)
    return Sample.linear(clusters, np.concatenate(tables, axis=1), strata)
