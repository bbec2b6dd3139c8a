"""Scores that tests of the statistics write down."""

from __future__ import annotations

import numpy as np

from ropo_bench.statistics.sample import Array
from ropo_bench.types import Score, Status


def item(cluster: str, value: float | None, turn: int = 0, metric: str = "m") -> Score:
    status: Status = "scored" if value is not None else "unparsable"
    return Score(f"{cluster}:{turn}", cluster, metric, value, status)


def table(values_SC: Array) -> list[list[Score]]:
    """One item a cluster; NaN is an item that is not there."""
    return [[item(f"p{c:03}", float(v)) for c, v in enumerate(row) if not np.isnan(v)] for row in values_SC]
