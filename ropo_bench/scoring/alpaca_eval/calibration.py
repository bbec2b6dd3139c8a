"""What AlpacaEval 2's length control was calibrated with, frozen in assets: the prompts' difficulties.

A row is the position of an instruction in the reference model's outputs, which is how its files are indexed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ropo_bench.sources import assets

REFERENCE = "gpt4_1106_preview"
REFERENCE_OUTPUTS = f"alpaca_eval/reference_outputs_{REFERENCE}.json"
DIFFICULTIES = "alpaca_eval/calibration/instruction_difficulty.csv"


def rows_of(instructions: Sequence[str]) -> list[int | None]:
    """The row of each instruction, found by its text; None for one that is not among the 805.

    alpaca_eval takes the position in the file instead, which is wrong for every file that lacks a row.
    """
    row_by_text = _rows()
    return [row_by_text.get(instruction.strip()) for instruction in instructions]


@cache
def difficulties() -> NDArray[np.float64]:
    """Difficulty of each row, higher is easier to win: gamma_x of arXiv 2404.04475 (section 3), (805,)."""
    # The row is in the first column, whatever a copy calls it.
    by_row = {int(next(iter(r.values()))): float(r["instruction_difficulty"]) for r in read_rows(DIFFICULTIES)}
    return np.array([by_row[row] for row in range(len(by_row))])


@cache
def _rows() -> Mapping[str, int]:
    records = assets.read_json(REFERENCE_OUTPUTS)
    return {record["instruction"].strip(): row for row, record in enumerate(records)}


def read_rows(name: str) -> list[dict[str, str]]:
    """The records of a registered CSV file."""
    return list(csv.DictReader(io.StringIO(assets.read_text(name))))
