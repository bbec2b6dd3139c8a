"""The first paragraph: which rows differ, by how much, and what the table could have seen; and all differences."""

from __future__ import annotations

from ropo_bench.leaderboard.board import NOTHING, Leaderboard
from ropo_bench.leaderboard.cells import text_table
from ropo_bench.leaderboard.conclusions import conclusions
from ropo_bench.leaderboard.separation import ALPHA, Separation, is_separated, separations
from ropo_bench.report.page.provenance import is_fact
from ropo_bench.report.sections.tables import Line, PlainTable, minus
from ropo_bench.types import Comparison


def findings(board: Leaderboard) -> list[str]:
    """A sentence for each compared column; what is missing where nothing is compared."""
    if told := _told(board):
        return [f"{line[0].upper()}{line[1:]}." for line in told]
    measured = sum(bool(row.cells) for row in board.rows)
    if measured < 2:
        return [f"There is nothing to compare yet: {measured} of {len(board.rows)} rows are measured."]
    return ["No column of this table is compared between rows."]


def _told(board: Leaderboard) -> list[str]:
    """The first lines of the conclusions, one a column; the others say how to read a table."""
    return conclusions(board)[: len(separations(board))]


def notes(board: Leaderboard) -> list[str]:
    """What stands under the table: its notes without those that `findings` or the provenance tells."""
    elsewhere = {*_told(board), *(footer for footer in board.footers if is_fact(footer))}
    return [note for note in text_table(board).notes if note not in elsewhere]


def comparison_table(board: Leaderboard) -> PlainTable | None:
    """Every paired difference of the table, a metric after the other, the clearest first."""
    lines = []
    for found in separations(board).values():
        own = [each for each in board.comparisons if (each.a, each.b) in found.differences]
        own = [each for each in own if (each.task, each.metric) == (found.column.task, found.column.metric)]
        lines += [_line(found, each) for each in sorted(own, key=lambda one: (one.adjusted or 0.0, one.p_value))]
    if not lines:
        return None
    caption = f"Paired differences on common prompts. Bold: separated, p < {ALPHA:g} adjusted over this whole table."
    headers = ["difference", "metric", "estimate", "95 % interval", "p (adjusted)", "prompts", "test"]
    return PlainTable(caption, headers, lines)


def _line(found: Separation, one: Comparison) -> Line:
    decimals = found.column.decimals
    interval = (
        NOTHING if one.low is None or one.high is None else f"{one.low:,.{decimals}f} to {one.high:,.{decimals}f}"
    )
    cells = [f"{found.column.task} {found.column.header}", f"{one.estimate:+,.{decimals}f}", interval]
    cells += [NOTHING if one.adjusted is None else _probability(one.adjusted), f"{one.n:,}", one.test]
    return Line(f"{one.a} − {one.b}", [cells[0], *map(minus, cells[1:4]), *cells[4:]], strong=is_separated(one))


def _probability(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
