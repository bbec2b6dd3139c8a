"""A run's record becomes a table: its rows and columns, who differs from whom, and where it all comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard.alike import alike_lines
from ropo_bench.leaderboard.cells import Column, Leaderboard, Row
from ropo_bench.leaderboard.joined import joined
from ropo_bench.leaderboard.measured import Measured, answers_of, comparisons, measured, stages_of
from ropo_bench.leaderboard.notes import dagger, found_canaries, notes, uncovered
from ropo_bench.leaderboard.rates import choice_lines, neighbours_of, rate_lines
from ropo_bench.recipes.files import suggest
from ropo_bench.recipes.suite import PrimaryRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.store import Store

SFT = "SFT"
PENDING = "pending"


def leaderboard(store: Store, names: Sequence[str] | str, against: str | None = None) -> Leaderboard:
    """The table of a run, finished or not, or of several side by side.

    against: the row that all others are tested against first, in place of what the suite declares. Raises UsageError
    when there is no such run, or runs differ in what makes them comparable (see `joined`).
    """
    names = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    record = joined(store, names)
    request = record["request"]
    primary = primary_of(record, against)
    tasks = [TaskRecipe.model_validate(task) for task in request["tasks"]]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in record["rows"]:
        groups.setdefault(row["name"], []).append(row)
    measured_rows = {task.name: _measured_rows(store, task, groups) for task in tasks}
    neighbours = neighbours_of(record)  # of another row's rate: measured, but no rows of the table
    groups = {label: seeds for label, seeds in groups.items() if label not in neighbours}
    found = {
        task: {label: row for label, row in rows.items() if label in groups} for task, rows in measured_rows.items()
    }
    rows = [_row(label, seeds, [found[task.name].get(label) for task in tasks]) for label, seeds in groups.items()]
    canaries = found_canaries(record)
    columns = [
        Column(t.name, c.metric, c.header + dagger(c, canaries.get(t.name, ())), c.decimals, c.better, t.is_tested(c))
        for t in tasks
        for c in t.columns
        if _measured_somewhere(rows, t.name, c.metric)
    ]
    shown = {(column.task, column.metric) for column in columns}
    rows = [replace(row, cells={key: cell for key, cell in row.cells.items() if key in shown}) for row in rows]
    return Leaderboard(
        title=f"{' + '.join(names)} · base {request['suite']['base']} · data {request['suite']['data']}",
        rows=rows,
        columns=columns,
        footers=[
            *alike_lines(store, tasks, _without_reference(found)),
            *_cautions(found),
            *notes(store, record, tasks),
            *uncovered(tasks, rows),
            *dict.fromkeys(line for name in names for line in rate_lines(store.read_run(name))),
            *choice_lines(record, tasks, measured_rows),
        ],
        comparisons=comparisons(store, tasks, found, primary),
        primary=None if primary is None else primary.model_dump(),
        provenance=record["provenance"],
    )


def _measured_rows(
    store: Store, task: TaskRecipe, groups: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Measured]:
    """Every row that all seeds have finished."""
    stages = {label: stages_of(store, seeds, task) for label, seeds in groups.items()}
    return {
        label: measured(
            store, task, own, [row["seed"] for row in groups[label]], answers_of(store, groups[label], task)
        )
        for label, own in stages.items()
        if own
    }


def primary_of(record: Mapping[str, Any], against: str | None = None) -> PrimaryRecipe | None:
    """What a run's tables test first: against this row, or as its suite says; raises UsageError for no such row."""
    declared = record["request"]["suite"].get("primary")
    primary = None if declared is None else PrimaryRecipe.model_validate(declared)
    if against is None:
        return primary
    rows = list(dict.fromkeys(row["name"] for row in record["rows"]))
    if against not in rows:
        raise UsageError(f"--against {against}: no such row; {suggest(against, rows) or 'known: ' + ', '.join(rows)}")
    return PrimaryRecipe(against=against, columns=None if primary is None else primary.columns)


def _is_reference(label: str) -> bool:
    """Whether a row is the SFT model, or in a table of two runs one of theirs (see joined)."""
    return label == SFT or label.startswith(f"{SFT} (")


def _without_reference(found: Mapping[str, Mapping[str, Measured]]) -> dict[str, dict[str, Measured]]:
    """The methods: that one answers as the model it started from is no second result."""
    return {
        task: {label: row for label, row in rows.items() if not _is_reference(label)} for task, rows in found.items()
    }


def _cautions(found: Mapping[str, Mapping[str, Measured]]) -> list[str]:
    """What must be known beside single cells. found: by task, then by row."""
    return [
        f"{task}, {label}: {caution}"
        for task, rows in found.items()
        for label, row in rows.items()
        for caution in row.cautions
    ]


def _row(label: str, seeds: Sequence[Mapping[str, Any]], found: Sequence[Measured | None]) -> Row:
    """One method over its seeds; a cell needs all of them."""
    trained = [row["training"] for row in seeds if row["training"] is not None]
    states = [row["state"] for row in seeds if row["state"] != "done"]
    peaks = [t["peak_memory_bytes"] for t in trained if t["peak_memory_bytes"] is not None]
    return Row(
        name=label,
        seeds=tuple(row["seed"] for row in seeds),
        trainable_params=trained[0]["trainable_params"] if trained else None,
        percent=100 * trained[0]["trainable_params"] / trained[0]["total_params"] if trained else None,
        train_seconds=sum(t["seconds"] for t in trained) / len(trained) if trained else None,
        peak_memory_bytes=max(peaks, default=None),
        cells={(cell.task, cell.metric): cell for one in found if one is not None for cell in one.cells},
        state=_state(states, len(seeds)),
        reference=_is_reference(label),
    )


def _state(open_states: Sequence[str], num_seeds: int) -> str:
    """Of a row from those of its seeds that are not done: a failure first, else how many seeds are done."""
    failures = [state for state in open_states if state != PENDING]
    if failures or not open_states:
        return failures[0] if failures else "done"
    return PENDING if num_seeds == 1 else f"{PENDING}, {num_seeds - len(open_states)}/{num_seeds} seeds"


def _measured_somewhere(rows: Sequence[Row], task: str, metric: str) -> bool:
    """Whether a column has an item in any row, or may still get one: a judge without log-probs fills other ones."""
    cells = [row.cells.get((task, metric)) for row in rows]
    return any(cell is not None and cell.n + cell.n_unscored for cell in cells) or not any(cells)
