"""Runs become a table: its rows and columns, who differs from whom, and where it all comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard.agreement import alike_lines
from ropo_bench.leaderboard.cells import Column, Leaderboard, Row
from ropo_bench.leaderboard.join import join_runs
from ropo_bench.leaderboard.measurements import RowMeasurements, compare_stored_rows, measure_row
from ropo_bench.leaderboard.notes import canary_results, dagger, find_uncovered, notes
from ropo_bench.leaderboard.rates import choice_lines, rate_lines
from ropo_bench.recipes.files import suggest
from ropo_bench.recipes.suite import PrimaryRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import DONE, PENDING, SFT, RowRecord


def leaderboard(runs: Run | Sequence[Run], against: str | None = None) -> Leaderboard:
    """The table of a run, finished or not, or of several side by side.

    against: the row that all others are tested against first, in place of what the suite declares. Raises UsageError
    when there is no such row, or runs differ in what makes them comparable (see `join_runs`).
    """
    runs = [runs] if isinstance(runs, Run) else list({run.name: run for run in runs}.values())
    run = join_runs(runs)
    suite, tasks = run.record.request.suite, run.record.request.tasks
    primary = primary_of(run, against)
    labels = run.table_rows()  # not those of another row's rate, which are measured all the same
    measured = {task.name: measure_rows(run, task) for task in tasks}
    table = {task: {label: row for label, row in rows.items() if label in labels} for task, rows in measured.items()}
    rows = [_row(label, run.rows[label], [table[task.name].get(label) for task in tasks]) for label in labels]
    canaries = canary_results(run.record)
    columns = [
        Column(t.name, c.metric, c.header + dagger(c, canaries.get(t.name, ())), c.decimals, c.better, t.is_tested(c))
        for t in tasks
        for c in t.columns
        if _measured_somewhere(rows, t.name, c.metric)
    ]
    places = {(column.task, column.metric) for column in columns}
    rows = [replace(row, cells={key: cell for key, cell in row.cells.items() if key in places}) for row in rows]
    return Leaderboard(
        title=f"{run.name} · base {suite.base} · data {suite.data}",
        rows=rows,
        columns=columns,
        footers=[
            *alike_lines(run.store, tasks, _without_reference(table)),
            *_cautions(table),
            *notes(run),
            *find_uncovered(tasks, rows),
            *dict.fromkeys(line for own in runs for line in rate_lines(own.record)),
            *choice_lines(run.record, measured),
        ],
        comparisons=compare_stored_rows(run.store, tasks, table, primary),
        primary=None if primary is None else primary.model_dump(),
        provenance=run.record.provenance,
    )


def measure_rows(run: Run, task: TaskRecipe) -> dict[str, RowMeasurements]:
    """Every row that all seeds have finished, by label."""
    measured = {}
    for label, seeds in run.seeds.items():
        scores = run.score_stages(label, task.name)
        if scores:
            answers = [stage for stage in run.completion_stages(label, task.name) if stage.path.exists()]
            measured[label] = measure_row(run.store, task, scores, seeds, answers)
    return measured


def primary_of(run: Run, against: str | None = None) -> PrimaryRecipe | None:
    """What a run's tables test first: against this row, or as its suite says; raises UsageError for no such row."""
    declared = run.record.request.suite.primary
    if against is None:
        return declared
    rows = list(run.rows)
    if against not in rows:
        raise UsageError(f"--against {against}: no such row; {suggest(against, rows) or 'known: ' + ', '.join(rows)}")
    return PrimaryRecipe(against=against, columns=None if declared is None else declared.columns)


def _is_reference(label: str) -> bool:
    """Whether a row is the SFT model, or in a table of two runs one of theirs (see join_runs)."""
    return label == SFT or label.startswith(f"{SFT} (")


def _without_reference(
    measured: Mapping[str, Mapping[str, RowMeasurements]],
) -> dict[str, dict[str, RowMeasurements]]:
    """The methods: that one answers as the model it started from is no second result."""
    return {
        task: {label: row for label, row in rows.items() if not _is_reference(label)}
        for task, rows in measured.items()
    }


def _cautions(measured: Mapping[str, Mapping[str, RowMeasurements]]) -> list[str]:
    """What must be known beside single cells. measured: by task, then by row."""
    return [
        f"{task}, {label}: {caution}"
        for task, rows in measured.items()
        for label, row in rows.items()
        for caution in row.cautions
    ]


def _row(label: str, seeds: Sequence[RowRecord], measured: Sequence[RowMeasurements | None]) -> Row:
    """One method over its seeds; a cell needs all of them. measured: by task."""
    trained = [row.training for row in seeds if row.training is not None]
    states = [row.state for row in seeds if row.state != DONE]
    peaks = [t["peak_memory_bytes"] for t in trained if t["peak_memory_bytes"] is not None]
    return Row(
        name=label,
        seeds=tuple(row.seed for row in seeds),
        trainable_params=trained[0]["trainable_params"] if trained else None,
        percent=100 * trained[0]["trainable_params"] / trained[0]["total_params"] if trained else None,
        train_seconds=sum(t["seconds"] for t in trained) / len(trained) if trained else None,
        peak_memory_bytes=max(peaks, default=None),
        cells={(cell.task, cell.metric): cell for row in measured if row is not None for cell in row.cells},
        state=_state(states, len(seeds)),
        reference=_is_reference(label),
    )


def _state(open_states: Sequence[str], num_seeds: int) -> str:
    """Of a row from those of its seeds that are not done: a failure first, else how many seeds are done."""
    failures = [state for state in open_states if state != PENDING]
    if failures or not open_states:
        return failures[0] if failures else DONE
    return PENDING if num_seeds == 1 else f"{PENDING}, {num_seeds - len(open_states)}/{num_seeds} seeds"


def _measured_somewhere(rows: Sequence[Row], task: str, metric: str) -> bool:
    """Whether a column has an item in any row, or may still get one: a judge without log-probs fills other ones."""
    cells = [row.cells.get((task, metric)) for row in rows]
    return any(cell is not None and cell.n + cell.n_unscored for cell in cells) or not any(cells)
