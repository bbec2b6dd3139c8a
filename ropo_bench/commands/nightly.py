"""`ropo-bench nightly`: run, gate, re-run what is suspected with fresh seeds, report, remember; one exit code."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import typer

from ropo_bench.commands.gate import again_name, baseline_of, night_from, repeat_name, report_on, rules_of, warn
from ropo_bench.commands.report import PAGE, write_report
from ropo_bench.commands.run import unfinished_code
from ropo_bench.errors import UnfinishedRun, UsageError
from ropo_bench.gate.decision import Decision, decide
from ropo_bench.gate.evidence import Baseline
from ropo_bench.gate.history import append, default_path, read_history
from ropo_bench.gate.night import Night, Row, rows_of
from ropo_bench.gate.report import GateReport, to_json, to_lines, to_markdown
from ropo_bench.leaderboard import leaderboard
from ropo_bench.pipeline import run as run_pipeline
from ropo_bench.planning import Spread
from ropo_bench.planning.fit import refuse_what_cannot_fit
from ropo_bench.recipes.files import suggest
from ropo_bench.request import Asked, Limits, Request, budget_of, resolve
from ropo_bench.runs.provenance import provenance
from ropo_bench.runs.reading import open_run
from ropo_bench.store import Store, atomic_write_text, storage_errors
from ropo_bench.terminal.progress import Progress
from ropo_bench.terminal.screen import say
from ropo_bench.training.team.launch import ALONE, Launch

if TYPE_CHECKING:
    from ropo_bench.judging.ledger import Budget

SUMMARY = "GITHUB_STEP_SUMMARY"
NIGHTLY = "nightly"  # the folder of a night's report, in that of its run
MARKDOWN, GATE_JSON = "gate.md", "gate.json"
UNFINISHED = """# INCOMPLETE: this night did not finish

It began and has no verdict. Its error is in the log of the command; the same command goes on from where it was.
"""


@dataclass(frozen=True, slots=True)
class NightlyAsked:
    """What `nightly` is told beside a run's own options; history, out: None is the default."""

    baseline: str = "rolling:14"
    history: Path | None = None
    repeat_seeds: int = 0
    new_anchor: bool = False
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class _Bench:
    """Where the runs of one night are made; they share a budget."""

    store: Store
    progress: Progress
    budget: Budget | None
    launch: Launch

    def measure(self, request: Request, name: str) -> Mapping[str, Row]:
        """Run, as far as it is not stored, and read the rows."""
        run_pipeline(request, self.store, name, self.progress, self.budget, self.launch)
        return rows_of(leaderboard(open_run(self.store, name)))


def nightly_command(
    asked: Asked,
    nightly: NightlyAsked,
    runs: Path,
    name: str | None,
    json: bool,
    limits: Limits,
    launch: Launch = ALONE,
) -> None:
    """One night; exits 0 GO, 1 REGRESSION, 3 inconclusive, 4 incomplete.

    Everything that can be wrong with the command is found before anything is run. The night is remembered last,
    with its verdict: a night that is killed leaves no line, and the same command goes on from where it was.
    """
    store = Store(runs)
    # A recipe may be what is wrong tonight; without a name of its own, a night of other recipes has another folder.
    if nightly.out is not None or name is not None:
        _mark_unfinished(nightly.out or store.run_folder(str(name)) / NIGHTLY)
    request = resolve(asked)
    name = name or request.run_name()
    folder = nightly.out or store.run_folder(name) / NIGHTLY
    _mark_unfinished(folder)
    _refuse_another_suite(store, name, request)
    _check_watched(request)
    path = nightly.history or default_path(request.suite.name)
    baseline = baseline_of(nightly.baseline, request.suite.name)
    history = read_history(path, request.suite.name, warn)
    _check_writable(path)
    with Progress() as progress:
        refuse_what_cannot_fit(request, store, progress.note, Spread(launch.num_processes, launch.shard))
        bench = _Bench(store, progress, budget_of(request, limits), launch)
        tonight, decision = _night(bench, request, name, nightly, history, baseline)
    report = report_on(tonight, decision, baseline, nightly.baseline, history)
    _write(report, folder)
    run = open_run(store, name)
    write_report(run, folder)
    append(path, tonight)
    say(to_json(report) if json else "\n".join([*to_lines(report), f"report: {folder}", f"history: {path}"]))
    if decision.exit_code == UnfinishedRun.exit_code:
        raise typer.Exit(unfinished_code(run.record))
    if decision.exit_code:
        raise typer.Exit(decision.exit_code)


