"""ropo-bench from Python: run, open a finished run, its table, its comparisons, its answers and its models.

    import ropo_bench as rb
    run = rb.run(methods=["ropo", "dpo"], suite="pocket", seeds=2)
    run.table()

The commands do the same: a run made here is repeated, compared and published there, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropo_bench.comparison.columns import compare_rows
from ropo_bench.comparison.request_changes import refuse_another_request
from ropo_bench.errors import UsageError
from ropo_bench.leaderboard import leaderboard
from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.leaderboard.markdown import to_markdown
from ropo_bench.pipeline import run as run_pipeline
from ropo_bench.planning import Spread
from ropo_bench.planning.fit import refuse_what_cannot_fit
from ropo_bench.recipes.files import suggest
from ropo_bench.request import Asked, Limits, budget_of, resolve
from ropo_bench.runs.reading import Run, named_run
from ropo_bench.runs.reading import open_run as open_stored_run
from ropo_bench.runs.record import RowRecord
from ropo_bench.store import Store
from ropo_bench.terminal.progress import Progress
from ropo_bench.training.team.launch import Launch

if TYPE_CHECKING:
    from pandas import DataFrame

Names = str | Sequence[str]
"""One name, several with commas between, or a list of them."""


def run(
    methods: Names = ("ropo", "dpo"),
    suite: str = "pocket",
    *,
    seeds: int | None = None,
    first_seed: int = 0,
    base: str | None = None,
    data: str | None = None,
    tasks: Names | None = None,
    judge: str | None = None,
    backend: str | None = None,
    checkpoints: Mapping[str, str] | None = None,
    sets: Mapping[str, Any] | None = None,
    include: Sequence[str | Path] = (),
    rates: str = "suite",
    tuning: str | Path | None = None,
    canaries: bool = True,
    strict_model: bool = False,
    budget_calls: int | None = None,
    budget_usd: float | None = None,
    processes: int = 1,
    shard: bool = False,
    runs: str | Path = "runs",
    name: str | None = None,
) -> FinishedRun:
    """Train, merge, generate, judge: what `ropo-bench run` does, by the same defaults; what is done is kept.

    sets: {"loss.beta": 0.05, "ropo.train.lr": 1e-4}. checkpoints: row -> folder or hub id of a model trained
    elsewhere. None: the suite decides. Rows that could not finish have their reason in `state`. Raises UsageError
    for what cannot be, and BudgetReached.
    """
    asked = Asked(
        methods=_join(methods),
        suite=suite,
        seeds=seeds,
        base=base,
        data=data,
        tasks=None if tasks is None else _join(tasks),
        judge=judge,
        backend=backend,
        checkpoints=[f"{row}={path}" for row, path in (checkpoints or {}).items()],
        sets=[f"{key}={_yaml(value)}" for key, value in (sets or {}).items()],
        include=[Path(folder) for folder in include],
        canaries=canaries,
        first_seed=first_seed,
        rates=rates,
        tuning=None if tuning is None else Path(tuning),
        strict_model=strict_model,
    )
    request, store, launch = resolve(asked), Store(Path(runs)), Launch(processes, shard)
    name = name or request.run_name()
    refuse_another_request(store, name, request)
    with Progress() as progress:
        refuse_what_cannot_fit(request, store, progress.note, Spread(processes, shard))
        run_pipeline(request, store, name, progress, budget_of(request, Limits(budget_calls, budget_usd)), launch)
    return FinishedRun(open_stored_run(store, name))


def open_run(name: str | None = None, runs: str | Path = "runs") -> FinishedRun:
    """A run of the folder `runs` by its name, the newest without one; raises UsageError where there is none."""
    return FinishedRun(named_run(Path(runs), name))


def score_alpaca_eval(path: str | Path, *, lc_c: float | None = None, rule: str = "default") -> DataFrame:
    """One row a model of an annotations.json of alpaca_eval's: win rates, length-controlled too, with their errors.

    lc_c, rule: as in `ropo-bench score alpaca-eval`. Raises UsageError.
    """
    from pandas import DataFrame

    from ropo_bench.scoring.alpaca_eval.leaderboard import read_annotations
    from ropo_bench.scoring.alpaca_eval.win_rates import measure_annotations

    measured = measure_annotations(read_annotations(Path(path)), lc_c, rule)
    parts = ("value", "standard_error", "low", "high", "n", "n_unscored")
    rows = {
        row.model: {
            (metric, part): getattr(measurement, part, None)
            for metric, measurement in row.measurements.items()
            for part in parts
        }
        for row in measured
    }
    return DataFrame.from_dict(rows, orient="index")


@dataclass(frozen=True)
class FinishedRun:
    """A run as a notebook wants it; `record` has everything that was written down of it."""

    run: Run

    @property
    def name(self) -> str:
        """The name that the commands know it by."""
        return self.run.name

    @property
    def record(self) -> Any:
        """Its record (runs.record.RunRecord): the request, the state of every row, provenance."""
        return self.run.record

    @property
    def state(self) -> dict[str, str]:
        """ "done", or why not, by row."""
        return {row: self.run.state(row) for row in self.run.rows}

    @cached_property
    def leaderboard(self) -> Leaderboard:
        """Its table with every interval and comparison (leaderboard.board.Leaderboard)."""
        return leaderboard(self.run)

    def table(self, against: str | None = None) -> DataFrame:
        """A row a method, in full precision: (task, metric, part) columns, part one of value, low, high, ...

        low, high: the ends of the 95 % interval. against: the row that all others are tested against first.
        """
        from pandas import DataFrame, MultiIndex

        board = self.leaderboard if against is None else leaderboard(self.run, against)
        parts = ("value", "low", "high", "standard_error", "n", "n_unscored")
        columns = [(column.task, column.metric, part) for column in board.columns for part in parts]
        rows = [
            [getattr(row.cells.get((task, metric)), part, None) for task, metric, part in columns]
            for row in board.ordered_rows
        ]
        index = [row.name for row in board.ordered_rows]
        names = ["task", "metric", "part"]
        return DataFrame(rows, index=index, columns=MultiIndex.from_tuples(columns, names=names))

    def compare(self, a: str, b: str) -> DataFrame:
        """Row a less row b, paired, one line a column of a task; raises UsageError where they are no pair."""
        from pandas import DataFrame

        [pair] = compare_rows(self.run.store, self.name, None, f"{a},{b}", top=0).pairs
        lines = []
        for column in pair.columns:
            comparison = column.comparison
            parts = ("estimate", "low", "high", "standard_error", "p_value", "adjusted", "n", "test")
            lines.append(
                {"task": column.task, "metric": column.metric, a: column.a, b: column.b}
                | {part: None if comparison is None else getattr(comparison, part) for part in parts}
            )
        return DataFrame(lines).set_index(["task", "metric"])

    def completions(self, task: str, row: str, seed: int = 0) -> DataFrame:
        """The answers of a row to a task's prompts: one line an answer; turns is a tuple of texts."""
        from pandas import DataFrame

        stage = self.run.completion_stage(self._row(row, seed), task)
        if stage is None:
            raise UsageError(f"run {self.name}: {row} seed {seed} has no answers to {task}")
        answers = self.run.read_completions(stage)
        fields = ("prompt_id", "sample", "turns", "num_tokens", "truncated")
        return DataFrame([[getattr(answer, name) for name in fields] for answer in answers], columns=list(fields))

    def scores(self, task: str, row: str, seed: int = 0) -> DataFrame:
        """Every score of a row on a task: item, cluster (its prompt), metric, value, status, detail."""
        from dataclasses import asdict

        from pandas import DataFrame

        stage = self.run.score_stage(self._row(row, seed), task)
        if stage is None:
            raise UsageError(f"run {self.name}: {row} seed {seed} is not scored on {task}")
        return DataFrame([asdict(score) for score in self.run.read_scores(stage)])

    def model(self, row: str, seed: int = 0) -> Path:
        """The folder of a row's merged model, which transformers and vLLM load; raises UsageError without one."""
        folder = self.run.model_folder(self._row(row, seed))
        if folder is None:
            raise UsageError(f"run {self.name}: {row} seed {seed} has no merged model here")
        return folder

    def _row(self, name: str, seed: int) -> RowRecord:
        if name not in self.run.rows:
            hint = suggest(name, self.run.rows) or f"known: {', '.join(self.run.rows)}"
            raise UsageError(f"run {self.name}: no row {name!r}; {hint}")
        for row in self.run.rows[name]:
            if row.seed == seed:
                return row
        seeds = ", ".join(str(row.seed) for row in self.run.rows[name])
        raise UsageError(f"run {self.name}: row {name} has no seed {seed}; it has {seeds}")

    def _repr_html_(self) -> str:
        """What a notebook shows: the table."""
        values = self.table().xs("value", axis=1, level="part")
        return f"<p>{_escape(self.leaderboard.title)}</p>{values.to_html(na_rep='–', escape=True)}"

    def __repr__(self) -> str:
        return to_markdown(self.leaderboard)


def _join(names: Names) -> str:
    return names if isinstance(names, str) else ",".join(map(str, names))


def _yaml(value: Any) -> str:
    """A value as --set reads it."""
    import json

    return value if isinstance(value, str) else json.dumps(value)


def _escape(text: str) -> str:
    from html import escape

    return escape(text)
