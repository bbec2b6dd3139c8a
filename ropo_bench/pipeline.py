"""THE WAY: which rows a run has, and each row's way from preference data to scores.

A row that fails says why and lets the others go on. Everything finished is kept: the same command goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ropo_bench.errors import RopoBenchError, first_line
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
    way = _Way(request, stages, rows, store, name, dict(provenance()))
    for row in rows:
        way.fill(row)
    record = way.write()
    if not record["complete"]:
        stages.preflight(request.methods, request.tasks)
    for row in rows:
        try:
            way.go(row)
        except (RopoBenchError, RuntimeError) as error:  # RuntimeError: torch's, out of memory among them
            if row.name == SFT:
                raise  # every other row is measured against this one
            row.state = f"failed: {first_line(error)}"
            progress.note(f"{row.name} seed {row.seed} failed: {error}")
        record = way.write()
    return record


@dataclass
class _Way:
    """One run on its way: its rows, and where they are written down."""

    request: Request
    stages: Stages
    rows: Sequence[Row]
    store: Store
    name: str
    made_with: Mapping[str, Any]

    def go(self, row: Row) -> None:
        """Make everything that a row still lacks."""
        model = self._model(row)
        for task in self.request.tasks:
            row.scores[task.name] = self.stages.make_scores(model, task, row.name).key
            self.write()
        row.state = "done"

    def fill(self, row: Row) -> None:
        """Enter what a finished row has, so that a repeated command never shows less than was there."""
        model: Model | None = self.stages.base if row.name == SFT else None
        method = self._method(row)
        if method is not None:
            policy, merged = self.stages.policy(method, row.seed), self.stages.merged(method, row.seed)
            if policy.done and merged.done:
                row.training, row.certificate = dict(policy.manifest), dict(merged.manifest["certificate"])
                model = self.stages.merged_model(merged, row.seed)
        if model is None:
            return
        for task in self.request.tasks:
            scores = self.stages.scores(model, task)
            if scores.done:
                row.scores[task.name] = scores.key
        if len(row.scores) == len(self.request.tasks):
            row.state = "done"

    def _model(self, row: Row) -> Model:
        if row.name == SFT:
            return self.stages.base
        method = self._method(row)
        if method is None:
            model, row.certificate = self.stages.make_checkpoint(self.request.checkpoints[row.name], row.name)
            return model
        row.training = dict(self.stages.make_policy(method, row.seed).manifest)
        model = self.stages.make_merged(method, row.seed)
        row.certificate = dict(self.stages.merged(method, row.seed).manifest["certificate"])
        return model

    def _method(self, row: Row) -> MethodRecipe | None:
        return next((method for method in self.request.methods if method.name == row.name), None)

    def write(self) -> dict[str, Any]:
        """Write the run's record as it stands."""
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "request": self.request.plain(),
            "base": self.stages.base.key,
            "data": {"key": self.stages.pairs.key, **self.stages.pairs.manifest} if self.request.methods else None,
            "rows": [asdict(row) for row in self.rows],
            "complete": all(row.state == "done" for row in self.rows),
            "provenance": self.made_with,
        }
        self.store.write_run(self.name, record)
        return record
