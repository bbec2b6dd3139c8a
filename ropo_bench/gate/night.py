"""A night: the numbers of one run as the gate needs them, from a leaderboard, and as one line of a history."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.leaderboard.board import Row as BoardRow
from ropo_bench.types import Measurement

SCHEMA = 1

Verdict = Literal["GO", "SUSPECTED", "REGRESSION", "INCONCLUSIVE", "INCOMPLETE"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a night: the mean over its seeds.

    measurement: hash of all numbers of its row on its task; the same hash is the same measurement, not a second
    one that agrees. items: scored and unscored, a seed. standard_error: over prompts (and seeds), in the column's
    unit. seed_sd: standard deviation of one seed's own value; None with one seed.
    """

    value: float | None
    seeds: int
    items: int
    measurement: str
    standard_error: float | None = None
    seed_sd: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One method of a night; cells by column, "task.metric". seeds: () where an older history has not kept them."""

    state: str
    cells: Mapping[str, Cell]
    reference: bool = False
    seeds: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """What the gate knows of "task.metric"."""

    decimals: int
    better: Literal["higher", "lower", "none"]
    tested: bool


@dataclass(frozen=True, slots=True)
class Night:
    """One line of a history.

    time: UTC, as provenance writes it. recipes: hashes of what was asked for ("method ropo", "task mt-bench" ...).
    repeats: the same code with other seeds. again: the re-run of suspected cells with fresh seeds. anchor: whether
    the drift since this night is watched, not since an earlier one. verdicts: row -> column -> verdict.
    """

    time: str
    run: str
    suite: str
    columns: Mapping[str, Column]
    rows: Mapping[str, Row]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    recipes: Mapping[str, str] = field(default_factory=dict)
    repeats: Sequence[Mapping[str, Row]] = ()
    again: Mapping[str, Row] = field(default_factory=dict)
    anchor: bool = False
    verdict: Verdict | None = None
    verdicts: Mapping[str, Mapping[str, Verdict]] = field(default_factory=dict)

    def cell(self, row: str, column: str) -> Cell | None:
        """A measured cell of a finished row."""
        return finished_cell(self.rows, row, column)


def finished_cell(rows: Mapping[str, Row], row: str, column: str) -> Cell | None:
    """A measured cell of a finished row, else None."""
    cell = rows[row].cells.get(column) if row in rows and rows[row].state == "done" else None
    return cell if cell is not None and cell.value is not None else None


def night_of(board: Leaderboard, run: str, suite: str, recipes: Mapping[str, str] | None = None) -> Night:
    """A leaderboard as a night; its time is that of its provenance."""
    columns = {f"{c.task}.{c.metric}": Column(c.decimals, c.better, c.tested) for c in board.columns}
    return Night(
        time=str(board.provenance.get("time_utc", "")),
        run=run,
        suite=suite,
        columns=columns,
        rows=rows_of(board),
        provenance=board.provenance,
        recipes=recipes or {},
    )


def rows_of(board: Leaderboard) -> dict[str, Row]:
    """The rows of a leaderboard."""
    return {row.name: Row(row.state, _cells(row), row.reference, row.seeds) for row in board.rows}


def _cells(row: BoardRow) -> dict[str, Cell]:
    numbers: dict[str, list[tuple[str, float | None, int]]] = {}
    for (task, metric), measurement in row.cells.items():
        numbers.setdefault(task, []).append((metric, measurement.value, measurement.n))
    hashes = {task: _hash([list(row.seeds), sorted(scores)]) for task, scores in numbers.items()}
    return {f"{task}.{metric}": _cell(m, hashes[task]) for (task, metric), m in row.cells.items()}


def _cell(measurement: Measurement, name: str) -> Cell:
    return Cell(
        value=measurement.value,
        seeds=measurement.num_seeds,
        items=(measurement.n + measurement.n_unscored) // measurement.num_seeds,
        measurement=name,
        standard_error=measurement.standard_error,
        seed_sd=measurement.seed_sd,
    )


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]


def to_plain(night: Night) -> dict[str, Any]:
    """A night as JSON; why a row failed stays in the night's report: it may name paths of the machine."""
    value = {"schema": SCHEMA, **asdict(night)}
    for rows in (value["rows"], value["again"], *value["repeats"]):
        for row in rows.values():
            row["state"] = row["state"].partition(":")[0]
    return value


def from_plain(value: Mapping[str, Any]) -> Night:
    """A night from JSON; raises KeyError, TypeError or AttributeError for what `to_plain` has not written."""
    fields = {key: item for key, item in value.items() if key != "schema"}
    fields["columns"] = {name: Column(**column) for name, column in value["columns"].items()}
    fields["rows"] = _rows(value["rows"])
    fields["repeats"] = tuple(_rows(repeat) for repeat in value["repeats"])
    fields["again"] = _rows(value["again"])
    return Night(**fields)


def _rows(value: Mapping[str, Any]) -> dict[str, Row]:
    return {
        name: Row(
            row["state"],
            {column: Cell(**cell) for column, cell in row["cells"].items()},
            bool(row["reference"]),
            tuple(row.get("seeds", ())),
        )
        for name, row in value.items()
    }
