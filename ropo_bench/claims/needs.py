"""How many prompts, or seeds, would decide a claim that so few do not."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from ropo_bench.statistics.cells import split
from ropo_bench.statistics.crossed import sample_parts
from ropo_bench.statistics.power import planned_parts, visible_effect
from ropo_bench.statistics.sample import Sample

POWER = 0.8
MOST_PROMPTS, MOST_SEEDS = 1_000_000, 1_000


class Needs(NamedTuple):
    """Prompts with these seeds, or seeds with these prompts; None: no number does, or the data cannot tell."""

    prompts: int | None
    seeds: int | None


def needs(sample: Sample, distance: float, alpha: float) -> Needs:
    """What finds, with 80 % power, that the truth lies beyond a margin that it is `distance` away from.

    alpha: one-sided, of this test in its file. From one seed nothing is known about seeds, and prompts are needed for
    a verdict about the same checkpoint.
    """
    parts = sample_parts(sample)
    num_seeds, num_prompts = len(sample.estimates_S), len(sample.clusters)
    if parts is None or distance <= 0:
        return Needs(None, None)
    varies = split(sample, parts)

    def enough(prompts: int, seeds: int) -> bool:
        return visible_effect(planned_parts(varies, prompts, seeds), 2 * alpha, POWER) <= distance

    return Needs(
        _fewest(MOST_PROMPTS, lambda count: enough(count, num_seeds)) if num_prompts else None,
        _fewest(MOST_SEEDS, lambda count: enough(max(num_prompts, 2), count)) if num_seeds > 1 else None,
    )


def _fewest(most: int, enough: Callable[[int], bool]) -> int | None:
    """The smallest count from 2 on that is enough, where more is never worse."""
    counts = range(2, most + 1)
    place = bisect_left(counts, True, key=enough)
    return counts[place] if place < len(counts) else None
