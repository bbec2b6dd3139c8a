"""THE WAY: which rows a run has, and each row's way from preference data to scores.

Thrice through the rows: train and merge; generate and score what needs no judge, so that one engine lives for all
models; then the judges. A row that fails says why and lets the others go on. Everything finished is kept: the same
command goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ropo_bench.errors import BudgetReached, first_line
from ropo_bench.errors.failures import as_expected, note_work
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.request import Request
from ropo_bench.runs.progress_file import progress_writer
from ropo_bench.runs.provenance import provenance
from ropo_bench.runs.prune import KEEP_ALL, KEEPS
from ropo_bench.runs.reading import provenance_of
from ropo_bench.runs.record import DONE, FAILED, PENDING, SFT, DataRecord, RowRecord, RunRecord, row_state
from ropo_bench.stages import canaries, completions, kept, merged, pairs, policy, preflight, scores
from ropo_bench.stages.bench import Bench, Model
from ropo_bench.store import Store
from ropo_bench.store.locks import SHARED
from ropo_bench.terminal.progress import Progress
from ropo_bench.training.team.launch import ALONE, Launch

if TYPE_CHECKING:
    from ropo_bench.judging.ledger import Budget


def run(
    request: Request,
    store: Store,
    name: str,
    progress: Progress,
    budget: Budget | None = None,
    launch: Launch = ALONE,
    ahead: Ahead | None = None,
    keep: str = KEEP_ALL,
) -> RunRecord:
    """Take every row of the request all the way; returns the run's record, as written to RUNS/<name>/run.json.

    ahead: makes all rows in other processes, after everything was checked; the record is written from what it made.
    Rows that could not finish have the state "failed: reason" or "incomplete: reason"; the record's `complete`
    tells whether any did. keep: what of a row's weights stays when its answers and own scores are in, see
    runs.prune.KEEPS. Raises BudgetReached, after writing down what was reached.
    """
    bench = Bench(store, request.suite, progress, launch, request.judges, budget)
    rows = [RowRecord(name=name, seed=0) for name in (SFT, *request.checkpoints)]
    rows += [RowRecord(name=method.name, seed=seed) for method in request.methods for seed in request.training_seeds]
    with store.use.hold(SHARED), bench:
        if request.methods:
            pairs.make(bench)
        progress.watch = progress_writer(store.run_folder(name))
        way = _Way(request, bench, rows, name, dict(provenance()), keep)
        for row in rows:
            way.fill(row)
        way.fill_canaries()
        way.keep_provenance()
        if not way.write().complete:
            left = [method for method in request.methods if not way.is_merged(method)]
            preflight.check_models(bench, request.tasks, request.checkpoints, training=bool(left))
            if left:  # judging alone loads no torch
                way.give_up(preflight.check_methods(bench, left))
            preflight.check_tasks(bench, request.tasks)
        if ahead is not None:
            way.collect_all(ahead(bench, budget, way.enter))
            return way.write()
        for some in [rows] if keep == KEEP_ALL else [[row] for row in rows]:  # one after another, for the disk
            for row in some:
                way.go(row, way.train)
            for row in some:
                way.go(row, way.answer)
            bench.close_engine()
        way.check_judges()
        for row in rows:
            way.go(row, way.judge)
        return way.write()


Made = Callable[[str, int], None]
"""Told of a row, by its name and seed, whenever another of its stages is finished."""
Ahead = Callable[[Bench, "Budget | None", Made], Mapping[tuple[str, int], BaseException]]
"""Makes all that a run's rows need within a budget; gives why rows could not be made, by their name and seed."""


