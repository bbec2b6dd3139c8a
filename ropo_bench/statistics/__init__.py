"""From scores to estimates with intervals, and from rows' scores to differences one may believe.

sample: what an estimator says. estimators: mean, ratio, census, max. crossed: seeds x prompts. intervals: of a mean.
cells, comparisons: a table. permutation: a test. multiplicity: of a whole table's. letters: what is not separated.
power: what could be seen. docs/statistics.md has formulas and simulations.
"""

from __future__ import annotations

from ropo_bench.statistics.cells import Examined, estimate, examine, level, measure, split
from ropo_bench.statistics.comparisons import (
    LEAST_COVERAGE,
    as_comparisons,
    compare,
    compare_samples,
    differences,
    subtract,
)
from ropo_bench.statistics.difference import Difference
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
from ropo_bench.statistics.letters import letters
from ropo_bench.statistics.multiplicity import adjust, holm
from ropo_bench.statistics.power import (
    minimum_detectable_effect,
    planned_effect,
    planned_error,
    planned_parts,
    prompts_needed,
    seeds_needed,
    visible_effect,
)
from ropo_bench.statistics.sample import REPLICATES, Array, Estimator, Sample, Within

__all__ = [
    "ESTIMATORS",
    "LEAST_COVERAGE",
    "REPLICATES",
    "Array",
    "Difference",
    "Estimator",
    "Examined",
    "Sample",
    "Within",
    "adjust",
    "as_comparisons",
    "bootstrap_clusters",
    "census",
    "cluster_means",
    "compare",
    "compare_samples",
    "differences",
    "estimate",
    "examine",
    "holm",
    "letters",
    "level",
    "maximum",
    "mean",
    "measure",
    "minimum_detectable_effect",
    "planned_effect",
    "planned_error",
    "planned_parts",
    "prompts_needed",
    "ratio",
    "seeds_needed",
    "split",
    "subtract",
    "visible_effect",
    "within",
]
