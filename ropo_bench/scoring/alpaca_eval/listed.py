"""Which model of alpaca_eval's own leaderboard annotations are of, and at which C its published figure was made.

The leaderboard's length-controlled win rates were made with a C that cross-validation picked among ten, and do not
say which. Its scores are tied to about 1e-6, so the pick moves with how scikit-learn sorts groups of equal size into
folds: for 22 of 57 public files it is another one today than it was then. But only one C gives the published figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from ropo_bench.scoring.alpaca_eval.leaderboard import Annotation, LeaderboardRow, read_leaderboard
from ropo_bench.scoring.alpaca_eval.official import control_length

GRID = tuple(float(c) for c in np.logspace(-4, 4, 10))
"""What alpaca_eval's cross-validation picks C from."""
SAME = 1e-6
"""Points within which a figure is the published one."""
_LEADERBOARD = "leaderboards/data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv"


class Listed(NamedTuple):
    """A line of the leaderboard, and the C at which the annotations give its length-controlled win rate (0..100)."""

    name: str
    lc_win_rate: float
    c: float


def find_listed(annotations: Sequence[Annotation]) -> Listed | None:
    """The leaderboard's model that these annotations are of, by figures; None where it is none, or no C gives it.

    They are its annotations where the number of verdicts and the win rate (to 1e-9 points) agree. (The leaderboard's
    average length is of all outputs, of which a file of 803 annotations lacks two.)
    """
    verdicts = [a.preference for a in annotations if a.preference is not None]
    if not verdicts:
        return None
    rate = 100 * (fmean(verdicts) - 1)
    for row in read_listed():
        if row.n_total == len(verdicts) and row.win_rate is not None and abs(row.win_rate - rate) < 1e-9:
            return _with_c(row, annotations)
    return None


def _with_c(row: LeaderboardRow, annotations: Sequence[Annotation]) -> Listed | None:
    figure = row.length_controlled_winrate
    if figure is None:
        return None
    positions = range(len(annotations))
    for c in GRID:
        if abs(control_length(annotations, positions, c).win_rate - figure) <= SAME:
            return Listed(row.name, figure, c)
    return None


@cache
def read_listed() -> Sequence[LeaderboardRow]:
    """The leaderboard of the installed alpaca_eval, found without importing it."""
    spec = find_spec("alpaca_eval")
    assert spec is not None
    assert spec.submodule_search_locations
    return read_leaderboard(Path(spec.submodule_search_locations[0], _LEADERBOARD))