@dataclass
class _Way:
    """One run on its way: its rows, and where they are written down."""

    request: Request
    bench: Bench
    rows: Sequence[RowRecord]
    name: str
    made_with: Mapping[str, Any]
    keep: str
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
            self.bench.progress.note(f"{row.name} seed {row.seed} failed: {expected}")
        self.write()

    def enter(self, name: str, seed: int) -> None:
        """Write down what of a row is there while others go on, so that whoever looks sees it."""
        for row in self.rows:
            if (row.name, row.seed) == (name, seed):
                model = self.fill(row)
                self.write()
                if model is not None and row.state == DONE:
                    self._let_go(row, model)

    def collect_all(self, failures: Mapping[tuple[str, int], BaseException]) -> None:
        """Enter what other processes made; raises BudgetReached where that ended it, after all that is there."""
        reached = [error for error in failures.values() if isinstance(error, BudgetReached)]
        self.fill_canaries()
        for row in self.rows:
            error = failures.get((row.name, row.seed))
            if not isinstance(error, BudgetReached):
                self.go(row, self._collect if error is None else partial(_fail, error))
        if reached:
            self.write()
            raise reached[0]

    def _collect(self, row: RowRecord) -> None:
        model = self._model(row)
        for task in self.request.tasks:
            row.scores[task.name] = scores.stage(self.bench, model, task).key
            if task.prompts is not None:
                row.completions[task.name] = completions.stage(self.bench, model, task).key
        self.write()
        self._let_go(row, model)
        self._settle(row, model)

    def give_up(self, reasons: Mapping[str, str]) -> None:
        """Enter why methods cannot be trained at all, by name; the other rows go on."""
        for row in self.rows:
            if row.name in reasons and row.state == PENDING:
                row.state = f"{FAILED}{reasons[row.name]}"
                self.bench.progress.note(f"{row.name} seed {row.seed} failed: {reasons[row.name]}")
        self.write()

    def train(self, row: RowRecord) -> None:
        """Make a row's model: train and merge, where it is neither the base nor trained elsewhere."""
        self.models[self.rows.index(row)] = self._model(row)

    def answer(self, row: RowRecord) -> None:
        """Make everything of a row that needs its model: generate for all tasks, then score what needs no judge."""
        model = self.models[self.rows.index(row)]
        for task in self.request.tasks:
            scores.make_answers(self.bench, model, task, row.name)
        for task in self.request.tasks:
            if task.name not in self.request.judges:
                self._score(row, model, task)
        self._let_go(row, model)

    def _let_go(self, row: RowRecord, model: Model) -> None:
        """Judges read answers: a trained row's weights may go when nothing else is left to be made with them."""
        if KEEPS[self.keep] and row.policy is not None and not kept.tasks_left(self.bench, model, self.request.tasks):
            kept.let_go(self.bench, self.name, row, self.keep)

    def fill_canaries(self) -> None:
        """Enter what is known of the judges' biases, which the record of a repeated command keeps from the start."""
        for task in self._tasks_with_canaries():
            stage = canaries.stage(self.bench, task)
            if stage.done:
                self.canaries[task.name] = dict(stage.manifest)

    def check_judges(self) -> None:
        """Ask the canaries of every judged task; what a judge's verdicts are worth stands beside them."""
        for task in self._tasks_with_canaries():
            self.canaries[task.name] = dict(canaries.make(self.bench, task).manifest)
            self.write()

    def _tasks_with_canaries(self) -> list[TaskRecipe]:
        judged = [task for task in self.request.tasks if task.name in self.request.judges]
        return judged if self.request.canaries else []

    def judge(self, row: RowRecord) -> None:
        """Let the judges judge a row; it is done then."""
        model = self.models[self.rows.index(row)]
        for task in self.request.tasks:
            if task.name in self.request.judges:
                self._score(row, model, task)
        self._settle(row, model)

    def _settle(self, row: RowRecord, model: Model) -> None:
        """Enter whether a row is done, or what judges did not say of it."""
        stages = {task.name: scores.stage(self.bench, model, task).manifest for task in self.request.tasks}
        row.state = row_state(
            {task: manifest[scores.FAILED] for task, manifest in stages.items()},
            {task: manifest["judge_key"] for task, manifest in stages.items() if manifest.get(scores.UNREAD)},
        )

    def _score(self, row: RowRecord, model: Model, task: TaskRecipe) -> None:
        row.scores[task.name] = scores.make(self.bench, model, task, row.name).key
        if task.prompts is not None:
            row.completions[task.name] = completions.stage(self.bench, model, task).key
        self.write()

    def fill(self, row: RowRecord) -> Model | None:
        """Enter what a row has, so that a repeated command never shows less than was there; returns its model."""
        bench = self.bench
        model: Model | None = bench.base if row.name == SFT else None
        method = self._method(row)
        if method is not None:
            trained = policy.stage(bench, method, row.seed)
            whole = merged.stage(bench, trained.key)
            if trained.done and whole.done:
                row.policy, row.merged, row.training = trained.key, whole.key, dict(trained.manifest)
                row.certificate = dict(whole.manifest["certificate"])
                model = merged.model(whole, row.seed)
        if model is None:
            return None
        tasks = self.request.tasks
        scored = [task for task in tasks if scores.stage(bench, model, task).done]
        row.scores = {task.name: scores.stage(bench, model, task).key for task in scored}
        row.completions = {t.name: completions.stage(bench, model, t).key for t in scored if t.prompts is not None}
        # Answers that were scored and are gone are made again: reports show them.
        if all(scores.are_final(bench, model, t) and completions.are_there(bench, model, t) for t in tasks):
            row.state = DONE
        return model

    def is_merged(self, method: MethodRecipe) -> bool:
        """Whether every seed of a method has its merged model, or needs none any more."""
        rows = [row for row in self.rows if row.name == method.name and row.state != DONE]
        trained = [policy.stage(self.bench, method, row.seed) for row in rows]
        return all(merged.stage(self.bench, stage.key).whole for stage in trained)

    def _model(self, row: RowRecord) -> Model:
        bench = self.bench
        if row.name == SFT:
            return bench.base
        method = self._method(row)
        if method is None:
            model, row.certificate = merged.make_checkpoint(bench, self.request.checkpoints[row.name], row.name)
            row.merged = None if row.certificate is None else model.key
            return model
        trained = policy.stage(bench, method, row.seed)
        whole = merged.stage(bench, trained.key)
        model = merged.model(whole, row.seed)
        if not kept.is_spent(bench, trained, row.seed, self.request.tasks):
            kept.tell_if_pruned(bench, trained, row, self.request.tasks)
            if not (trained.pruned and whole.whole):
                policy.make(bench, method, row.seed)
            row.policy, row.training = trained.key, dict(trained.manifest)
            self.write()  # a store is cleaned by what its records name
            model = merged.make(bench, trained, method.name, row.seed)
        row.merged = model.key
        row.certificate = dict(merged.stage(bench, trained.key).manifest["certificate"])
        return model

    def _method(self, row: RowRecord) -> MethodRecipe | None:
        return next((method for method in self.request.methods if method.name == row.name), None)

    def keep_provenance(self) -> None:
        """Where this run was finished before and no row is to be made, its numbers are those of then."""
        if all(row.state == DONE for row in self.rows):
            self.made_with = provenance_of(self.bench.store, self.name, self.rows) or self.made_with

    def write(self) -> RunRecord:
        """Write the run's record as it stands."""
        bench = self.bench
        data = pairs.stage(bench) if self.request.methods else None
        record = RunRecord(
            request=self.request.record(),
            base=bench.base.key,
            data=None if data is None else DataRecord(key=data.key, **data.manifest),
            rows=list(self.rows),
            canaries=self.canaries,
            complete=all(row.state == DONE for row in self.rows),
            provenance=dict(self.made_with),
        )
        bench.store.write_run(self.name, record.model_dump())
        return record


def _fail(error: BaseException, row: RowRecord) -> None:
    raise error
