"""From the rows of a table to paired differences a - b, on the prompts and training seeds that both have.

All rows of the table are asked, also where few pairs are: what a seed does is learned from every row that has it, so
the answer on a pair is the same in a table, a comparison and a claim. Shapes: S seeds, C clusters, R replicates.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ropo_bench.statistics.blocks import Blocks, SeedPart, at_least_rest, fixed_part, paired_part, read_blocks
from ropo_bench.statistics.cells import estimate
from ropo_bench.statistics.crossed import Parts, bootstrap_parts, enough, linear_parts, sample_parts, seed_part
from ropo_bench.statistics.difference import Difference, Pair, intervals, p_values
from ropo_bench.statistics.estimators import ScoresBySeed
from ropo_bench.statistics.sample import Array, Estimator, Sample
from ropo_bench.statistics.skewness import cluster_weights, skewness
from ropo_bench.types import Comparison

if TYPE_CHECKING:
    from ropo_bench.recipes.task import Column

LEAST_COVERAGE = 0.95
"""Of a row's items that must be scored: what is missing is seldom missing at random, and with more of it a difference
may be one of what is missing (docs/statistics.md has figures)."""


def compare(
    task: str,
    columns: Sequence[Column],
    rows: Mapping[str, ScoresBySeed],
    estimators: Mapping[str, Estimator] | None,
    pairs: Sequence[Pair],
) -> list[Comparison]:
    """All paired differences a - b of these pairs on these columns, not adjusted for being many.

    rows: by name, one sequence of scores a seed. A pair without anything to test on a column (a census of one seed,
    fewer than two common prompts, coverage below LEAST_COVERAGE) is left out. Raises UsageError for an unknown
    estimator.
    """
    comparisons = []
    for column in columns:
        estimates = {name: estimate(task, column, scores, estimators) for name, scores in rows.items()}
        samples = {name: sample for name, sample in estimates.items() if sample is not None}
        comparisons += compare_samples(task, column.metric, samples, pairs)
    return comparisons


def compare_samples(task: str, metric: str, samples: Mapping[str, Sample], pairs: Sequence[Pair]) -> list[Comparison]:
    """The paired differences on one column, from what its estimator made of each row of the table."""
    return as_comparisons(task, metric, differences(samples, pairs))


def as_comparisons(task: str, metric: str, differences: Sequence[Difference]) -> list[Comparison]:
    """Differences as a table keeps them, with their p-values and 95 % intervals."""
    if not differences:
        return []
    tested, (low_P, high_P) = p_values(differences), intervals(differences)
    return [
        Comparison(
            task,
            metric,
            *difference.pair,
            difference.estimate,
            float(difference.parts.standard_error),
            float(difference.parts.degrees()),
            float(low),
            float(high),
            float(p_value),
            difference.n,
            difference.test,
            parts=_kept_parts(difference),
            skewness=difference.skewness,
        )
        for difference, p_value, low, high in zip(differences, tested, low_P, high_P, strict=True)
    ]


def _kept_parts(difference: Difference) -> dict[str, float]:
    """What the correction (statistics.multiplicity) needs beside the p-value; of tests with seeds in common."""
    if difference.test != "crossed t":
        return {}
    return {name: float(value) for name, value in asdict(difference.parts).items()}


def differences(samples: Mapping[str, Sample], pairs: Sequence[Pair]) -> list[Difference]:
    """Each pair that can be compared.

    Two rows with two seeds or more in common are paired by seed on these, a row of one seed is one fixed model beside
    the other's seeds, and rows that share no two seeds are independent. One seed each: McNemar's exact test where all
    values are 0 or 100, else sign flips over prompts (refitted estimates: t with bootstrap variances).
    """
    comparable = [pair for pair in pairs if pair[0] in samples and pair[1] in samples]
    # Of the other rows only their seeds count, which need no bootstrap.
    names = {name for pair in comparable for name in pair}
    table = _Table({name: sample.with_draws() if name in names else sample for name, sample in samples.items()})
    estimates = [table.difference(pair) for pair in comparable]
    return [difference for difference in estimates if difference is not None]


@dataclass(frozen=True)
class _Table:
    """All rows of one column, and what their seeds do, by the seeds asked for."""

    rows: Mapping[str, Sample]
    blocks_by_seeds: dict[tuple[int, ...], Blocks] = field(default_factory=dict)

    def difference(self, pair: Pair) -> Difference | None:
        a, b = (self.rows[name] for name in pair)
        if min(a.coverage, b.coverage) < LEAST_COVERAGE:
            return None
        seeds = shared_seeds(a, b)
        fewest = min(len(a.estimates_S), len(b.estimates_S))
        if fewest > 1 and len(seeds) > 1:
            whole = subtract(a.on_seeds(seeds), b.on_seeds(seeds))
            part = paired_part(self.blocks(seeds), *pair, len(seeds))
            return None if whole is None else _with_seeds(pair, whole, part, self.blocks(seeds).num_rows)
        if fewest > 1:
            return _independent(pair, a, b)
        whole = subtract(a, b)
        several = a if len(a.estimates_S) > 1 else b
        if whole is None or len(several.estimates_S) < 2:
            return None if whole is None else _one_seed(pair, whole, a, b)
        name = pair[0] if several is a else pair[1]
        part = fixed_part(self.blocks(several.seed_names), name, len(several.estimates_S))
        return _with_seeds(pair, whole, part, self.blocks(several.seed_names).num_rows)

    def blocks(self, seeds: tuple[int, ...]) -> Blocks:
        if seeds not in self.blocks_by_seeds:
            self.blocks_by_seeds[seeds] = read_blocks(self.rows, seeds)
        return self.blocks_by_seeds[seeds]


def shared_seeds(a: Sample, b: Sample) -> tuple[int, ...]:
    """The training seeds that both rows have; one without two clusters of values in common is left out."""
    seeds = tuple(seed for seed in a.seed_names if seed in b.seed_names)
    if a.values_SC is None or b.values_SC is None or len(seeds) < 2:
        return seeds
    names = sorted(set(a.clusters) & set(b.clusters))
    present = [_has_values(sample.on_seeds(seeds), names) for sample in (a, b)]
    counts = (present[0] & present[1]).sum(axis=1)
    return tuple(seed for seed, count in zip(seeds, counts, strict=True) if count > 1)


def _has_values(sample: Sample, names: Sequence[str]) -> NDArray[np.bool_]:
    """Whether a row has a value for each seed and cluster, (S, len(names))."""
    assert sample.values_SC is not None
    place = {name: index for index, name in enumerate(sample.clusters)}
    present: NDArray[np.bool_] = ~np.isnan(sample.values_SC[:, [place[name] for name in names]])
    return present


def subtract(a: Sample, b: Sample) -> Sample | None:
    """The sample of a - b on their common clusters, seed by seed; one seed is broadcast over several.

    Where both have several, on those that both have. None where these are fewer than two, they have no two clusters
    (in a stratum) in common, or one is a census and the other is none.
    """
    if min(len(a.estimates_S), len(b.estimates_S)) > 1 and a.seed_names != b.seed_names:
        seeds = shared_seeds(a, b)
        return subtract(a.on_seeds(seeds), b.on_seeds(seeds)) if len(seeds) > 1 else None
    if a.values_SC is not None and b.values_SC is not None:
        common = _common(a, b)
        return None if common is None else Sample.linear(common.names, common.a_SC - common.b_SC, common.strata)
    if a.clusters and b.clusters:
        names = sorted(set(a.clusters) & set(b.clusters))
        if len(names) < 2:
            return None
        drawn_RS = a.draws(names) - b.draws(names)
        return Sample(tuple(names), a.estimates_on(names) - b.estimates_on(names), drawn_RS=drawn_RS)
    return None if a.clusters or b.clusters else Sample.census(a.estimates_S - b.estimates_S)


def _with_seeds(pair: Pair, whole: Sample, part: SeedPart, num_rows: int) -> Difference:
    """A difference over several seeds: prompts and rest are its own, seeds are what the table's rows say of them."""
    prompts = _prompt_parts(whole)
    parts = replace(prompts, **at_least_rest(part, float(prompts.rest), num_rows)._asdict())
    return Difference(
        pair,
        whole.value,
        parts,
        len(whole.clusters) or len(whole.estimates_S),
        "crossed t",
        skewness(whole, float(parts.standard_error)),
    )


