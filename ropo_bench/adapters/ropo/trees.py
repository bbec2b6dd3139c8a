"""The two trees of planes in which RoPO turns: which coordinates meet in which round."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

Planes: TypeAlias = Literal["shared", "mirror"]


@dataclass(frozen=True, slots=True)
class Round:
    """Disjoint pairs of one round: indices i, indices j, and where their angles stand in theta."""

    first: slice
    second: slice
    angles: slice


@lru_cache(maxsize=256)
def tree_rounds(d: int, planes: Planes = "shared") -> tuple[Round, ...]:
    """The ceil(log2 d) rounds of one tree in the order of its angles; together they hold d - 1 pairs."""
    rounds: list[Round] = []
    stride, offset = 1, 0
    while stride < d:
        if planes == "mirror":
            n = min(stride, d - stride)
            first, second = slice(0, n), slice(stride, stride + n)
        else:
            n = len(range(stride, d, 2 * stride))
            first, second = slice(0, 2 * stride * (n - 1) + 1, 2 * stride), slice(stride, None, 2 * stride)
        rounds.append(Round(first, second, slice(offset, offset + n)))
        stride, offset = 2 * stride, offset + n
    return tuple(rounds)
