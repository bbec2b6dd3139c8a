"""`ropo-bench run`, `eval` and `plan`: from names to a resolved request, then the way, then the table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ropo_bench.commands.requests import what_is_lost
from ropo_bench.commands.table import print_leaderboard
from ropo_bench.errors import InternalError, RopoBenchError, UnfinishedRun, UsageError
from ropo_bench.errors.failures import INTERNAL
from ropo_bench.making.evaluation import is_judged
from ropo_bench.pipeline import Request
from ropo_bench.pipeline import run as run_pipeline
from ropo_bench.planning import Spread
from ropo_bench.planning.fit import refuse_what_cannot_fit
from ropo_bench.recipes.files import check_row_name
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.load import load_judge, load_methods, load_suite, load_task
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.rates import Rates, read_tuning, set_rates, tuning_path
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.reading import open_run
from ropo_bench.runs.record import DONE, FAILED, SFT, RunRecord
from ropo_bench.store import Store
from ropo_bench.terminal.progress import Progress
from ropo_bench.terminal.screen import say
from ropo_bench.training.team.launch import ALONE, Launch

if TYPE_CHECKING:
    from ropo_bench.judging.ledger import Budget


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line said; None and empty: the suite decides."""

    methods: str
    suite: str
    seeds: int | None = None
    base: str | None = None
    data: str | None = None
    tasks: str | None = None
    judge: str | None = None
    backend: str | None = None
    checkpoints: Sequence[str] = ()
    sets: Sequence[str] = ()
    include: Sequence[Path] = ()
    canaries: bool = True
    first_seed: int = 0
    rates: str = "suite"
    tuning: Path | None = None
    strict_model: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent on judges; None is no limit."""

    calls: int | None = None
    usd: float | None = None


def run_command(
    asked: Asked, runs: Path, name: str | None, json: bool, limits: Limits, launch: Launch = ALONE
) -> None:
    """Resolve, run, print; exits 4 when a row failed (70 by an internal error), 5 when the budget was reached."""
    request = resolve(asked)
    store = Store(runs)
    name = name or request.run_name()
    refuse_another_request(store, name, request)
    with Progress() as progress:
        for method in untuned(request):
            progress.note(
                f"{method}: suite {request.suite.name} has no override for it; it trains at its recipe's lr "
                f"(find one with: ropo-bench tune --suite {request.suite.name} --methods {method})"
            )
        refuse_what_cannot_fit(request, store, progress.note, Spread(launch.num_processes, launch.shard))
        try:
            record = run_pipeline(request, store, name, progress, budget_of(request, limits), launch)
        except RopoBenchError:
            stopped = open_run(store, name) if name in store.run_names() else None
            if stopped is not None and any(row.scores for row in stopped.record.rows):
                print_leaderboard(stopped, "json" if json else "text")
            raise
    print_leaderboard(open_run(store, name), "json" if json else "text")
    unfinished = [row for row in record.rows if row.state != DONE]
    if unfinished:
        say(f"error: {len(unfinished)} of {len(record.rows)} rows are not done (see above)", file=sys.stderr)
        raise typer.Exit(unfinished_code(record))


def unfinished_code(record: RunRecord) -> int:
    """The exit code of a run with unfinished rows: 70 where an error of the program itself kept one from the end."""
    internal = any(row.state.startswith(f"{FAILED}{INTERNAL}") for row in record.rows)
    return InternalError.exit_code if internal else UnfinishedRun.exit_code


def refuse_another_request(store: Store, name: str, request: Request) -> None:
    """Raise UsageError where a run of this name is there whose record this request would replace.

    The same request goes on; one that asks for more (methods, checkpoints, seeds, tasks) keeps all that is there.
    """
    path = store.run_folder(name) / "run.json"
    if not path.exists():
        return
    difference = what_is_lost(open_run(store, name).record.request, request.record())
    if difference is not None:
        raise UsageError(
            f"--name {name}: there is a run of this name, of another request ({difference}); give another --name, or "
            f"delete {path} to replace it"
        )


def resolve(asked: Asked) -> Request:
    """A request with every recipe read; raises UsageError for the first thing that is wrong."""
    suite = load_suite(asked.suite, include=asked.include)
    given = {"base": asked.base, "data": asked.data, "judge": asked.judge, "backend": asked.backend}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if asked.tasks is not None:
        changes["tasks"] = _names(asked.tasks)
    suite = SuiteRecipe.model_validate(suite.model_dump() | changes)
    rows = load_methods(asked.methods, suite=suite, sets=asked.sets, include=asked.include) if asked.methods else []
    rows, rates = _rates(asked, suite, rows)
    tasks = [suite.decoded(load_task(task, include=asked.include)) for task in suite.tasks]
    return Request(
        suite=suite,
        tasks=tasks,
        methods=rows,
        seeds=asked.seeds or suite.seeds,
        checkpoints=_checkpoints(asked.checkpoints, {SFT, *(method.name for method in rows)}),
        rates=rates,
        judges=_judges(tasks, suite, asked),
        canaries=asked.canaries,
        first_seed=asked.first_seed,
    )


def _rates(asked: Asked, suite: SuiteRecipe, methods: list[MethodRecipe]) -> tuple[list[MethodRecipe], Rates]:
    """The methods at the rates that are asked for; the suite's own record is read where it is there."""
    tuning = None
    if asked.tuning is not None:
        tuning = read_tuning(asked.tuning)
    elif suite.tuning is not None and tuning_path(suite.tuning).exists():
        tuning = read_tuning(tuning_path(suite.tuning))
    rate_sets = [text for text in asked.sets if text.partition("=")[0].endswith("train.lr")]
    if asked.rates != "suite" and rate_sets:
        raise UsageError(
            f"--set {rate_sets[0]}: --rates {asked.rates} sets the learning rates; leave one of them out"
        )
    return set_rates(asked.rates, methods, tuning)


def untuned(request: Request) -> list[str]:
    """Methods that a suite with overrides has none for: they train with figures for another size of model."""
    known = request.suite.overrides
    if request.rates.how != "suite":
        return []
    return [method.name for method in request.methods if known and method.name not in known]


def _judges(tasks: Sequence[TaskRecipe], suite: SuiteRecipe, asked: Asked) -> Mapping[str, JudgeRecipe]:
    """The judge of every judged task: the suite's, else the task's own."""
    # Loaded before it is asked for: a name that is wrong is wrong even where no task has a judge.
    every = None if suite.judge is None else load_judge(suite.judge, include=asked.include)
    judges = {}
    for task in tasks:
        if task.judge is not None or (every is not None and is_judged(task)):
            judge = every or load_judge(str(task.judge), include=asked.include)
            judges[task.name] = judge.model_copy(update={"strict_model": judge.strict_model or asked.strict_model})
    return judges


def budget_of(request: Request, limits: Limits) -> Budget | None:
    """What the judges of a request may spend; None where nobody is asked."""
    if not request.judges:
        return None
    from ropo_bench.judging.ledger import Budget

    return Budget(limits.calls, limits.usd)


def _names(text: str) -> list[str]:
    names = [part.strip() for part in text.split(",")]
    if "" in names:
        raise UsageError(f"--tasks {text!r}: expected names with commas between, such as mt-bench,alpaca-eval-2")
    return names


def _checkpoints(given: Sequence[str], taken: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UsageError(f"--checkpoint {text}: give NAME=FOLDER or NAME=org/model")
        check_row_name(name, "--checkpoint")
        if name in found or name in taken:
            raise UsageError(f"--checkpoint {text}: the name {name} is taken; choose another")
        found[name] = path
    return found
