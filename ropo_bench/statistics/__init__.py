"""From scores to estimates with intervals, and from rows' scores to differences one may believe.

sample: what an estimator says. estimators: mean, ratio, census, max. crossed: seeds x prompts. cells, comparisons:
a table. permutation, multiplicity: tests. power: what could be seen. docs/statistics.md has formulas and simulations.
"""

from __future__ import annotations

from ropo_bench.statistics.cells import Examined, estimate, examine, measure, split
from ropo_bench.statistics.comparisons import compare, compare_samples, difference
from ropo_bench.statistics.estimators import (
    ESTIMATORS,
    bootstrap_clusters,
    census,
    cluster_means,
    maximum,
    mean,
    ratio,
    within,
)
from ropo_bench.statistics.multiplicity import holm, letters
from ropo_bench.statistics.power import (
    minimum_detectable_effect,
    planned_effect,
    planned_error,
    prompts_needed,
    seeds_needed,
)
from ropo_bench.statistics.sample import REPLICATES, Array, Estimator, Sample, Within

__all__ = [
    "ESTIMATORS",
    "REPLICATES",
    "Array",
    "Estimator",
    "Examined",
    "Sample",
    "Within",
    "bootstrap_clusters",
    "census",
    "cluster_means",
    "compare",
    "compare_samples",
    "difference",
    "estimate",
    "examine",
    "holm",
    "letters",
    "maximum",
    "mean",
    "measure",
    "minimum_detectable_effect",
    "planned_effect",
    "planned_error",
    "prompts_needed",
    "ratio",
    "seeds_needed",
    "split",
    "within",
]
