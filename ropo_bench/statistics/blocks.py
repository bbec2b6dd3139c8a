"""Training seeds as blocks: what one seed does to every method of a table, and what it does to one method beyond
that.

Seeds of different methods share the order of the data and the initialisation, so a seed that is kind to one method is
kind to all. In the difference of two methods that common part cancels; beside a fixed model it does not. A seed's
estimates e_ms, M methods and S seeds, are taken as method_m + common_s + own_ms, common_s and own_ms random:

    two methods        Var = (own_a + own_b) / S                          learned from all methods' own parts
    method and fixed   Var = common / S + (1 - 1/M) own_a / S             common: variance over seeds of the methods'
    mean

The methods' own variances are moderated by each other and never below a method's own (statistics.moderation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ropo_bench.statistics.moderation import moderate_upwards
from ropo_bench.statistics.sample import Array, Sample


class Blocks(NamedTuple):
    """What a table's seeds do, as variances of one seed's estimate.

    num_rows: that have all these seeds. common: of the rows' mean, seeds - 1 degrees. own: by row, of what a seed
    does to it beyond the rows' mean, scaled so that it stands for the whole (M/(M - 1) of what is seen), with its
    degrees.
    total: by row, all that a seed does to it, seeds - 1 degrees.
    """

    num_rows: int
    common: float
    own: Mapping[str, tuple[float, float]]
    total: Mapping[str, float]


def read_blocks(samples: Mapping[str, Sample], seeds: Sequence[int]) -> Blocks:
    """What these seeds, two or more, do to the rows that have them all; a row of one seed is no part of it."""
    rows = {name: sample for name, sample in samples.items() if set(seeds) <= set(sample.seed_names)}
    table_MS = np.array([sample.on_seeds(seeds).estimates_S for sample in rows.values()])
    total = dict(zip(rows, table_MS.var(axis=1, ddof=1).tolist(), strict=True))
    num_rows, degrees = len(rows), len(seeds) - 1.0
    if num_rows < 2:
        return Blocks(num_rows, 0.0, {}, total)
    common, own_M = split_seeds(table_MS)
    variances_M, degrees_M = moderate_upwards(own_M, np.full(num_rows, degrees))
    pairs = zip(variances_M.tolist(), degrees_M.tolist(), strict=True)
    return Blocks(num_rows, common, dict(zip(rows, pairs, strict=True)), total)


def split_seeds(table_MS: Array) -> tuple[float, Array]:
    """(variance over seeds of the methods' mean, each method's own variance (M,)) of a full table of estimates."""
    num_rows, num_seeds = table_MS.shape
    mean_S = table_MS.mean(axis=0)
    own_MS = table_MS - mean_S
    own_MS = own_MS - own_MS.mean(axis=1, keepdims=True)
    own_M: Array = (own_MS**2).sum(axis=1) / (num_seeds - 1) * num_rows / (num_rows - 1)
    return float(mean_S.var(ddof=1)), own_M


class SeedPart(NamedTuple):
    """Variances that seeds bring to an estimated difference, each with its degrees (see crossed.Parts)."""

    seeds: float
    degrees_seeds: float
    common: float = 0.0
    degrees_common: float = 0.0


def at_least_rest(part: SeedPart, rest: float, num_rows: int) -> SeedPart:
    """The part with `own` no smaller than a pair's own prompt-by-seed noise, which every variance over seeds holds.

    What is learned from other rows may hold less: rows that answer alike share most of their noise. Two rows tell of
    themselves alone, and their variance over seeds needs no such bound.
    """
    return part._replace(seeds=max(part.seeds, rest - part.common)) if num_rows > 2 else part


def paired_part(blocks: Blocks, a: str, b: str, num_seeds: int) -> SeedPart:
    """Of a - b, two rows that share their seeds."""
    (own_a, degrees_a), (own_b, degrees_b) = blocks.own[a], blocks.own[b]
    return SeedPart((own_a + own_b) / num_seeds, min(degrees_a, degrees_b))


def fixed_part(blocks: Blocks, name: str, num_seeds: int) -> SeedPart:
    """Of a row beside one fixed model: what seeds do to all rows does not cancel."""
    degrees = num_seeds - 1.0
    if blocks.num_rows < 2:
        return SeedPart(blocks.total[name] / num_seeds, degrees)
    own, degrees_own = blocks.own[name]
    # At least what this row shows: a method may answer to the same seed more than the others do.
    own = max((1 - 1 / blocks.num_rows) * own, blocks.total[name] - blocks.common)
    return SeedPart(own / num_seeds, degrees_own, blocks.common / num_seeds, degrees)