def _prompt_parts(whole: Sample) -> Parts:
    """A and D of a difference; none of a census."""
    if whole.values_SC is not None:
        return linear_parts(whole.values_SC, whole.strata)
    if whole.drawn_RS is not None:
        return bootstrap_parts(whole.estimates_S, whole.drawn_RS, len(whole.clusters))
    return Parts(0.0)


def _one_seed(pair: Pair, whole: Sample, a: Sample, b: Sample) -> Difference | None:
    if not whole.clusters:
        return None  # a census of one seed: nothing was drawn
    parts = _prompt_parts(whole)
    difference = Difference(
        pair, whole.value, parts, len(whole.clusters), "bootstrap t", skewness(whole, float(parts.standard_error))
    )
    if whole.values_SC is None:
        return difference
    common = _common(a, b)
    assert common is not None
    values_C, weight_C = whole.values_SC[0], cluster_weights(len(whole.clusters), whole.strata)
    difference = replace(difference, test="sign flips", contributions_C=weight_C * values_C, weight_C=weight_C)
    if common.strata is None and np.isin([common.a_SC, common.b_SC], (0.0, 100.0)).all():
        return replace(difference, test="exact McNemar", wins=(int((values_C > 0).sum()), int((values_C < 0).sum())))
    return difference


def _independent(pair: Pair, a: Sample, b: Sample) -> Difference | None:
    """The difference of two rows with common prompts but own seeds, at own degrees of freedom (Banerjee 1960)."""
    whole = subtract(_mean_over_seeds(a), _mean_over_seeds(b))
    if whole is None:
        return None
    (seeds_a, degrees_a), (seeds_b, degrees_b) = (seed_part(sample.estimates_S) for sample in (a, b))
    own = [sample_parts(sample) or Parts(0.0) for sample in (a, b)]
    parts = replace(
        _prompt_parts(whole),
        seeds=seeds_a,
        degrees_seeds=degrees_a,
        common=seeds_b,
        degrees_common=degrees_b,
        rest=float(own[0].rest) + float(own[1].rest),
        degrees_rest=max(float(part.degrees_rest) for part in own),
    )
    n = len(whole.clusters) or max(len(a.estimates_S), len(b.estimates_S))
    return Difference(pair, whole.value, parts, n, "Welch t", skewness(whole, float(parts.standard_error)))


