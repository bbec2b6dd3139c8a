"""THE WAY: which rows a run has, and each row's way from preference data to scores.

A row that fails says why and lets the others go on. Everything finished is kept: the same command goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ropo_bench.errors import MethodFailed, StorageError
from ropo_bench.methods import MethodRecipe
from ropo_bench.provenance import provenance
from ropo_bench.reporting.progress import Progress
from ropo_bench.runs import Store, content_key
from ropo_bench.stages import Model, Stages
from ropo_bench.suites import SuiteRecipe
from ropo_bench.tasks import TaskRecipe

SFT = "SFT"
SCHEMA = 1


@dataclass(frozen=True)
class Request:
    """What a user asked for, fully resolved: no name in it needs a recipe file any more."""

    suite: SuiteRecipe
    tasks: Sequence[TaskRecipe]
    methods: Sequence[MethodRecipe]
    seeds: int
    checkpoints: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The request as JSON."""
        return {
            "suite": self.suite.model_dump(),
            "tasks": [task.model_dump() for task in self.tasks],
            "methods": [method.model_dump() for method in self.methods],
            "seeds": self.seeds,
            "checkpoints": dict(self.checkpoints),
        }

    def run_name(self) -> str:
        """The default name of its run: the suite and a hash of everything asked for."""
        return f"{self.suite.name}-{content_key('run', self.plain())[:8]}"


@dataclass
class Row:
    """One trained model (or the base) of a run: which stages made it and what it cost."""

    name: str
    seed: int
    state: str = "pending"
    training: dict[str, Any] | None = None
    certificate: dict[str, Any] | None = None
    scores: dict[str, str] = field(default_factory=dict)
    """Task name -> key of its scores stage."""


def run(request: Request, store: Store, name: str, progress: Progress) -> dict[str, Any]:
    """Take every row of the request all the way; returns the run's record, as written to RUNS/<name>/run.json.

    Rows that could not finish have the state "failed: reason"; the record's "complete" tells whether any did.
    """
    stages = Stages(store, request.suite, progress)
    rows = [Row(SFT, 0)]
    rows += [Row(label, 0) for label in request.checkpoints]
    rows += [Row(method.name, seed) for method in request.methods for seed in range(request.seeds)]
    made_with = dict(provenance())
    record = _record(request, stages, rows, made_with)
    store.write_run(name, record)
    methods = {method.name: method for method in request.methods}
    for row in rows:
        try:
            model = _model(stages, row, methods, request.checkpoints)
            _evaluate(stages, row, model, request.tasks)
            row.state = "done"
        except (MethodFailed, StorageError) as error:
            if row.name == SFT:
                raise  # every other row is measured against this one
            row.state = f"failed: {error}"
            progress.note(f"{row.name} seed {row.seed} failed: {error}")
        store.write_run(name, record := _record(request, stages, rows, made_with))
    return record


def _model(stages: Stages, row: Row, methods: Mapping[str, MethodRecipe], checkpoints: Mapping[str, str]) -> Model:
    if row.name == SFT:
        return stages.base
    if row.name in checkpoints:
        return stages.make_checkpoint(checkpoints[row.name], row.name)
    method = methods[row.name]
    row.training = dict(stages.make_policy(method, row.seed).manifest)
    model = stages.make_merged(method, row.seed)
    row.certificate = dict(stages.merged(method, row.seed).manifest["certificate"])
    return model


def _evaluate(stages: Stages, row: Row, model: Model, tasks: Sequence[TaskRecipe]) -> None:
    for task in tasks:
        row.scores[task.name] = stages.make_scores(model, task, row.name).key


def _record(request: Request, stages: Stages, rows: Sequence[Row], made_with: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "request": request.plain(),
        "base": stages.base.key,
        "data": {"key": stages.pairs.key, **stages.pairs.manifest},
        "rows": [asdict(row) for row in rows],
        "complete": all(row.state == "done" for row in rows),
        "provenance": made_with,
    }
