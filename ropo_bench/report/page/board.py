"""The leaderboard as the page shows it: what a cell says in the table, and in a sentence below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ropo_bench.leaderboard.board import Column, Leaderboard, Row
from ropo_bench.leaderboard.cells import Cell, text_table
from ropo_bench.leaderboard.separation import Separation, is_separated, separations
from ropo_bench.report.page.findings import notes
from ropo_bench.report.sections.tables import minus
from ropo_bench.types import Comparison

# What the training cost: header of text_table -> the number that its column sorts by.
_TRAINING: Mapping[str, Callable[[Row], float | None]] = {
    "trainable": lambda row: row.trainable_params,
    "%": lambda row: row.percent,
    "seconds": lambda row: row.train_seconds,
    "peak GiB": lambda row: row.peak_memory_bytes,
    "seeds": lambda row: len(row.seeds),
}


@dataclass(frozen=True, slots=True)
class Header:
    """A sortable header; order: of its first click, the better end on top. last: of its group."""

    text: str
    order: str
    last: bool


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell as text, the number that it sorts by, and its sentence. last: of its group."""

    text: Cell
    number: float | None
    says: str
    last: bool


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row of the table; state is empty when it is done."""

    name: str
    state: str
    reference: bool
    cells: Sequence[ShownCell]


@dataclass(frozen=True, slots=True)
class ShownBoard:
    """The whole table: group titles with their number of columns, headers, rows, and the notes below."""

    groups: Sequence[tuple[str, int]]
    headers: Sequence[Header]
    rows: Sequence[ShownRow]
    notes: Sequence[str]


def shown_board(board: Leaderboard) -> ShownBoard:
    """The table with its reference rows first, a group of columns a task, and what the training cost last."""
    table = text_table(board)
    separated = separations(board)
    columns = iter(board.columns)
    headers: list[Header] = []
    cells: list[list[ShownCell]] = [[] for _ in board.ordered_rows]
    for group in table.groups:
        for j, header in enumerate(group.headers):
            last = j == len(group.headers) - 1
            column = None if group is table.groups[-1] else next(columns)
            lower = column is None or column.better == "lower"
            headers.append(Header(header, "ascending" if lower else "descending", last))
            for i, row in enumerate(board.ordered_rows):
                text = group.cells[i][j]
                if column is None:
                    cells[i].append(_cost(row, header, text, last))
                else:
                    cells[i].append(_show_cell(row, column, text, separated.get((column.task, column.metric)), last))
    rows = [
        ShownRow(row.name, "" if row.state == "done" else row.state, row.reference, own)
        for row, own in zip(board.ordered_rows, cells, strict=True)
    ]
    return ShownBoard([(group.title, len(group.headers)) for group in table.groups], headers, rows, notes(board))


def _show_cell(row: Row, column: Column, text: Cell, separation: Separation | None, last: bool) -> ShownCell:
    measurement = row.cells.get((column.task, column.metric))
    where = f"{row.name}, {column.task} {column.header}"
    if measurement is None:
        return ShownCell(text, None, f"{where}: {'not measured' if row.state == 'done' else row.state}.", last)
    total = measurement.n + measurement.n_unscored
    sentences = [f"{where}: {minus(text.estimate)}"]
    if text.interval:
        sentences.append(f"95 % interval {minus(text.interval)}")
    sentences.append(f"{measurement.n:,} of {total:,} items scored" if measurement.n_unscored else f"{total:,} items")
    sentences.append(f"{measurement.num_seeds} seeds" if measurement.num_seeds > 1 else "one seed")
    if separation is not None and row.name in separation.letters:
        sentences.append(_name_alike(row.name, separation.differences))
    return ShownCell(text, measurement.value, "; ".join(sentences) + ".", last)


def _name_alike(name: str, differences: Mapping[tuple[str, str], Comparison]) -> str:
    same = [b for (a, b), difference in differences.items() if a == name and not is_separated(difference)]
    return f"not separated from {', '.join(same)}" if same else "separated from every other row"


def _cost(row: Row, header: str, text: Cell, last: bool) -> ShownCell:
    number = _TRAINING[header](row)
    says = f"{row.name}, training: {header} {text.value}." if number else ""
    return ShownCell(text, number or None, says, last)