def _mean_over_seeds(sample: Sample) -> Sample:
    """A row as one sample over prompts: the means over its seeds."""
    evaluate, drawn_RS, values_SC = sample.evaluate, sample.drawn_RS, sample.values_SC
    if values_SC is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a cluster that no seed has stays NaN
            return Sample.linear(sample.clusters, np.nanmean(values_SC, axis=0, keepdims=True), sample.strata)
    return replace(
        sample,
        estimates_S=sample.estimates_S.mean(keepdims=True),
        evaluate=None if evaluate is None else lambda weight_RC: evaluate(weight_RC).mean(axis=1, keepdims=True),
        drawn_RS=None if drawn_RS is None else drawn_RS.mean(axis=1, keepdims=True),
        seeds=(),
    )


class _Common(NamedTuple):
    """The clusters that both have in some seed, their values (S, C), NaN where one lacks it, and strata."""

    names: list[str]
    a_SC: Array
    b_SC: Array
    strata: list[str] | None


def _common(a: Sample, b: Sample) -> _Common | None:
    """None where a seed has fewer than two common clusters, or in a stratum of either."""
    assert a.values_SC is not None
    assert b.values_SC is not None
    places = [{name: place for place, name in enumerate(sample.clusters)} for sample in (a, b)]
    names = sorted(places[0].keys() & places[1].keys())
    a_SC, b_SC = (
        values_SC[:, [place[name] for name in names]]
        for values_SC, place in zip((a.values_SC, b.values_SC), places, strict=True)
    )
    both_C = np.asarray((~np.isnan(a_SC - b_SC)).any(axis=0))
    names, a_SC, b_SC = [n for n, both in zip(names, both_C, strict=True) if both], a_SC[:, both_C], b_SC[:, both_C]
    strata = None
    if a.strata is not None and b.strata is not None:
        group = dict(zip(a.clusters, a.strata, strict=True))
        strata = [group[name] for name in names]
        if set(strata) != {*a.strata, *b.strata}:
            return None
    return _Common(names, a_SC, b_SC, strata) if enough(a_SC - b_SC, strata) else None
