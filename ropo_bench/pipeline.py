"""THE WAY: which rows a run has, and each row's way from preference data to scores.

Twice through the rows: first everything that needs the models (train, merge, generate, score), then the judges. A
row that fails says why and lets the others go on. Everything finished is kept: the same command goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ropo_bench.errors import BudgetReached, first_line
from ropo_bench.errors.failures import as_expected, note_work
from ropo_bench.making.evaluation import UNREAD
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.rates import Rates
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.provenance import provenance
from ropo_bench.runs.reading import open_run
from ropo_bench.runs.record import (
    DONE,
    FAILED,
    INCOMPLETE,
    PENDING,
    SFT,
    DataRecord,
    RequestRecord,
    RowRecord,
    RunRecord,
)
from ropo_bench.stages import Evaluation, Model, Stages
from ropo_bench.store import Store, content_key
from ropo_bench.terminal.progress import Progress
from ropo_bench.training.team.launch import ALONE, Launch

if TYPE_CHECKING:
    from ropo_bench.judging.ledger import Budget


@dataclass(frozen=True)
class Request:
    """What a user asked for, fully resolved: no name in it needs a recipe file any more.

    seeds: how many a method, counted from first_seed. judges: by the name of the task that they judge. canaries:
    whether they are checked for bias first. rates: how the methods' learning rates were chosen.
    """

    suite: SuiteRecipe
    tasks: Sequence[TaskRecipe]
    methods: Sequence[MethodRecipe]
    seeds: int
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    judges: Mapping[str, JudgeRecipe] = field(default_factory=dict)
    canaries: bool = True
    first_seed: int = 0
    rates: Rates = field(default_factory=lambda: Rates(how="suite"))

    @property
    def training_seeds(self) -> range:
        """The seeds of every method."""
        return range(self.first_seed, self.first_seed + self.seeds)

    def record(self) -> RequestRecord:
        """The request as the record of its run holds it."""
        return RequestRecord(
            suite=self.suite,
            tasks=list(self.tasks),
            methods=list(self.methods),
            seeds=self.seeds,
            checkpoints=dict(self.checkpoints),
            judges=dict(self.judges),
            canaries=self.canaries,
            first_seed=self.first_seed,
            rates=self.rates,
        )

    def run_name(self) -> str:
        """The default name of its run: the suite and a hash of everything asked for."""
        return f"{self.suite.name}-{content_key('run', self.record().model_dump())[:8]}"


def run(
    request: Request,
    store: Store,
    name: str,
    progress: Progress,
    budget: Budget | None = None,
    launch: Launch = ALONE,
) -> RunRecord:
    """Take every row of the request all the way; returns the run's record, as written to RUNS/<name>/run.json.

    Rows that could not finish have the state "failed: reason" or "incomplete: reason"; the record's `complete`
    tells whether any did. Raises BudgetReached, after writing down what was reached.
    """
    stages = Stages(store, request.suite, progress, launch)
    rows = [RowRecord(name=name, seed=0) for name in (SFT, *request.checkpoints)]
    rows += [RowRecord(name=method.name, seed=seed) for method in request.methods for seed in request.training_seeds]
    with Evaluation(stages, request.judges, budget) as evaluation:
        way = _Way(request, evaluation, rows, store, name, dict(provenance()))
        for row in rows:
            way.fill(row)
        way.fill_canaries()
        way.keep_provenance()
        if not way.write().complete:
            seeds = request.training_seeds
            left = [m for m in request.methods if not all(stages.merged(m, seed).done for seed in seeds)]
            evaluation.check_models(request.tasks, request.checkpoints, training=bool(left))
            if left:  # judging alone loads no torch
                way.give_up(stages.preflight(left))
            evaluation.preflight(request.tasks)
        for row in rows:
            way.go(row, way.make)
        evaluation.close_engine()
        way.check_judges()
        for row in rows:
            way.go(row, way.judge)
        return way.write()


@dataclass
class _Way:
    """One run on its way: its rows, and where they are written down."""

    request: Request
    evaluation: Evaluation
    rows: Sequence[RowRecord]
    store: Store
    name: str
    made_with: Mapping[str, Any]
    models: dict[int, Model] = field(default_factory=dict)
    """By the row's place: the models that are there."""
    canaries: dict[str, Any] = field(default_factory=dict)
    """By the name of the task: what is known of its judge's biases."""

    def go(self, row: RowRecord, work: Callable[[RowRecord], None]) -> None:
        """Do one part of a row's way; what goes wrong is the row's state, unless it is everybody's."""
        if row.state != PENDING:
            return
        try:
            work(row)
        except BudgetReached:
            self.write()
            raise
        except (Exception, SystemExit) as error:  # SystemExit: a library's that wanted to end us
            note_work(error, f"row {row.name} seed {row.seed}")
            if row.name == SFT:
                raise  # every other row is measured against this one
            expected = as_expected(error)
            row.state = f"{FAILED}{first_line(expected)}"
            self.evaluation.progress.note(f"{row.name} seed {row.seed} failed: {expected}")
        self.write()

    def give_up(self, reasons: Mapping[str, str]) -> None:
        """Enter why methods cannot be trained at all, by name; the other rows go on."""
        for row in self.rows:
            if row.name in reasons and row.state == PENDING:
                row.state = f"{FAILED}{reasons[row.name]}"
                self.evaluation.progress.note(f"{row.name} seed {row.seed} failed: {reasons[row.name]}")
        self.write()

    def make(self, row: RowRecord) -> None:
        """Make everything of a row that needs its model: generate for all tasks, then score what needs no judge."""
        model = self.models[self.rows.index(row)] = self._model(row)
        for task in self.request.tasks:
            self.evaluation.make_answers(model, task, row.name)
        for task in self.request.tasks:
            if task.name not in self.request.judges:
                self._score(row, model, task)

    def fill_canaries(self) -> None:
        """Enter what is known of the judges' biases, which the record of a repeated command keeps from the start."""
        for task in self.request.tasks:
            if task.name in self.request.judges and self.request.canaries:
                stage = self.evaluation.canaries(task)
                if stage.done:
                    self.canaries[task.name] = dict(stage.manifest)

    def check_judges(self) -> None:
        """Ask the canaries of every judged task; what a judge's verdicts are worth stands beside them."""
        for task in self.request.tasks:
            if task.name in self.request.judges and self.request.canaries:
                self.canaries[task.name] = dict(self.evaluation.make_canaries(task).manifest)
                self.write()

    def judge(self, row: RowRecord) -> None:
        """Let the judges judge a row; it is done then."""
        model = self.models[self.rows.index(row)]
        for task in self.request.tasks:
            if task.name in self.request.judges:
                self._score(row, model, task)
        found = {t.name: self.store.stage("scores", row.scores[t.name]).manifest for t in self.request.tasks}
        missing = [f"{record['num_failed']:,} of {task}" for task, record in found.items() if record["num_failed"]]
        unread = [
            f"{task} (its answers: cache/judge/{record['judge_key']}/answers.jsonl)"
            for task, record in found.items()
            if record.get(UNREAD)
        ]
        row.state = DONE
        if missing:
            row.state = f"{INCOMPLETE}not scored: {', '.join(missing)}; the same command tries again"
        elif unread:
            row.state = (
                f"{INCOMPLETE}the judge gave no verdict that can be read on {', '.join(unread)}; take another with"
                " --judge, or correct its params"
            )

    def _score(self, row: RowRecord, model: Model, task: TaskRecipe) -> None:
        row.scores[task.name] = self.evaluation.make_scores(model, task, row.name).key
        if task.prompts is not None:
            row.completions[task.name] = self.evaluation.completions(model, task).key
        self.write()

    def fill(self, row: RowRecord) -> None:
        """Enter what a finished row has, so that a repeated command never shows less than was there."""
        stages = self.evaluation.stages
        model: Model | None = stages.base if row.name == SFT else None
        method = self._method(row)
        if method is not None:
            policy, merged = stages.policy(method, row.seed), stages.merged(method, row.seed)
            if policy.done and merged.done:
                row.policy, row.training = policy.key, dict(policy.manifest)
                row.certificate = dict(merged.manifest["certificate"])
                model = stages.merged_model(merged, row.seed)
        if model is None:
            return
        tasks = self.request.tasks
        scored = [task for task in tasks if self.evaluation.scores(model, task).done]
        row.scores = {task.name: self.evaluation.scores(model, task).key for task in scored}
        row.completions = {t.name: self.evaluation.completions(model, t).key for t in scored if t.prompts is not None}
        # Answers that were scored and are gone are made again: reports show them.
        if all(self.evaluation.finished(model, t) and self.evaluation.answered(model, t) for t in tasks):
            row.state = DONE

    def _model(self, row: RowRecord) -> Model:
        stages = self.evaluation.stages
        if row.name == SFT:
            return stages.base
        method = self._method(row)
        if method is None:
            model, row.certificate = stages.make_checkpoint(self.request.checkpoints[row.name], row.name)
            return model
        if not stages.merged(method, row.seed).done:
            self.evaluation.close_engine()  # training wants the memory
        policy = stages.make_policy(method, row.seed)
        row.policy, row.training = policy.key, dict(policy.manifest)
        model = stages.make_merged(method, row.seed)
        row.certificate = dict(stages.merged(method, row.seed).manifest["certificate"])
        return model

    def _method(self, row: RowRecord) -> MethodRecipe | None:
        return next((method for method in self.request.methods if method.name == row.name), None)

    def keep_provenance(self) -> None:
        """Where this run was finished before and no row is to be made, its numbers are those of then."""
        if self.name not in self.store.run_names() or any(row.state != DONE for row in self.rows):
            return
        before = open_run(self.store, self.name).record
        if before.complete and list(map(_measured, before.rows)) == list(map(_measured, self.rows)):
            self.made_with = before.provenance

    def write(self) -> RunRecord:
        """Write the run's record as it stands."""
        stages = self.evaluation.stages
        record = RunRecord(
            request=self.request.record(),
            base=stages.base.key,
            data=DataRecord(key=stages.pairs.key, **stages.pairs.manifest) if self.request.methods else None,
            rows=list(self.rows),
            canaries=self.canaries,
            complete=all(row.state == DONE for row in self.rows),
            provenance=dict(self.made_with),
        )
        self.store.write_run(self.name, record.model_dump())
        return record


def _measured(row: RowRecord) -> dict[str, Any]:
    """What a row measured; a record of schema 2 says as much of it."""
    return row.model_dump(exclude={"policy"})
