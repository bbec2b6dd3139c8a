"""From two rows' samples to the paired difference a - b on the prompts that both have.

Shapes: S seeds, C clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ropo_bench.statistics.cells import estimate
from ropo_bench.statistics.crossed import (
    Parts,
    bootstrap_parts,
    combine,
    enough,
    linear_parts,
    sample_parts,
    seed_part,
    stack,
)
from ropo_bench.statistics.estimators import ScoresBySeed
from ropo_bench.statistics.moderation import raised
from ropo_bench.statistics.permutation import mcnemar, sign_flips
from ropo_bench.statistics.sample import Array, Estimator, Sample, strata_indices
from ropo_bench.types import Comparison, Test

if TYPE_CHECKING:
    from ropo_bench.tasks import Column

Pair = tuple[str, str]


class _Difference(NamedTuple):
    """One pair: estimate, error, and for a test by permutation what each cluster adds to the estimate."""

    pair: Pair
    estimate: float
    parts: Parts
    n: int
    test: Test
    p_value: float | None = None
    contributions_C: Array | None = None


def compare(
    task: str,
    columns: Sequence[Column],
    rows: Mapping[str, ScoresBySeed],
    estimators: Mapping[str, Estimator] | None,
    pairs: Sequence[Pair],
) -> list[Comparison]:
    """All paired differences a - b of these pairs on these columns, not adjusted for being many.

    rows: by name, one sequence of scores a seed. A pair without anything to test on a column (a census of one seed,
    fewer than two common prompts) is left out. Raises UsageError for an unknown estimator.
    """
    found = []
    for column in columns:
        made = {name: estimate(task, column, scores, estimators) for name, scores in rows.items()}
        samples = {name: sample for name, sample in made.items() if sample is not None}
        found += compare_samples(task, column.metric, samples, pairs)
    return found


def compare_samples(task: str, metric: str, samples: Mapping[str, Sample], pairs: Sequence[Pair]) -> list[Comparison]:
    """The paired differences on one column, from what its estimator made of each row.

    One pair alone is paired by seed where both rows have as many (two or more). Over several pairs the variances over
    seeds are moderated by each other, and seeds are independent (Welch). A row of one seed is one fixed model
    beside the other's seeds. One seed each: McNemar's exact test where all values are 0 or 100, else sign flips over
    prompts (refitted estimates: t with bootstrap variances, C - 1 degrees).
    """
    known = [(a, b) for a, b in pairs if a in samples and b in samples]
    drawn = {name: sample.with_draws() for name, sample in samples.items()}
    spreads = moderated_seeds(drawn) if len(known) > 1 else None
    differences = [
        found for pair in known if (found := _difference(pair, drawn[pair[0]], drawn[pair[1]], spreads)) is not None
    ]
    if not differences:
        return []
    parts = stack([one.parts for one in differences])
    errors, degrees, halves = parts.standard_error, parts.degrees(), parts.half_width()
    by_t = parts.p_value(np.array([one.estimate for one in differences]))
    by_flips = _flipped(differences)
    comparisons = []
    for i, one in enumerate(differences):
        p_value = by_flips.get(one.pair, float(by_t[i])) if one.p_value is None else one.p_value
        low, high = float(one.estimate - halves[i]), float(one.estimate + halves[i])
        error, freedom = float(errors[i]), float(degrees[i])
        comparisons.append(
            Comparison(task, metric, *one.pair, one.estimate, error, freedom, low, high, p_value, one.n, one.test)
        )
    return comparisons


def difference(a: Sample, b: Sample) -> Sample | None:
    """The sample of a - b on their common clusters, paired by seed; one seed is broadcast over several.

    None where their numbers of seeds differ otherwise, or they have no two clusters (in a stratum) in common.
    """
    if not _is_paired(a, b):
        return None
    if a.values_SC is not None and b.values_SC is not None:
        found = _common(a, b)
        return None if found is None else Sample.linear(found.names, found.a_SC - found.b_SC, found.strata)
    if a.clusters and b.clusters:
        names = sorted(set(a.clusters) & set(b.clusters))
        if len(names) < 2:
            return None
        drawn_RS = a.draws(names) - b.draws(names)
        return Sample(tuple(names), a.estimates_on(names) - b.estimates_on(names), drawn_RS=drawn_RS)
    return Sample.census(a.estimates_S - b.estimates_S)


def _flipped(differences: Sequence[_Difference]) -> dict[Pair, float]:
    """p-values of all that sign flips decide; pairs of as many clusters are flipped together."""
    by_size: dict[int, list[_Difference]] = {}
    for one in differences:
        if one.contributions_C is not None:
            by_size.setdefault(len(one.contributions_C), []).append(one)
    found: dict[Pair, float] = {}
    for group in by_size.values():
        table_PC = np.array([one.contributions_C for one in group])
        found |= dict(zip([one.pair for one in group], map(float, sign_flips(table_PC)), strict=True))
    return found


class Spreads(NamedTuple):
    """What several rows together tell of their seeds.

    by_row: for rows of several seeds, the moderated variance of one seed's estimate and its degrees. degrees: most
    that a pair has.
    """

    by_row: Mapping[str, tuple[float, float]]
    degrees: float


def moderated_seeds(samples: Mapping[str, Sample]) -> Spreads | None:
    """The rows' variances over seeds, drawn towards each other; None where fewer than two have several seeds.

    Only upwards: a row that spreads more than the others may be of another kind. What that costs, and what is left of
    the error where spreads are unlike, is simulated in docs/statistics.md.
    """
    several = {name: sample.estimates_S for name, sample in samples.items() if len(sample.estimates_S) > 1}
    if len(several) < 2:
        return None
    degrees_M = np.array([len(estimates_S) - 1.0 for estimates_S in several.values()])
    own_M = np.array([estimates_S.var(ddof=1) for estimates_S in several.values()])
    variances_M, freedom_M = raised(own_M, degrees_M)
    found = zip(variances_M.tolist(), freedom_M.tolist(), strict=True)
    return Spreads(dict(zip(several, found, strict=True)), float(degrees_M.sum() - degrees_M.max()))


def _difference(pair: Pair, a: Sample, b: Sample, spreads: Spreads | None) -> _Difference | None:
    several = len(a.estimates_S) > 1 or len(b.estimates_S) > 1
    if (several and spreads is not None) or not _is_paired(a, b):
        return _welch(pair, a, b, spreads)
    sample = difference(a, b)
    parts = None if sample is None else sample_parts(sample)
    if sample is None or parts is None:
        return None
    n = len(sample.clusters) or len(sample.estimates_S)
    one = _Difference(pair, sample.value, parts, n, "crossed t")
    if len(sample.estimates_S) > 1:
        return one
    if sample.values_SC is None:
        return one._replace(test="bootstrap t")
    found = _common(a, b)
    assert found is not None
    if found.strata is None and np.isin([found.a_SC, found.b_SC], (0.0, 100.0)).all():
        return one._replace(test="exact McNemar", p_value=mcnemar(found.a_SC[0], found.b_SC[0]))
    contributions_C = _weights(n, found.strata) * sample.values_SC[0]
    return one._replace(test="sign flips", contributions_C=contributions_C)


def _is_paired(a: Sample, b: Sample) -> bool:
    """Whether seeds go together: as many of both, or one fixed model on a side."""
    seeds = len(a.estimates_S), len(b.estimates_S)
    return seeds[0] == seeds[1] or 1 in seeds


def _welch(pair: Pair, a: Sample, b: Sample, spreads: Spreads | None) -> _Difference | None:
    """Prompts in common, seeds independent: the prompts' part is that of the difference of means over seeds."""
    names: Sequence[str] = ()
    if a.values_SC is not None and b.values_SC is not None:
        found = _common(a, b)
        if found is None:
            return None
        names = found.names
        both = linear_parts((found.a_SC.mean(axis=0) - found.b_SC.mean(axis=0))[None], found.strata)
        ours, theirs = (linear_parts(table_SC, found.strata) for table_SC in (found.a_SC, found.b_SC))
        estimate = float(Sample.linear(names, found.a_SC, found.strata).value)
        estimate -= float(Sample.linear(names, found.b_SC, found.strata).value)
    elif a.clusters and b.clusters:
        names = sorted(set(a.clusters) & set(b.clusters))
        if len(names) < 2:
            return None
        a_S, b_S = a.estimates_on(names), b.estimates_on(names)
        a_RS, b_RS = a.draws(names), b.draws(names)
        ours, theirs = bootstrap_parts(a_S, a_RS, len(names)), bootstrap_parts(b_S, b_RS, len(names))
        difference_R = a_RS.mean(axis=1) - b_RS.mean(axis=1)
        both = bootstrap_parts(np.zeros(1), difference_R[:, None], len(names))
        estimate = float(a_S.mean() - b_S.mean())
    else:
        ours, theirs = _seeds(a), _seeds(b)
        both, estimate = Parts(0.0), a.value - b.value
    if spreads is not None:
        ours, theirs = (
            _moderated(part, name, s, spreads) for part, name, s in zip((ours, theirs), pair, (a, b), strict=True)
        )
    added = combine([ours, theirs], [1.0, 1.0])
    most = np.inf if spreads is None else spreads.degrees
    parts = Parts(
        both.prompts,
        added.seeds,
        added.rest,
        both.degrees_prompts,
        np.minimum(added.degrees_seeds, most),
        added.degrees_rest,
    )
    n = len(names) or max(len(a.estimates_S), len(b.estimates_S))
    return _Difference(pair, estimate, parts, n, "crossed t")


