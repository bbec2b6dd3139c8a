"""A run as its readers want it: its typed record, and the stages and scores that the record names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ropo_bench.errors import StorageError, UsageError
from ropo_bench.recipes.errors import problems
from ropo_bench.recipes.rates import Neighbour
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.items import read_completions, read_scores
from ropo_bench.runs.record import DONE, RowRecord, RunRecord
from ropo_bench.store import Stage, Store
from ropo_bench.types import Completion, Score


def open_run(store: Store, name: str) -> Run:
    """The run of this name; raises UsageError if there is none, StorageError if its record cannot be read."""
    fields = store.read_run(name)
    try:
        return Run(store, name, RunRecord.model_validate(fields))
    except ValidationError:
        (_, problem), *_ = problems(RunRecord, fields, {})
        path = store.run_folder(name) / "run.json"
        raise StorageError(f"{path}: {problem}; {store.run_mend(name)}") from None


@dataclass(frozen=True)
class Run:
    """A run in a store. Scores and completions are read once and kept while it is in use."""

    store: Store
    name: str
    record: RunRecord
    _scores: dict[str, list[Score]] = field(default_factory=dict, repr=False, compare=False)
    _completions: dict[str, list[Completion]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def tasks(self) -> dict[str, TaskRecipe]:
        """The tasks by name, in the order of their columns."""
        return {task.name: task for task in self.record.request.tasks}

    @cached_property
    def rows(self) -> dict[str, list[RowRecord]]:
        """The rows by name, one entry a seed, in the order of the record."""
        rows: dict[str, list[RowRecord]] = {}
        for row in self.record.rows:
            rows.setdefault(row.name, []).append(row)
        return rows

    @property
    def seeds(self) -> dict[str, list[int]]:
        """The training seeds of every row."""
        return {name: [row.seed for row in rows] for name, rows in self.rows.items()}

    @property
    def neighbours(self) -> Mapping[str, Neighbour]:
        """Rows at the rates beside a chosen one, by name: they only tell what another choice would have changed."""
        return {} if self.record.request.rates is None else self.record.request.rates.neighbours

    def table_rows(self, extra: Collection[str] = ()) -> list[str]:
        """Names of the rows that the run's table shows, and of neighbours that are asked for."""
        return [name for name in self.rows if name in extra or name not in self.neighbours]

    def state(self, name: str) -> str:
        """The first state of a row's seeds that is not "done"; "done" where every seed is."""
        return next((row.state for row in self.rows[name] if row.state != DONE), DONE)

    # -- stages ----------------------------------------------------------------------------------------------

    def score_stage(self, row: RowRecord, task: str) -> Stage | None:
        """The scores of a row on a task; None where there are none yet."""
        return self.store.stage("scores", row.scores[task]) if task in row.scores else None

    def completion_stage(self, row: RowRecord, task: str) -> Stage | None:
        """A row's answers to a task's prompts, of those that are scored; None where there are none."""
        return self.store.stage("completions", row.completions[task]) if task in row.completions else None

    def policy_stage(self, row: RowRecord) -> Stage | None:
        """The stage that trained a row, as its record tells of it; None where there is none in the store."""
        if row.training is None:
            return None
        if row.policy is None:  # a record of schema 2
            stages = list(self.store.finished("policy"))
        else:
            stages = [self.store.stage("policy", row.policy)]
        return next((stage for stage in stages if stage.done and stage.manifest == row.training), None)

    def model_folder(self, row: RowRecord) -> Path | None:
        """The merged weights of a row, checked as they were certified; None where the record names none."""
        return None if row.merged is None else self.store.stage("merged", row.merged).folder("model")

    def score_stages(self, name: str, task: str) -> list[Stage]:
        """The scores of a row's seeds on a task, in order; empty unless every seed has them."""
        stages = [self.score_stage(row, task) for row in self.rows.get(name, ())]
        scored = [stage for stage in stages if stage is not None]
        return scored if len(scored) == len(stages) else []

    def completion_stages(self, name: str, task: str) -> list[Stage]:
        """The scored answers of those of a row's seeds that have them, in order."""
        stages = [self.completion_stage(row, task) for row in self.rows.get(name, ())]
        return [stage for stage in stages if stage is not None]

    # -- what they hold --------------------------------------------------------------------------------------

    def read_scores(self, stage: Stage) -> list[Score]:
        """The scores of one stage; raises StorageError where it is not finished or is damaged."""
        if stage.key not in self._scores:
            self._scores[stage.key] = read_scores(stage)
        return self._scores[stage.key]

    def read_completions(self, stage: Stage) -> list[Completion]:
        """The answers of one stage; raises StorageError where it is not finished or is damaged."""
        if stage.key not in self._completions:
            self._completions[stage.key] = read_completions(stage)
        return self._completions[stage.key]

    def scores(self, task: str) -> dict[str, list[list[Score]]]:
        """By row, one list of scores a seed; only rows whose seeds are all scored, in the record's order."""
        stages = {name: self.score_stages(name, task) for name in self.rows}
        return {name: [self.read_scores(stage) for stage in own] for name, own in stages.items() if own}


def provenance_of(store: Store, name: str, rows: Sequence[RowRecord]) -> dict[str, Any] | None:
    """The provenance of the finished run of this name if it measured just these rows, else None."""
    if name not in store.run_names():
        return None
    record = open_run(store, name).record
    same = record.complete and list(map(_measurements, record.rows)) == list(map(_measurements, rows))
    return record.provenance if same else None


def _measurements(row: RowRecord) -> dict[str, Any]:
    """What a row measured; a record of schema 2 says as much of it."""
    return row.model_dump(exclude={"policy", "merged"})


def newest_run(store: Store) -> str:
    """The run that was written last; raises UsageError when there is none."""
    names = store.run_names()
    if not names:
        raise UsageError(f"{store.root}: no runs there; start one with: ropo-bench run")
    return max(names, key=lambda name: (store.run_folder(name) / "run.json").stat().st_mtime_ns)


def named_run(runs: Path, name: str | None) -> Run:
    """The run of this name in the folder `runs`, by default the newest."""
    store = Store(runs)
    return open_run(store, name or newest_run(store))
