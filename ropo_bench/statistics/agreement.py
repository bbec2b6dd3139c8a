"""Rows that answer alike: two methods that give the same scores are one fact, not two.

Shapes: S seeds, P prompts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ropo_bench.statistics.sample import Array

ALIKE = 0.99
"""Share of equal scores from which rows are called alike: of a hundred items they differ on one at most."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Rows of which every two agree on at least ALIKE of their scores; agreement: of the two that agree least."""

    rows: tuple[str, ...]
    agreement: float


def agreement(a_SP: Array, b_SP: Array) -> float | None:
    """Share (0..1) of scores that are equal, of those that both rows have; NaN is no score.

    Rows with other numbers of seeds are compared seed by seed where one of them has a single one. None where nothing
    can be compared.
    """
    if len(a_SP) != len(b_SP) and 1 not in (len(a_SP), len(b_SP)):
        return None
    a_SP, b_SP = np.broadcast_arrays(a_SP, b_SP)
    both_SP = ~(np.isnan(a_SP) | np.isnan(b_SP))
    return float(np.isclose(a_SP, b_SP)[both_SP].mean()) if both_SP.any() else None


def groups_alike(values: Mapping[str, Array], least: float = ALIKE) -> list[Alike]:
    """The groups of two rows or more, each row in the first that it agrees with throughout.

    values: row -> scores (S, P) of the same prompts in the same order.
    """
    groups: list[Alike] = []
    for row in values:
        for place, group in enumerate(groups):
            shares = [agreement(values[row], values[other]) for other in group.rows]
            close = [share for share in shares if share is not None and share >= least]
            if len(close) == len(shares):
                groups[place] = Alike((*group.rows, row), min(group.agreement, *close))
                break
        else:
            groups.append(Alike((row,), 1.0))
    return [group for group in groups if len(group.rows) > 1]