def _refuse_another_suite(store: Store, name: str, request: Request) -> None:
    """Raise UsageError where the name is that of another suite's run; recipes may change from night to night."""
    if name not in store.run_names():
        return
    suite = open_run(store, name).record.request.suite.name
    if suite != request.suite.name:
        raise UsageError(
            f"--name {name}: there is a run of this name, of suite {suite}; give another --name, or delete "
            f"{store.run_folder(name) / 'run.json'} to replace it"
        )


def _check_watched(request: Request) -> None:
    """Raise UsageError where the suite watches a column that no task of this night has."""
    names = [f"{task.name}.{c.metric}" for task in request.tasks for c in task.columns if c.better != "none"]
    for name in [*(request.suite.gate.columns or ()), *request.suite.gate.margins]:
        if name not in names:
            raise UsageError(
                f"suite {request.suite.name}: gate, column {name}: no task of this night has it with a better"
                f" direction; {suggest(name, names) or 'known: ' + ', '.join(names)}"
            )


def _check_writable(history: Path) -> None:
    """Raise StorageError where the night could not be remembered. Leaves no file: it would make a checkout dirty."""
    with storage_errors(history):
        history.parent.mkdir(parents=True, exist_ok=True)
        if history.exists():
            history.open("ab").close()
        else:
            TemporaryFile(dir=history.parent).close()


def _night(
    bench: _Bench, request: Request, name: str, nightly: NightlyAsked, history: Sequence[Night], baseline: Baseline
) -> tuple[Night, Decision]:
    """Measure, decide, and measure again with fresh seeds what is suspected."""
    bench.measure(request, name)
    run = open_run(bench.store, name)
    # The record of a run that was only repeated tells of the day when it was made.
    here = dict(provenance())
    tonight = replace(
        night_from(run),
        time=str(here["time_utc"]),
        provenance=here,
        repeats=[
            bench.measure(replace(request, first_seed=_after(request, number)), repeat_name(name, number))
            for number in range(1, nightly.repeat_seeds + 1)
        ],
        anchor=nightly.new_anchor,
    )
    rules = rules_of(run)
    decision = decide(tonight, history, baseline, rules)
    if decision.suspects:
        cells = ", ".join(f"{cell.row} {cell.column}" for cell in decision.suspects)
        bench.progress.note(f"suspected: {cells}; measuring again with fresh seeds")
        tonight = replace(
            tonight,
            again=bench.measure(_narrow(request, decision, nightly.repeat_seeds), again_name(name)),
        )
        decision = decide(tonight, history, baseline, rules, tonight.again)
    return replace(tonight, verdict=decision.verdict, verdicts=decision.by_row()), decision


def _after(request: Request, number: int) -> int:
    """The first seed of the number-th run after the night's own, no seed twice."""
    return request.first_seed + number * request.seeds


def _narrow(request: Request, decision: Decision, repeats: int) -> Request:
    """Only the suspected methods and tasks, with seeds that nothing of tonight has."""
    rows = {cell.row for cell in decision.suspects}
    tasks = {cell.column.partition(".")[0] for cell in decision.suspects}
    return replace(
        request,
        methods=[method for method in request.methods if method.name in rows],
        tasks=[task for task in request.tasks if task.name in tasks],
        judges={task: judge for task, judge in request.judges.items() if task in tasks},
        first_seed=_after(request, repeats + 1),
    )


def _mark_unfinished(folder: Path) -> None:
    """Until a night has its verdict, no report of an earlier one stands in its place."""
    if not any((folder / name).exists() for name in (MARKDOWN, GATE_JSON, PAGE)):
        return
    with storage_errors(folder):
        for name in (GATE_JSON, PAGE):
            (folder / name).unlink(missing_ok=True)
    atomic_write_text(folder / MARKDOWN, UNFINISHED)


def _write(report: GateReport, folder: Path) -> None:
    """gate.md and gate.json, and the summary of the workflow that this runs in."""
    text = to_markdown(report)
    atomic_write_text(folder / MARKDOWN, text)
    atomic_write_text(folder / GATE_JSON, to_json(report) + "\n")
    summary = os.environ.get(SUMMARY)
    if summary:
        with storage_errors(Path(summary)), Path(summary).open("a") as file:
            file.write(text)
