"""What a table may say about its rows: who is separated from whom, which is best, and what it could have seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ropo_bench.leaderboard.board import Column, Leaderboard, Row
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
    """Whether two rows differ significantly: p below ALPHA after correction for all comparisons of the table."""
    return difference is not None and difference.adjusted is not None and difference.adjusted < ALPHA


def reverse(difference: Comparison) -> Comparison:
    """The same comparison the other way round: b - a in place of a - b, its interval mirrored."""
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
    separated = {}
    for column in board.columns:
        key = (column.task, column.metric)
        own = [difference for difference in board.comparisons if (difference.task, difference.metric) == key]
        if column.tested and own:
            both = [*own, *(reverse(difference) for difference in own)]
            differences = {(difference.a, difference.b): difference for difference in both}
            separated[key] = _separation(board, column, differences)
    return separated


def _separation(board: Leaderboard, column: Column, differences: Mapping[tuple[str, str], Comparison]) -> Separation:
    from ropo_bench.statistics.letters import letters  # numpy: not for a table of one row

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
    """The smallest true difference that this column finds with 80 % power in its least certain comparison, in its
    unit.

    Of the primary comparisons, where there are some, else with the reference, else of any two rows. level: two-sided
    error of one test; ALPHA over the number of comparisons of its family is what is asked of the smallest p-value.
    """
    from ropo_bench.statistics.crossed import Parts
    from ropo_bench.statistics.power import minimum_detectable_effect, visible_effect

    effects = []
    for difference in select_comparisons(board, separation):
        if difference.parts:
            effects.append(visible_effect(Parts(**difference.parts), level, columns=shared_level(board, level)))
        elif difference.standard_error:
            effects.append(minimum_detectable_effect(difference.standard_error, difference.degrees, alpha=level))
    return max(effects, default=None)


def select_comparisons(board: Leaderboard, separation: Separation) -> list[Comparison]:
    """The comparisons that a column is about: the primary ones, else those with the reference, else all."""
    differences = list(separation.differences.values())
    references = {row.name for row in board.rows if row.reference}
    primary = [difference for difference in differences if difference.family == "primary"]
    return primary or [d for d in differences if not references or d.b in references]


def family_size(board: Leaderboard) -> int:
    """How many comparisons are tested together with those that a column is about."""
    return sum(c.family == "primary" for c in board.comparisons) or len(board.comparisons)


def shared_level(board: Leaderboard, level: float) -> float:
    """By how much more the part that all comparisons with one reference share is held (statistics.multiplicity)."""
    from ropo_bench.statistics.multiplicity import SHARED, share_seeds

    primary = [c for c in board.comparisons if c.family == "primary"]
    if level >= ALPHA or not share_seeds(primary):
        return 0.0
    return len(primary) / min(len(primary), SHARED * len({(c.task, c.metric) for c in primary}))
