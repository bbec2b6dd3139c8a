"""The estimators that a column may name: mean (of prompts), ratio (of rows), census and max.

Shapes: S seeds, C clusters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ropo_bench.statistics.sample import Array, Estimator, Sample, Within
from ropo_bench.types import Score

ScoresBySeed = Sequence[Sequence[Score]]


def mean(scores_by_seed: ScoresBySeed) -> Sample:
    """Mean of the cluster means: a prompt with all its turns and samples is one observation."""
    clusters, values_SC = cluster_means(scores_by_seed)
    return Sample.linear(clusters, values_SC, within=within(scores_by_seed))


def ratio(scores_by_seed: ScoresBySeed) -> Sample:
    """Mean over all items of a seed, so that a prompt with more items weighs more; its error is over prompts.

    With the total T_c of a prompt's N_c items the estimate is R = sum T / sum N. Linearised (the delta method;
    Cochran, *Sampling Techniques*, 1977, section 6.4): prompt c has the value R + (T_c - R N_c) / mean(N), whose mean
    is R and whose spread is the error of R. Where all prompts have as many items these are their means.
    """
    clusters, totals_SC, counts_SC = _cluster_totals(scores_by_seed)
    if all(len(set(counts_C[counts_C > 0])) == 1 for counts_C in counts_SC):
        return mean(scores_by_seed)
    values_SC = np.full(totals_SC.shape, np.nan)
    for values_C, totals_C, counts_C in zip(values_SC, totals_SC, counts_SC, strict=True):
        here = counts_C > 0
        rate = totals_C.sum() / counts_C.sum()
        values_C[here] = rate + (totals_C - rate * counts_C)[here] / counts_C[here].mean()
    return Sample.linear(clusters, values_SC, within=within(scores_by_seed))


def census(scores_by_seed: ScoresBySeed) -> Sample:
    """Mean over all there is, so that prompts bring no error; seeds do."""
    return Sample.census(np.array([values(scores).mean() for scores in scores_by_seed]))


def maximum(scores_by_seed: ScoresBySeed) -> Sample:
    """Largest value (of absolute size) over all there is."""
    return Sample.census(np.array([np.abs(values(scores)).max() for scores in scores_by_seed]))


ESTIMATORS: Mapping[str, Estimator] = {"mean": mean, "ratio": ratio, "census": census, "max": maximum}


def cluster_means(scores_by_seed: ScoresBySeed) -> tuple[list[str], Array]:
    """Names of the clusters, sorted, and their means (S, C); NaN where a seed has no score in a cluster."""
    names, totals_SC, counts_SC = _cluster_totals(scores_by_seed)
    means_SC = np.full(totals_SC.shape, np.nan)
    np.divide(totals_SC, counts_SC, out=means_SC, where=counts_SC > 0)
    return names, means_SC


def _cluster_totals(scores_by_seed: ScoresBySeed) -> tuple[list[str], Array, Array]:
    """Names of the clusters, sorted, the sums of their values (S, C) and the numbers of these (S, C)."""
    names = sorted({score.cluster for scores in scores_by_seed for score in scores})
    column = {name: index for index, name in enumerate(names)}
    totals_SC = np.zeros((len(scores_by_seed), len(names)))
    counts_SC = np.zeros_like(totals_SC)
    for seed, scores in enumerate(scores_by_seed):
        where = np.array([column[score.cluster] for score in scores], dtype=np.intp)
        counts_SC[seed] = np.bincount(where, minlength=len(names))
        totals_SC[seed] = np.bincount(where, weights=values(scores), minlength=len(names))
    return names, totals_SC, counts_SC


def values(scores: Sequence[Score]) -> Array:
    """The values of scored items (N,)."""
    return np.array([score.value for score in scores], dtype=float)


def within(scores_by_seed: ScoresBySeed) -> dict[str, Within]:
    """What of a cluster mean's variance several samples of a prompt, or both orders of a judgment, can tell.

    "sampling": items named "NAME#k" are the samples of one prompt ("NAME" the first); the observation is a sample's
    mean over its turns. "judge": two verdicts a and b (for the model, 0..1) on an item, (a - b)^2/2 each; this holds
    the judge's whims and its taste for the first or second place.
    """
    parts = {"sampling": _spread(_samples(scores_by_seed)), "judge": _judgments(scores_by_seed)}
    return {name: part for name, part in parts.items() if part is not None}


def _samples(scores_by_seed: ScoresBySeed) -> list[list[float]]:
    """The means of all samples of a prompt and seed, for each of these."""
    if not any("#" in score.item for scores in scores_by_seed for score in scores):
        return []
    turns: dict[tuple[int, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for seed, scores in enumerate(scores_by_seed):
        for score in scores:
            assert score.value is not None
            name, _, sample = score.item.rpartition("#")
            turns[seed, score.cluster][sample if name and sample.isdigit() else ""].append(score.value)
    return [[float(np.mean(sample_values)) for sample_values in samples.values()] for samples in turns.values()]


def _spread(groups: Sequence[Sequence[float]]) -> Within | None:
    """Pooled variance inside groups, and the harmonic mean of their sizes."""
    several = [group for group in groups if len(group) > 1]
    if not several:
        return None
    squares = sum(float(np.var(group)) * len(group) for group in several)
    degrees = sum(len(group) - 1 for group in several)
    return Within(squares / degrees, len(groups) / sum(1 / len(group) for group in groups))


def _judgments(scores_by_seed: ScoresBySeed) -> Within | None:
    """Of items whose detail has the verdicts of both orders, the model shown as A and as B ("A", "B", "tie")."""
    for_first = {"A": 100.0, "tie": 50.0, "B": 0.0}
    squares, items = [], 0
    cells: dict[tuple[int, str], int] = defaultdict(int)
    for seed, scores in enumerate(scores_by_seed):
        for score in scores:
            orders = score.detail.get("orders", ())
            if score.value is not None and len(orders) == 2 and all(side in for_first for side in orders):
                squares.append((for_first[orders[0]] - (100 - for_first[orders[1]])) ** 2 / 2)
                cells[seed, score.cluster] += 2
                items += 1
    if not squares or items < sum(map(len, scores_by_seed)) / 2:
        return None
    return Within(float(np.mean(squares)), len(cells) / sum(1 / count for count in cells.values()))


def bootstrap_clusters(
    evaluate: Callable[[np.ndarray], Array], num_clusters: int, *, replicates: int = 200
) -> tuple[float, float | None]:
    """A number and its bootstrap standard error over clusters, for what is no column (a judge's agreement).

    evaluate: cluster indices to one value (1,). None: fewer than two clusters.
    """
    value = float(evaluate(np.arange(num_clusters)).mean())
    if num_clusters < 2:
        return value, None
    draw = np.random.default_rng(0)
    drawn_R = [evaluate(draw.integers(num_clusters, size=num_clusters)).mean() for _ in range(replicates)]
    return value, float(np.std(drawn_R, ddof=1))
