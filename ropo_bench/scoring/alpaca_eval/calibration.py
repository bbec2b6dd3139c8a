"""What AlpacaEval 2's length control was calibrated with, frozen in assets: difficulties and gamed annotations.

A row is the position of an instruction in the reference model's outputs, which is how both files are indexed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from ropo_bench.scoring.length_control import Array, Gamed, estimate
from ropo_bench.sources import assets
from ropo_bench.statistics import Sample
from ropo_bench.types import Score

REFERENCE = "gpt4_1106_preview"
REFERENCE_OUTPUTS = f"alpaca_eval/reference_outputs_{REFERENCE}.json"
DIFFICULTIES = "alpaca_eval/calibration/instruction_difficulty.csv"
GAMED = "alpaca_eval/calibration/df_gamed.csv"


def rows_of(instructions: Sequence[str]) -> list[int | None]:
    """The row of each instruction, found by its text; None for one that is not among the 805.

    alpaca_eval takes the position in the file instead, which is wrong for every file that lacks a row.
    """
    known = _rows()
    return [known.get(instruction.strip()) for instruction in instructions]


@cache
def difficulties() -> Array:
    """Difficulty of each row, higher is easier to win: gamma_x of arXiv 2404.04475 (section 3), (805,)."""
    # The row is in the first column, whatever a copy calls it.
    found = {int(next(iter(r.values()))): float(r["instruction_difficulty"]) for r in _records(DIFFICULTIES)}
    return np.array([found[row] for row in range(len(found))])


@cache
def gamed() -> Gamed:
    """Verdicts on the reference model told to be verbose and concise, both on every row, (1610,)."""
    records = _records(GAMED)
    columns = ("preference", "std_delta_len", "instruction_difficulty")
    return Gamed(*(np.array([float(record[column]) for record in records]) for column in columns))


def alpaca_lc_win_rate(scores_by_seed: Sequence[Sequence[Score]]) -> Sample:
    """The estimator `alpaca_lc_win_rate` of a column: alpaca_eval's fit, its regularisation included, at fixed C.

    Scores of lc_win_rate on AlpacaEval 2's instructions. The whole fit is made again in every resample of the
    prompts; difficulties and gamed annotations are constants of the benchmark and are not drawn again.
    """
    return estimate(scores_by_seed, gamed=gamed())


@cache
def _rows() -> Mapping[str, int]:
    records = assets.read_json(REFERENCE_OUTPUTS)
    return {record["instruction"].strip(): row for row, record in enumerate(records)}


def _records(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(assets.read_text(name))))
