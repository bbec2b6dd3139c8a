"""What the runs of a store hold on disk: which stages each names, who else needs them, how many bytes they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ropo_bench.runs.reading import Run, open_run
from ropo_bench.runs.record import DONE, RowRecord
from ropo_bench.store import Stage, Store

WEIGHTS = {"policy": "policy", "merged": "model"}
"""Stage -> the folder in it that holds its weights; what lies beside (logs, certificates) is small and stays."""


@dataclass(frozen=True, slots=True)
class RunSize:
    """Bytes of the stages that a run names: those that no other run of the store names, and those that one does."""

    own_bytes: int
    shared_bytes: int


def open_runs(store: Store) -> list[Run]:
    """Every run of a store; raises StorageError for a record that cannot be read."""
    return [open_run(store, name) for name in store.run_names()]


def stages_of(run: Run, row: RowRecord) -> Iterator[Stage]:
    """The stages that a row of a run names, in the order in which they were made."""
    names = [("policy", row.policy), ("merged", row.merged)]
    names += [("completions", key) for key in row.completions.values()]
    names += [("scores", key) for key in row.scores.values()]
    for name, key in dict.fromkeys(names):
        if key is not None:
            yield run.store.stage(name, key)


def all_stages(run: Run) -> set[tuple[str, str]]:
    """(name, key) of every stage that a run names."""
    stages = {(stage.name, stage.key) for row in run.record.rows for stage in stages_of(run, row)}
    return stages | ({("pairs", run.record.data.key)} if run.record.data is not None else set())


def num_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where there is none, or where they go meanwhile."""
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return size


def run_size(run: Run, others: Sequence[Run]) -> RunSize:
    """What a run holds beside other runs of its store; its own folder (record, reports) is its own."""
    elsewhere = {stage for other in others if other.name != run.name for stage in all_stages(other)}
    sizes = {stage: num_bytes(run.store.stage(*stage).path) for stage in all_stages(run)}
    own = sum(size for stage, size in sizes.items() if stage not in elsewhere)
    shared = sum(size for stage, size in sizes.items() if stage in elsewhere)
    return RunSize(own + num_bytes(run.store.run_folder(run.name)), shared)


def is_scored(run: Run, row: RowRecord) -> bool:
    """Whether a row is done, and every score and answer that it names is there: nothing wants its weights."""
    if row.state != DONE or row.scores.keys() != run.tasks.keys():
        return False
    stages = [stage for stage in stages_of(run, row) if stage.name not in WEIGHTS]
    return all(stage.done for stage in stages)


def needed_weights(runs: Sequence[Run]) -> set[tuple[str, str]]:
    """(name, key) of the stages whose weights some row of some run still wants."""
    return {
        (stage.name, stage.key)
        for run in runs
        for row in run.record.rows
        if not is_scored(run, row)
        for stage in stages_of(run, row)
        if stage.name in WEIGHTS
    }