def _moderated(part: Parts, name: str, sample: Sample, spreads: Spreads) -> Parts:
    """A row's parts with the variance over seeds that all rows together tell; one fixed model has none."""
    if name not in spreads.by_row:
        return part
    variance, degrees = spreads.by_row[name]
    return replace(part, seeds=variance / len(sample.estimates_S), degrees_seeds=degrees)


def _seeds(sample: Sample) -> Parts:
    """The parts of a census: its seeds, where it has several."""
    if len(sample.estimates_S) < 2:
        return Parts(0.0)
    seeds, degrees = seed_part(sample.estimates_S)
    return Parts(0.0, seeds, 0.0, 0.0, degrees)


class _Common(NamedTuple):
    """The clusters that every seed of both has, their values (S, C) and strata."""

    names: list[str]
    a_SC: Array
    b_SC: Array
    strata: list[str] | None


def _common(a: Sample, b: Sample) -> _Common | None:
    """None where there are fewer than two common clusters, or in a stratum of either."""
    whole = [_whole(sample) for sample in (a, b)]
    names = sorted(whole[0].keys() & whole[1].keys())
    strata = every = None
    if a.strata is not None and b.strata is not None:
        group = dict(zip(a.clusters, a.strata, strict=True))
        strata, every = [group[name] for name in names], [*a.strata, *b.strata]
    if not enough(len(names), strata, every):
        return None
    a_SC, b_SC = (np.stack([table[name] for name in names], axis=1) for table in whole)
    return _Common(names, a_SC, b_SC, strata)


def _whole(sample: Sample) -> dict[str, Array]:
    """Values (S,) of the clusters that every seed has."""
    assert sample.values_SC is not None
    columns_CS = sample.values_SC.T
    return {n: y_S for n, y_S in zip(sample.clusters, columns_CS, strict=True) if not np.isnan(y_S).any()}


def _weights(num_clusters: int, strata: Sequence[str] | None) -> Array:
    """What each cluster counts in the estimate, 1 in all."""
    if strata is None:
        return np.full(num_clusters, 1 / num_clusters)
    weight_C = np.empty(num_clusters)
    indices = strata_indices(strata)
    for index in indices:
        weight_C[index] = 1 / (len(index) * len(indices))
    return weight_C
