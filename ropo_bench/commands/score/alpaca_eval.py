"""`ropo-bench score alpaca-eval`: the win rates in a file of annotations, or of a leaderboard, of alpaca_eval's."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from ropo_bench.commands.score.output import Metric, ScoreRow, print_rows
from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import suggest
from ropo_bench.scoring.alpaca_eval.leaderboard import (
    LeaderboardRow,
    read_annotations,
    read_leaderboard,
    write_leaderboard,
)
from ropo_bench.scoring.alpaca_eval.win_rates import LENGTH, RULES, ModelRow, leaderboard_row, measure_annotations
from ropo_bench.store.csv_cells import csv_cell


def score_alpaca_eval_command(
    path: Path,
    lc_c: float | None = None,
    json: bool = False,
    leaderboard: Path | None = None,
    rule: str = "default",
) -> None:
    """Print one row a model of annotations.json[.gz] or of a leaderboard .csv[.gz]; raises UsageError.

    Numbers from annotations have a standard error and a 95 % interval over prompts, of this one judged model.

    lc_c: inverse regularisation strength of the length control, None chooses it by cross-validation as alpaca_eval
    does. leaderboard: a CSV in alpaca_eval's format, which is written with the same rows. rule: "default" finds
    difficulties by instruction, "alpaca-eval" as published figures were made (see win_rates.measure_annotations).
    """
    if rule not in RULES:
        raise UsageError(f"--rule {rule}: {suggest(rule, RULES) or 'known: ' + ', '.join(RULES)}")
    if lc_c is not None and not (math.isfinite(lc_c) and lc_c > 0):
        raise UsageError(f"--lc-c {lc_c}: must be a number above 0; alpaca_eval's grid is 1e-4 to 1e4")
    if path.name.removesuffix(".gz").endswith(".csv"):
        if lc_c is not None:
            raise UsageError(f"--lc-c {lc_c}: {path} is a leaderboard, which has no answers to fit; give annotations")
        rows = read_leaderboard(path)
        printed = [_row_of_leaderboard(row) for row in rows]
    else:
        measured = measure_annotations(read_annotations(path), lc_c, rule)
        rows = [leaderboard_row(row) for row in measured]
        printed = [_row_of_model(row, rule) for row in measured]
    if leaderboard is not None:
        write_leaderboard(leaderboard, [replace(row, name=csv_cell(row.name)) for row in rows])
    print_rows(printed, json)


def _row_of_model(row: ModelRow, rule: str) -> ScoreRow:
    metrics = {
        name: Metric(measurement.value, measurement.n, measurement.n_unscored)
        if name == LENGTH
        else Metric(
            measurement.value,
            measurement.n,
            measurement.n_unscored,
            measurement.standard_error,
            measurement.low,
            measurement.high,
        )
        for name, measurement in row.measurements.items()
    }
    facts: dict[str, object] = {"baseline": row.baseline, **({"judge": row.judge} if row.judge else {})}
    facts |= {"rule": rule, **({} if row.c is None else {"lc_c": row.c})}
    return ScoreRow(row.model, metrics, row.notes, facts)


def _row_of_leaderboard(row: LeaderboardRow) -> ScoreRow:
    figures = {
        "win_rate": (row.win_rate, row.standard_error),
        "discrete_win_rate": (row.discrete_win_rate, None),
        "lc_win_rate": (row.length_controlled_winrate, row.lc_standard_error),
        "average_length": (row.avg_length, None),
    }
    n = row.n_total or 0
    metrics = {name: Metric(value, n, 0, error) for name, (value, error) in figures.items() if value is not None}
    return ScoreRow(row.name, metrics, ["figures of the leaderboard file, not computed here"])
