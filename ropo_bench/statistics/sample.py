"""What an estimator makes of the scored items of one metric: a number a seed, and how it varies over prompts.

Shapes: S seeds, C clusters (prompts with all their turns and samples), R bootstrap replicates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ropo_bench.types import Score

Array = NDArray[np.float64]
REPLICATES = 1000
"""Bootstrap draws: a standard error from so many is itself known to 2 %."""


class Within(NamedTuple):
    """What varies inside one value of `Sample.values_SC`: variance of one draw, and draws averaged in a value."""

    variance: float
    draws: float


@dataclass(frozen=True)
class Sample:
    """An estimate a seed, with one of: `values_SC` (linear), `evaluate` (refitted), neither (a census).

    clusters: names (C,), sorted. estimates_S: each seed's estimate on all its data. values_SC: one value a cluster,
    NaN where a seed lacks it; a seed's estimate is their mean, or with strata (a name a cluster) the mean of the
    strata's means. evaluate: cluster weights (R, C) -> estimates (R, S) refitted under them; a weight of 0 leaves
    a cluster out. within: source ("sampling", "judge") -> what of a value's variance it is. drawn_RS: bootstrap
    replicates of a refitted sample over all its clusters, kept once they are made. seeds: which training seeds these
    are; () means 0, 1, 2 ... coverage: share of the items that have a score, 0..1.
    """

    clusters: tuple[str, ...]
    estimates_S: Array
    values_SC: Array | None = None
    strata: tuple[str, ...] | None = None
    evaluate: Callable[[Array], Array] | None = None
    within: Mapping[str, Within] = field(default_factory=dict)
    drawn_RS: Array | None = None
    seeds: tuple[int, ...] = ()
    coverage: float = 1.0

    @classmethod
    def linear(
        cls,
        clusters: Sequence[str],
        values_SC: Array,
        strata: Sequence[str] | None = None,
        within: Mapping[str, Within] | None = None,
    ) -> Sample:
        """Cluster values, NaN where a seed has none; a stratum without any value of a seed is no part of its mean."""
        groups = [values_SC] if strata is None else [values_SC[:, index] for index in strata_indices(strata)]
        with np.errstate(invalid="ignore"):
            means_TS = np.array([np.nansum(g, axis=1) / (~np.isnan(g)).sum(axis=1) for g in groups])
            estimates_S = np.nansum(means_TS, axis=0) / (~np.isnan(means_TS)).sum(axis=0)
        names = None if strata is None else tuple(strata)
        return cls(tuple(clusters), estimates_S, values_SC, names, within=within or {})

    @classmethod
    def refitted(cls, clusters: Sequence[str], estimates_S: Array, evaluate: Callable[[Array], Array]) -> Sample:
        """Any statistic that can be computed again under cluster weights."""
        return cls(tuple(clusters), np.asarray(estimates_S, dtype=float), evaluate=evaluate)

    @classmethod
    def census(cls, estimates_S: Array) -> Sample:
        """All there is, so nothing was drawn but the seeds."""
        return cls((), np.asarray(estimates_S, dtype=float))

    @property
    def value(self) -> float:
        """The estimate: the mean over seeds."""
        return float(self.estimates_S.mean())

    @property
    def seed_names(self) -> tuple[int, ...]:
        """The training seed of every estimate."""
        return self.seeds or tuple(range(len(self.estimates_S)))

    def on_seeds(self, seeds: Sequence[int]) -> Sample:
        """The same with these of its training seeds alone, in the order given."""
        names = self.seed_names
        if tuple(seeds) == names:
            return self
        places = [names.index(seed) for seed in seeds]
        evaluate = self.evaluate
        return replace(
            self,
            estimates_S=self.estimates_S[places],
            values_SC=None if self.values_SC is None else self.values_SC[places],
            evaluate=None if evaluate is None else lambda weight_RC: evaluate(weight_RC)[:, places],
            drawn_RS=None if self.drawn_RS is None else self.drawn_RS[:, places],
            seeds=tuple(seeds),
        )

    def with_draws(self) -> Sample:
        """The same with its bootstrap replicates; itself where it is linear or a census."""
        if self.evaluate is None or self.drawn_RS is not None or len(self.clusters) < 2:
            return self
        return replace(self, drawn_RS=self.draws(self.clusters))

    def draws(self, names: Sequence[str]) -> Array:
        """Bootstrap replicates (R, S) over the clusters `names`, sorted: the same draws for every sample."""
        if self.drawn_RS is not None and tuple(names) == self.clusters:
            return self.drawn_RS
        assert self.evaluate is not None
        count = len(names)
        drawn_RC = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=REPLICATES)
        return self.evaluate(self._place(drawn_RC.astype(float), names))

    def estimates_on(self, names: Sequence[str]) -> Array:
        """Each seed's estimate (S,) from the clusters `names` alone."""
        if tuple(names) == self.clusters:
            return self.estimates_S
        assert self.evaluate is not None
        estimates_S: Array = self.evaluate(self._place(np.ones((1, len(names))), names))[0]
        return estimates_S

    def _place(self, weight_RN: Array, names: Sequence[str]) -> Array:
        """Weights of the clusters `names` at their places among all clusters."""
        place = {name: index for index, name in enumerate(self.clusters)}
        weight_RC = np.zeros((len(weight_RN), len(self.clusters)))
        weight_RC[:, [place[name] for name in names]] = weight_RN
        return weight_RC


Estimator = Callable[[Sequence[Sequence[Score]]], Sample]
"""Scored items of one metric, one sequence a seed (none of them empty), to what they say."""


def strata_indices(strata: Sequence[str]) -> list[NDArray[np.intp]]:
    """The places of each stratum's clusters, strata sorted by name."""
    names = np.asarray(strata)
    return [np.flatnonzero(names == name) for name in sorted(set(strata))]
