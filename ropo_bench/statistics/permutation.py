"""Tests of "there is no difference" that assume no distribution. Shapes: P pairs, C clusters, F flips."""

from __future__ import annotations

import numpy as np

from ropo_bench.statistics.sample import Array

FLIPS = 9_999
MORE_FLIPS = 200_000
"""For pairs that few of the first flips reach: a table of 500 comparisons needs p-values below 1e-4."""
_FEW = 20
_CHUNK = 5_000
_MOST_SIGNS = 1 << 24
"""At once: 128 MiB, also where clusters are the 22,000 questions of eight benchmarks."""


def mcnemar(won: int, lost: int) -> float:
    """Exact two-sided McNemar test: items that only one of two rows has right (Psychometrika 1947, 12:153)."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(won, lost), won + lost, 0.5))) if won + lost else 1.0


def sign_flips(contributions_PC: Array) -> Array:
    """Two-sided p-values (P,) of sums over clusters being 0, by flipping the clusters' signs at random.

    contributions_PC: what each cluster adds to a pair's difference. p = (1 + flips at least as far)/(1 + flips), so
    that it is never 0 and never too small (Phipson and Smyth 2010, doi 10.2202/1544-6115.1585). The flips are the
    same in every call. Exact where differences are symmetric about 0.
    """
    seen_P = np.abs(contributions_PC.sum(axis=1)) * (1 - 1e-9)
    beyond_P, flips_P = _count(contributions_PC, seen_P, FLIPS, 0), np.full(len(seen_P), FLIPS)
    few = beyond_P < _FEW
    if few.any():
        beyond_P[few] += _count(contributions_PC[few], seen_P[few], MORE_FLIPS, 1)
        flips_P[few] += MORE_FLIPS
    p_values: Array = (1 + beyond_P) / (1 + flips_P)
    return p_values


def _count(contributions_PC: Array, seen_P: Array, flips: int, seed: int) -> Array:
    draw = np.random.default_rng(seed)
    num_clusters = contributions_PC.shape[1]
    beyond_P = np.zeros(len(seen_P))
    step = max(1, min(_CHUNK, _MOST_SIGNS // num_clusters))
    for start in range(0, flips, step):
        rows = min(step, flips - start)
        bits = np.frombuffer(draw.bytes(rows * -(-num_clusters // 8)), dtype=np.uint8).reshape(rows, -1)
        signs_FC = np.unpackbits(bits, axis=1, count=num_clusters).astype(float)
        signs_FC *= -2.0
        signs_FC += 1.0
        beyond_P += (np.abs(signs_FC @ contributions_PC.T) >= seen_P).sum(axis=0)
    return beyond_P
