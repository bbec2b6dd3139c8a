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
    if sentences := _sentences(board):
        return [f"{line[0].upper()}{line[1:]}." for line in sentences]
    measured = sum(bool(row.cells) for row in board.rows)
    if measured < 2:
        return [f"There is nothing to compare yet: {measured} of {len(board.rows)} rows are measured."]
    return ["No column of this table is compared between rows."]


def _sentences(board: Leaderboard) -> list[str]:
    """The first lines of the conclusions, one a column; the others say how to read a table."""
    return conclusions(board)[: len(separations(board))]


def notes(board: Leaderboard) -> list[str]:
    """What stands under the table: its notes without those that `findings` or the provenance tells."""
    elsewhere = {*_sentences(board), *(footer for footer in board.footers if is_fact(footer))}
    return [note for note in text_table(board).notes if note not in elsewhere]


def comparison_table(board: Leaderboard) -> PlainTable | None:
    """Every paired difference of the table, a metric after the other, the clearest first."""
    lines = []
    for separation in separations(board).values():
        key = (separation.column.task, separation.column.metric)
        own = [difference for difference in board.comparisons if (difference.task, difference.metric) == key]
        own = [difference for difference in own if (difference.a, difference.b) in separation.differences]
        own.sort(key=lambda difference: (difference.adjusted or 0.0, difference.p_value))
        lines += [_line(separation, difference) for difference in own]
    if not lines:
        return None
    caption = f"Paired differences on common prompts. Bold: separated, p < {ALPHA:g} adjusted over this whole table."
    headers = ["difference", "metric", "estimate", "95 % interval", "p (adjusted)", "prompts", "test"]
    return PlainTable(caption, headers, lines)


def _line(separation: Separation, difference: Comparison) -> Line:
    decimals, low, high = separation.column.decimals, difference.low, difference.high
    interval = NOTHING if low is None or high is None else f"{low:,.{decimals}f} to {high:,.{decimals}f}"
    adjusted = NOTHING if difference.adjusted is None else _probability(difference.adjusted)
    column = f"{separation.column.task} {separation.column.header}"
    numbers = map(minus, (f"{difference.estimate:+,.{decimals}f}", interval, adjusted))
    cells = [column, *numbers, f"{difference.n:,}", difference.test]
    return Line(f"{difference.a} − {difference.b}", cells, strong=is_separated(difference))


def _probability(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
