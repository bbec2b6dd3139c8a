"""The estimator `lc_win_rate` of a column: scores to a fit, and to the same fit under other weights of the prompts.

Shapes: S seeds, C clusters, R replicates, X items.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ropo_bench.scoring.length_control.fit import Array, C, Gamed, control_length
from ropo_bench.scoring.length_control.refit import win_rates
from ropo_bench.statistics.sample import Sample
from ropo_bench.types import Score


def estimate(scores_by_seed: Sequence[Sequence[Score]], *, gamed: Gamed | None = None, c: float = C) -> Sample:
    """Length-controlled win rate (0..100) of each seed, and how to refit it with prompts drawn again.

    Scores of lc_win_rate or lc_win_rate_nodiff, with length_delta (and difficulty) in their detail. Prompts that a
    seed lacks are in no resample. gamed, c: as for `control_length`; gamed annotations are constants of a
    benchmark and are not drawn again.
    """
    common = sorted(set.intersection(*({score.cluster for score in scores} for scores in scores_by_seed)))
    place = {name: index for index, name in enumerate(common)}
    drawn = [[score for score in scores if score.cluster in place] for scores in scores_by_seed]
    tables = [(np.array([place[s.cluster] for s in scores], dtype=np.intp), _columns(scores)) for scores in drawn]

    def evaluate(weight_RC: Array) -> Array:
        return np.stack([win_rates(weight_RC[:, c_X], *columns, gamed=gamed, c=c) for c_X, columns in tables], axis=1)

    estimates_S = np.array([control_length(*_columns(s), gamed=gamed, c=c).win_rate for s in scores_by_seed])
    return Sample.refitted(common, estimates_S, evaluate)


def _columns(scores: Sequence[Score]) -> tuple[Array, Array, Array | None]:
    """Preferences (0..1), length deltas and, where all have one, difficulties of one seed's items."""
    has_difficulties = all("difficulty" in score.detail for score in scores)
    return (
        np.array([score.value for score in scores], dtype=float) / 100,
        np.array([score.detail["length_delta"] for score in scores], dtype=float),
        np.array([score.detail["difficulty"] for score in scores], dtype=float) if has_difficulties else None,
    )
