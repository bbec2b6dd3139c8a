"""What runs list, show and status tell of a run: its rows, its state, its disk, its money."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ropo_bench.errors import StorageError
from ropo_bench.runs.disk import WEIGHTS, is_scored, needed_weights, num_bytes, open_runs, run_size, stages_of
from ropo_bench.runs.progress_file import read_progress
from ropo_bench.runs.reading import Run, open_run
from ropo_bench.runs.record import DONE, FAILED, RowRecord
from ropo_bench.store import Store


def list_runs(store: Store) -> list[dict[str, Any]]:
    """Every run of a store, by name; one whose record cannot be read says so and has no sizes."""
    runs: list[Run] = []
    broken: dict[str, str] = {}
    for name in store.run_names():
        try:
            runs.append(open_run(store, name))
        except StorageError as error:
            broken[name] = str(error)
    lines = [_line(run) | asdict(run_size(run, runs)) for run in runs]
    lines += [{"name": name, "state": f"cannot be read: {reason}"} for name, reason in broken.items()]
    return sorted(lines, key=lambda line: str(line["name"]))


def _line(run: Run) -> dict[str, Any]:
    rows = run.record.rows
    return {
        "name": run.name,
        "suite": run.record.request.suite.name,
        "rows_done": sum(row.state == DONE for row in rows),
        "rows": len(rows),
        "made": run.record.provenance.get("time_utc"),
        "state": _state(run),
    }


def _state(run: Run) -> str:
    if read_progress(run.store.run_folder(run.name)) is not None and not run.record.complete:
        return "under way"
    if run.record.complete:
        return DONE
    failed = sum(row.state.startswith(FAILED) for row in run.record.rows)
    return f"{failed} failed" if failed else "unfinished"


def show_run(store: Store, name: str) -> dict[str, Any]:
    """A run's rows with the stages of each: key, bytes, whether it is there, and whether its weights may go."""
    run, runs = open_run(store, name), open_runs(store)
    needed = needed_weights(runs)
    rows = [_row(run, row) | {"stages": _stages(run, row, needed)} for row in run.record.rows]
    return _line(run) | asdict(run_size(run, runs)) | {"rows": rows}


def _row(run: Run, row: RowRecord) -> dict[str, Any]:
    return {"name": row.name, "seed": row.seed, "state": row.state, "num_scored": len(row.scores)}


def _stages(run: Run, row: RowRecord, needed: set[tuple[str, str]]) -> list[dict[str, Any]]:
    tasks = {("scores", key): task for task, key in row.scores.items()}
    tasks |= {("completions", key): task for task, key in row.completions.items()}
    lines = []
    for stage in stages_of(run, row):
        weights = stage.path / WEIGHTS[stage.name] if stage.name in WEIGHTS else None
        goes = weights is not None and row.policy is not None and is_scored(run, row)
        may_go = goes and (stage.name, stage.key) not in needed
        lines.append(
            {
                "stage": stage.name,
                "task": tasks.get((stage.name, stage.key)),
                "key": stage.key,
                "bytes": num_bytes(stage.path),
                "state": ("pruned" if stage.pruned else DONE) if stage.done else "missing",
                "may_go_bytes": num_bytes(weights) if may_go and weights is not None else 0,
            }
        )
    return lines


def run_status(store: Store, name: str) -> dict[str, Any]:
    """How far a run is: its rows, the stage under way (None: no process is at work), failures, dollars so far."""
    run = open_run(store, name)
    rows = [_row(run, row) for row in run.record.rows]
    return _line(run) | {
        "rows": rows,
        "num_tasks": len(run.tasks),
        "under_way": read_progress(store.run_folder(name)),
        "usd": _cost(run),
    }


def _cost(run: Run) -> float:
    """Dollars that the judging of finished scores and canaries took, at the recipes' prices."""
    stages = {key: store_stage for row in run.record.rows for key, store_stage in _score_stages(run, row)}
    tallies = [stage.manifest.get("tally") for stage in stages.values() if stage.done]
    tallies += [manifest.get("tally") for manifest in run.record.canaries.values()]
    return sum(tally.get("cost_usd") or 0.0 for tally in tallies if tally)


def _score_stages(run: Run, row: RowRecord) -> list[tuple[str, Any]]:
    return [(key, run.store.stage("scores", key)) for key in row.scores.values()]
