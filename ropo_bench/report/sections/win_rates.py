"""Win rates: every row against the baseline's answers, from the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropo_bench.leaderboard.board import Column, Leaderboard
from ropo_bench.report.figures.forest import Value, forest, interval_of
from ropo_bench.report.figures.style import INK, grid, marks
from ropo_bench.report.sections.metrics import EVEN, is_win_rate
from ropo_bench.report.sections.section import Section
from ropo_bench.report.sections.stored import StoredRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class WinRates:
    """One column of win rates, 0..100: its rows with their intervals, in the table's order."""

    task: str
    header: str
    rows: Mapping[str, Value]


def gather(run: StoredRun) -> list[WinRates] | None:
    """The win rates of the table, a column after the other, of those that have a row to show."""
    columns = [column for column in run.board.columns if is_win_rate(column.metric) and column.better == "higher"]
    win_rates = [WinRates(column.task, column.header, _rows(run.board, column)) for column in columns]
    return [column for column in win_rates if column.rows] or None


def left_out(run: StoredRun, _data: Sequence[WinRates] | None) -> str | None:
    """Rows without a win rate; the reference row may be the baseline itself."""
    return run.missing(run.others, run.rows_with(is_win_rate))


def draw(data: Sequence[WinRates], board: Leaderboard) -> Figure | None:
    """A forest plot a win rate: rows with intervals, the line at 50."""
    styles = marks(board)
    tallest = max(len(column.rows) for column in data)
    figure, axes = grid(len(data), 2, 4.6, 0.9 + 0.28 * tallest)
    for panel, column in zip(axes, data, strict=True):
        forest(panel, column.rows, styles, decimals=1)
        panel.axvline(EVEN, color=INK, linewidth=1)
        panel.set_title(f"{column.task}: {column.header}")
        panel.set_xlabel("% of battles won")
    return figure


def _rows(board: Leaderboard, column: Column) -> dict[str, Value]:
    values = {}
    for row in board.ordered_rows:
        value = interval_of(row.cells.get((column.task, column.metric)))
        # Where the reference row is its own baseline it is at 50 without any error, which says nothing.
        if value is not None and not (row.reference and value.low in (None, value.high)):
            values[row.name] = value
    return values


SECTION = Section(
    name="win-rates",
    title="Win rates",
    caption=(
        "Against the baseline's answers to the same prompts, with 95 % intervals; at 50 a row is as good as it."
    ),
    gather=gather,
    left_out=left_out,
    draw=draw,
)
