"""p-values corrected for how many a table has: declared comparisons first and at full strength, then the rest.

A table that compares 13 methods in all pairs on four columns asks 364 questions and can answer few. A study asks
fewer: each method against one reference, on one column a task. These primary comparisons are tested first, step by
step, and all others share what rejected ones leave, so that with probability 95 % nothing in the whole table is
called different that is not (parallel gatekeeping with a truncated Holm test: Dmitrienko, Tamhane and Wiens 2008,
Biometrical J. 50:667, with half of what a rejection frees for either side). Without primary comparisons this is
Holm's test.

Comparisons of one column with one fixed reference share what seeds do to all methods alike: where that is mistaken,
it is mistaken once and not once a method (Dunnett 1955, J. Am. Statist. Assoc. 50:1096, for a common control). So
this part is held at a third of the level of the column, all else at the level of the comparison. A third, because
the two add up where both matter: with it 2 to 13 methods of 3 to 10 seeds err in at most 4.8 % of simulated families
whatever the share of the common part, 30 methods of 10 seeds in 6.1 % (at the whole level of the column 12 %;
`python -m benchmarks.seed_blocks`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np

from ropo_bench.statistics.crossed import Parts
from ropo_bench.statistics.skewness import untwist
from ropo_bench.types import Comparison

SHARED = 3.0
"""A part that all comparisons of a column share is held at the column's level over this."""
_KEPT = 0.5
"""Of what a rejected primary comparison frees, the share that stays with the other primary ones."""


def adjust(
    comparisons: Sequence[Comparison], primary: Callable[[Comparison], bool] | None = None
) -> list[Comparison]:
    """The comparisons with p-values corrected for the table's size. primary: which are tested first; None: none."""
    declared = [place for place, c in enumerate(comparisons) if primary is not None and primary(c)]
    if not declared:
        adjusted = holm([c.p_value for c in comparisons])
        return [replace(c, adjusted=p) for c, p in zip(comparisons, adjusted, strict=True)]
    steps = _primary([comparisons[place] for place in declared])
    rest = [place for place in range(len(comparisons)) if place not in set(declared)]
    later = _secondary([comparisons[place].p_value for place in rest], steps)
    table = list(comparisons)
    for place, p in zip(declared, steps, strict=True):
        table[place] = replace(table[place], adjusted=p, family="primary")
    for place, p in zip(rest, later, strict=True):
        table[place] = replace(table[place], adjusted=p, family="secondary")
    return table


def _primary(comparisons: Sequence[Comparison]) -> list[float]:
    """Truncated Holm: step by step the clearest of those left, at a level between Holm's and Bonferroni's."""
    left, adjusted, worst = set(range(len(comparisons))), [1.0] * len(comparisons), 0.0
    columns = {(c.task, c.metric) for c in comparisons}
    shared = share_seeds(comparisons)
    while left:
        names = {(comparisons[i].task, comparisons[i].metric) for i in left}
        count = truncated_weight(len(left), len(comparisons))
        counts = count, truncated_weight(len(names), len(columns)) if shared else count
        places = sorted(left)
        steps = family_p_values([comparisons[i] for i in places], *counts)
        best = int(np.argmin(steps))
        worst = max(worst, float(steps[best]))
        adjusted[places[best]] = worst
        left.remove(places[best])
        if worst >= 1:
            break
    return adjusted


def share_seeds(comparisons: Sequence[Comparison]) -> bool:
    """Whether what seeds do to all methods is in every one of them: not where the reference itself has several seeds.

    A single comparison that has it would otherwise be held at more than its part of the level.
    """
    return bool(comparisons) and all(c.parts.get("degrees_common") for c in comparisons)


def truncated_weight(left: int, count: int) -> float:
    """By how much a p-value counts more in a truncated Holm test where so many of `count` comparisons are left."""
    return 1 / (_KEPT / left + (1 - _KEPT) / count)


def _secondary(p_values: Sequence[float], primary: Collection[float]) -> list[float]:
    """Holm's, at the part of the level that rejected primary comparisons leave: the least level that rejects both."""
    steps, count = sorted(primary), len(primary)
    own = np.array(holm(p_values)) if p_values else np.zeros(0)
    adjusted = np.ones(len(own))
    for rejected, level in enumerate(steps, 1):
        share = 1.0 if rejected == count else (1 - _KEPT) * rejected / count
        adjusted = np.minimum(adjusted, np.maximum(level, own / share))
    return [float(p) for p in adjusted]


def family_p_values(comparisons: Sequence[Comparison], count: float, columns: float) -> np.ndarray:
    """p-values (N,) of comparisons as the smallest of `count` such on `columns` columns, 1 at most.

    Bonferroni's, but that the part of the error that all comparisons of a column share counts once a column.
    """
    p_values = np.array([min(1.0, count * c.p_value) for c in comparisons])
    shared = [i for i, c in enumerate(comparisons) if c.parts.get("common")]
    if shared:
        names = Parts.__dataclass_fields__
        parts = Parts(**{n: np.array([comparisons[i].parts.get(n, 0.0) for i in shared]) for n in names})
        error, estimate = parts.standard_error, np.array([comparisons[i].estimate for i in shared])
        straight = error * untwist(estimate / error, np.array([comparisons[i].skewness for i in shared]))
        least = np.minimum(np.abs(estimate), np.abs(straight))
        p_values[shared] = parts.p_value(least, count, min(count, SHARED * columns))
    return p_values


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-adjusted p-values (Scandinavian Journal of Statistics 1979, 6:65), in the order given.

    Reject where <= alpha, and the whole table errs at most alpha.
    """
    order = np.argsort(p_values, kind="stable")
    m = len(p_values)
    steps = np.minimum(1.0, np.asarray(p_values, dtype=float)[order] * (m - np.arange(m)))
    adjusted = np.empty(m)
    adjusted[order] = np.maximum.accumulate(steps)
    return [float(p) for p in adjusted]
