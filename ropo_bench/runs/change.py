"""Renaming and removing runs, and the folders in which what a run made lies."""

from __future__ import annotations

import shutil
from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.runs.progress_file import read_progress
from ropo_bench.runs.reading import open_run
from ropo_bench.store import Store, storage_errors

WHATS = ("model", "policy", "completions", "scores")


def rename_run(store: Store, name: str, new: str) -> None:
    """Give a run another name; raises UsageError where that is taken, or a process is at work on the run."""
    open_run(store, name)
    target = store.run_folder(new)
    if target.exists():
        raise UsageError(f"{new}: {target} is there already; give another name")
    _refuse_running(store, name)
    with storage_errors(target):
        store.run_folder(name).rename(target)


def remove_run(store: Store, name: str) -> None:
    """Remove a run's record and reports; its stages stay until `runs gc`. A record need not be readable."""
    folder = store.run_folder(name)
    if not (folder / "run.json").exists():
        store.read_run(name)  # raises, with the names that there are
    _refuse_running(store, name)
    with storage_errors(folder):
        (folder / "run.json").unlink()
        shutil.rmtree(folder)


def _refuse_running(store: Store, name: str) -> None:
    line = read_progress(store.run_folder(name))
    if line is not None:
        raise UsageError(f"{name}: process {line['pid']} on {line['host']} is at work on it; wait for it, or stop it")


def path_of(store: Store, name: str, row: str, seed: int, what: str, task: str | None) -> Path:
    """The folder of something that a row of a run made, checked; raises UsageError where there is no such thing."""
    run = open_run(store, name)
    if row not in run.rows:
        raise UsageError(f"--row {row}: run {name} has no such row; it has {', '.join(run.rows)}")
    record = next((item for item in run.rows[row] if item.seed == seed), None)
    if record is None:
        raise UsageError(f"--seed {seed}: row {row} has seeds {', '.join(map(str, run.seeds[row]))}")
    if what not in WHATS:
        raise UsageError(f"--what {what}: give one of {', '.join(WHATS)}")
    if what == "model":
        folder = run.model_folder(record)
    elif what == "policy":
        folder = None if record.policy is None else store.stage("policy", record.policy).folder("policy")
    else:
        keys = record.scores if what == "scores" else record.completions
        chosen = task or (next(iter(keys)) if len(keys) == 1 else None)
        if keys and chosen not in keys:
            raise UsageError(f"--task {chosen or ''}: give one of {', '.join(keys)}")
        folder = None if chosen is None or chosen not in keys else store.stage(what, keys[chosen]).folder()
    if folder is None:
        raise UsageError(f"run {name}: {row} seed {seed} has no {what} here")
    return folder
