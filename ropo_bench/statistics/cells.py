"""From scores to the cells of a table: estimates, their 95 % intervals, and what varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ropo_bench.errors import UsageError
from ropo_bench.statistics.crossed import Parts, sample_parts
from ropo_bench.statistics.estimators import ESTIMATORS, ScoresBySeed
from ropo_bench.statistics.intervals import Level, Scale
from ropo_bench.statistics.sample import Array, Estimator, Sample
from ropo_bench.statistics.skewness import skewness
from ropo_bench.types import Measurement

if TYPE_CHECKING:
    from ropo_bench.recipes.task import Column


class Examined(NamedTuple):
    """A cell, and the sample that it was made of; None where a seed has no scored item."""

    measurement: Measurement
    sample: Sample | None


def measure(
    task: str,
    columns: Sequence[Column],
    scores_by_seed: ScoresBySeed,
    estimators: Mapping[str, Estimator] | None = None,
) -> list[Measurement]:
    """One measurement a column; unscored items are counted and never part of an estimate.

    scores_by_seed: one sequence a training seed. estimators: more names beside those of ESTIMATORS.
    n and n_unscored count items over all seeds. The value is None where a seed has no scored item at all.
    One seed: the interval is about this checkpoint, over prompts. More: about the method, over prompts and seeds.
    Raises UsageError for an estimator that is not known.
    """
    return [examined.measurement for examined in examine(task, columns, scores_by_seed, estimators)]


def examine(
    task: str,
    columns: Sequence[Column],
    scores_by_seed: ScoresBySeed,
    estimators: Mapping[str, Estimator] | None = None,
) -> list[Examined]:
    """As `measure`, with the samples, whose bootstrap replicates are drawn."""
    cells = []
    for column in columns:
        rows = [[score for score in scores if score.metric == column.metric] for scores in scores_by_seed]
        sample = estimate(task, column, rows, estimators)
        n = sum(score.value is not None for row in rows for score in row)
        counts = (n, sum(map(len, rows)) - n, len(scores_by_seed))
        if sample is None:
            cells.append(Examined(Measurement(task, column.metric, None, None, *counts), None))
            continue
        sample = sample.with_draws()
        cells.append(Examined(_cell(task, column, sample, counts), sample))
    return cells


def estimate(
    task: str, column: Column, scores_by_seed: ScoresBySeed, estimators: Mapping[str, Estimator] | None = None
) -> Sample | None:
    """What the column's estimator makes of its metric's scores; None where a seed has no scored item."""
    makers = {**ESTIMATORS, **(estimators or {})}
    if column.estimator not in makers:
        raise UsageError(
            f"task {task}, column {column.metric}: unknown estimator {column.estimator!r}; known: {', '.join(makers)}"
        )
    scored = [
        [score for score in scores if score.metric == column.metric and score.value is not None]
        for scores in scores_by_seed
    ]
    if not scored or not all(scored):
        return None
    num_scores = sum(score.metric == column.metric for scores in scores_by_seed for score in scores)
    return replace(makers[column.estimator](scored), coverage=sum(map(len, scored)) / num_scores)


def level(sample: Sample, scale: Scale | None) -> Level | None:
    """A row's own number with its error; None where there is none to give."""
    parts = sample_parts(sample)
    if parts is None:
        return None
    right_or_wrong = sample.values_SC is not None and scale is not None and is_at_ends(sample.values_SC, scale)
    skewed = None if right_or_wrong or not sample.clusters else skewness(sample, float(parts.standard_error))
    return Level(sample.value, parts, scale, len(sample.clusters), len(sample.estimates_S) == 1, skewed)


def is_at_ends(values_SC: Array, scale: Scale) -> bool:
    """Whether all values are the least or the greatest of a scale: items that are right or wrong."""
    values = values_SC[~np.isnan(values_SC)]
    return bool(np.isin(values, scale).all())


def _cell(task: str, column: Column, sample: Sample, counts: tuple[int, int, int]) -> Measurement:
    own = level(sample, column.bounds)
    seed_sd = float(sample.estimates_S.std(ddof=1)) if len(sample.estimates_S) > 1 else None
    if own is None:
        return Measurement(task, column.metric, sample.value, None, *counts, seed_sd=seed_sd)
    low, high = own.interval()
    return Measurement(
        task,
        column.metric,
        sample.value,
        float(own.parts.standard_error),
        *counts,
        degrees=float(own.parts.degrees()),
        low=low,
        high=high,
        split=split(sample, own.parts),
        seed_sd=seed_sd,
    )


def split(sample: Sample, parts: Parts | None = None) -> dict[str, float]:
    """Standard deviations of one observation, by source: only what the data can tell apart.

    seeds: between training seeds. prompts: between prompts; with one seed everything that prompts and sampling
    bring together. sampling, judge: see estimators.within. rest: what is left of a prompt under a seed. A source
    that turns out smaller than what explains it is 0. Moment estimates (Searle, Casella, McCulloch 1992, chapter 4).
    """
    parts = parts or sample_parts(sample)
    if parts is None:
        return {}
    num_seeds, num_clusters = len(sample.estimates_S), len(sample.clusters)
    if not num_clusters:
        return {"seeds": float(np.sqrt(num_seeds * parts.seeds))}
    inside = sum(part.variance / part.draws for part in sample.within.values())
    prompts = num_clusters * float(parts.prompts) - num_clusters * float(parts.rest)
    rest = num_seeds * num_clusters * float(parts.rest) - inside
    variances = {"prompts": prompts - inside} if num_seeds == 1 else {"prompts": prompts, "rest": rest}
    if num_seeds > 1:
        variances["seeds"] = num_seeds * (float(parts.seeds) - float(parts.rest))
    variances |= {source: part.variance for source, part in sample.within.items()}
    return {source: max(0.0, variance) ** 0.5 for source, variance in variances.items()}
