"""What a table may say about its rows: who is separated from whom, which is best, and what it could have seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ropo_bench.reporting.board import Column, Leaderboard, Row
from ropo_bench.types import Comparison

ALPHA = 0.05  # two-sided, of a whole table


@dataclass(frozen=True, slots=True)
class Separation:
    """One tested column. letters: row -> the groups it is in, rows that share one are not separated.

    best: the row that is better than every other one, each separated; None where there is none. differences: (a, b)
    -> the comparison a - b, in both directions.
    """

    column: Column
    letters: Mapping[str, str]
    best: str | None
    differences: Mapping[tuple[str, str], Comparison]


def is_separated(difference: Comparison | None) -> bool:
    """Whether two rows differ after Holm's correction over the whole table."""
    return difference is not None and difference.adjusted is not None and difference.adjusted < ALPHA


def turned(difference: Comparison) -> Comparison:
    """b - a in place of a - b."""
    low, high = difference.low, difference.high
    return replace(
        difference,
        a=difference.b,
        b=difference.a,
        estimate=-difference.estimate,
        low=None if high is None else -high,
        high=None if low is None else -low,
    )


def separations(board: Leaderboard) -> dict[tuple[str, str], Separation]:
    """By (task, metric), every tested column on which two rows at least were compared."""
    found = {}
    for column in board.columns:
        own = [one for one in board.comparisons if (one.task, one.metric) == (column.task, column.metric)]
        if column.tested and own:
            differences = {(one.a, one.b): one for one in own} | {(one.b, one.a): turned(one) for one in own}
            found[column.task, column.metric] = _separation(board, column, differences)
    return found


def _separation(board: Leaderboard, column: Column, differences: Mapping[tuple[str, str], Comparison]) -> Separation:
    from ropo_bench.statistics import letters  # numpy: not for a table of one row

    compared = {name for pair in differences for name in pair}
    cells = {row.name: row.cells.get((column.task, column.metric)) for row in board.rows if row.name in compared}
    values = {name: cell.value for name, cell in cells.items() if cell is not None and cell.value is not None}
    sign = -1 if column.better == "higher" else 1
    ordered = sorted(values, key=lambda name: sign * values[name])

    def separated(a: str, b: str) -> bool:
        return is_separated(differences.get((a, b)))

    others = {row.name for row in board.rows if _is_measured(row, column)} - {ordered[0]}
    leads = all(separated(ordered[0], other) for other in others) and column.better != "none"
    return Separation(column, letters(ordered, separated), ordered[0] if leads else None, differences)


def _is_measured(row: Row, column: Column) -> bool:
    cell = row.cells.get((column.task, column.metric))
    return cell is not None and cell.value is not None


def detectable(board: Leaderboard, separation: Separation, level: float) -> float | None:
    """The smallest true difference to the reference that this column finds with 80 % power, in its unit.

    Of its least certain comparison (with any row where there is no reference). level: two-sided error of one test;
    ALPHA over the number of the table's comparisons is what Holm asks of its smallest p-value.
    """
    from ropo_bench.statistics import minimum_detectable_effect

    references = {row.name for row in board.rows if row.reference}
    degrees = [len(row.seeds) - 1 for row in board.rows if row.seeds]
    seed_degrees = max(sum(degrees) - max(degrees, default=0), max(degrees, default=0))
    pairs = {pair: one for pair, one in separation.differences.items() if not references or pair[1] in references}
    effects = [
        minimum_detectable_effect(one.standard_error, one.degrees, alpha=level, seed_degrees=seed_degrees)
        for one in pairs.values()
        if one.standard_error
    ]
    return max(effects, default=None)
