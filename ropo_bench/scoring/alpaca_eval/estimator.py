"""AlpacaEval 2's length-controlled win rate as a column's estimator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from ropo_bench.scoring.alpaca_eval.calibration import read_rows
from ropo_bench.scoring.length_control import Gamed, estimate
from ropo_bench.statistics.sample import Sample
from ropo_bench.types import Score

GAMED = "alpaca_eval/calibration/df_gamed.csv"


@cache
def gamed() -> Gamed:
    """Verdicts on the reference model told to be verbose and concise, both on every row, (1610,)."""
    records = read_rows(GAMED)
    columns = ("preference", "std_delta_len", "instruction_difficulty")
    return Gamed(*(np.array([float(record[column]) for record in records]) for column in columns))


def alpaca_lc_win_rate(scores_by_seed: Sequence[Sequence[Score]]) -> Sample:
    """The estimator `alpaca_lc_win_rate` of a column: alpaca_eval's fit, its regularisation included, at fixed C.

    Scores of lc_win_rate on AlpacaEval 2's instructions. The whole fit is made again in every resample of the
    prompts; difficulties and gamed annotations are constants of the benchmark and are not drawn again.
    """
    return estimate(scores_by_seed, gamed=gamed())
