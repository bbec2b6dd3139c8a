"""`ropo-bench gate`: is a run worse than a baseline, by more than noise and by more than the margin?"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import typer

from ropo_bench.errors import UsageError
from ropo_bench.gate.decision import Decision, Rules, decide
from ropo_bench.gate.differences import differences
from ropo_bench.gate.evidence import Baseline
from ropo_bench.gate.history import as_tonight, default_path, read_history
from ropo_bench.gate.night import Night, Row, night_of, rows_of
from ropo_bench.gate.report import GateReport, to_json, to_lines
from ropo_bench.leaderboard import leaderboard
from ropo_bench.leaderboard.formats import from_json
from ropo_bench.publishing import read_table
from ropo_bench.publishing.publish import TABLE
from ropo_bench.recipes.method import Recipe
from ropo_bench.runs.provenance import provenance
from ropo_bench.runs.reading import Run, newest_run, open_run
from ropo_bench.runs.record import RequestRecord
from ropo_bench.store import Store, content_key, storage_errors
from ropo_bench.store.bounded import read_bounded
from ropo_bench.terminal.screen import say

ROLLING = "rolling:"


def gate_command(
    run: str | None, baseline: str, history: Path | None, confirm: str | None, runs: Path, json: bool
) -> None:
    """Print the verdict on a run, by default the newest; exits 1 for REGRESSION, 3 where it is open, 4 without cells.

    The history is read, never written: `nightly` writes it. A run that has its line there is judged as `nightly` has
    judged it: from the nights before that line, with the line's repeats and re-run. Any other run is tonight's
    measurement, and all lines are nights before it. confirm: a run of the same with fresh seeds, as the re-run.
    """
    store = Store(runs)
    opened = open_run(store, run or _newest_night(store))
    stored = night_from(opened)
    chosen = baseline_of(baseline, stored.suite)
    nights = read_history(history or default_path(stored.suite), stored.suite, warn)
    tonight = as_tonight(stored, nights, str(provenance()["time_utc"]))
    again = tonight.again or None if confirm is None else _fresh(opened, open_run(store, confirm))
    decision = decide(tonight, nights, chosen, rules_of(opened), again)
    report = report_on(tonight, decision, chosen, baseline, nights)
    say(to_json(report) if json else "\n".join(to_lines(report)))
    if decision.exit_code:
        raise typer.Exit(decision.exit_code)


def again_name(run: str) -> str:
    """Of the re-run of a night's suspected cells."""
    return f"{run}-again"


def repeat_name(run: str, number: int) -> str:
    """Of the number-th repeat of a night."""
    return f"{run}-repeat-{number}"


def _newest_night(store: Store) -> str:
    """The newest run; a night's own one where that is its re-run or repeat."""
    newest = newest_run(store)
    night = re.sub(r"-(again|repeat-\d+)$", "", newest)
    return night if night in store.run_names() else newest


def warn(line: str) -> None:
    """A line on standard error."""
    say(f"warning: {line}", file=sys.stderr)


def night_from(run: Run) -> Night:
    """A stored run as a night."""
    request = run.record.request
    return night_of(leaderboard(run), run.name, request.suite.name, _recipes(request))


def rules_of(run: Run) -> Rules:
    """The `gate` section of the suite that a run was made with; by default all methods of the run are watched."""
    request = run.record.request
    rules = Rules(**request.suite.gate.model_dump())
    return replace(rules, rows=rules.rows or [method.name for method in request.methods])


def baseline_of(text: str, suite: str) -> Baseline:
    """rolling:N, a leaderboard as `table --format json` writes it, or a published folder; raises UsageError."""
    if text.startswith(ROLLING):
        nights = text.removeprefix(ROLLING)
        if not nights.isdecimal() or len(nights) > 6 or int(nights) < 1:
            raise UsageError(f"--baseline {text}: give a number of nights, such as rolling:14")
        return Baseline(window=int(nights))
    path = Path(text)
    if (path / TABLE).is_file():
        return Baseline(night_of(read_table(path), text, suite))
    if not path.is_file():
        raise UsageError(
            f"--baseline {text}: no such file; give rolling:14, a published folder, or a file that"
            " `ropo-bench table RUN --format json` wrote"
        )
    with storage_errors(path):
        board = from_json(_text(path), str(path))
    return Baseline(night_of(board, text, suite))


def _text(path: Path) -> str:
    try:
        return read_bounded(path).decode(errors="replace")
    except ValueError as error:
        raise UsageError(f"{path}: {error}; give a table that `ropo-bench table RUN --format json` wrote") from None


def report_on(
    night: Night, decision: Decision, baseline: Baseline, text: str, history: Sequence[Night]
) -> GateReport:
    """The report; changes count from the fixed baseline, or else from the last night that was GO."""
    if baseline.night is not None:
        return GateReport(night, decision, text, f"the baseline {text}", differences(baseline.night, night))
    before = [earlier for earlier in history if earlier.time < night.time]
    good = [earlier for earlier in before if earlier.verdict == "GO"]
    against = f"the median of the last {baseline.window} nights"
    if not before:
        return GateReport(night, decision, against, None, [])
    last = (good or before)[-1]
    since = f"the last night that was GO, {last.time}" if good else f"the night before, {last.time}"
    return GateReport(night, decision, against, since, differences(last, night))


def _fresh(run: Run, confirm: Run) -> Mapping[str, Row]:
    """The rows of a confirming run; raises UsageError where it is of something else, or has a seed of the run."""
    _check_same(run, confirm)
    first, second = leaderboard(run), leaderboard(confirm)
    seeds = {row.name: set(row.seeds) for row in first.rows if not row.reference}
    for row in second.rows:
        shared = seeds.get(row.name, set()) & set(row.seeds)
        if shared:
            raise UsageError(
                f"--confirm {confirm.name}: row {row.name} has seed {min(shared)}, as {run.name} has; only fresh"
                f" seeds confirm: repeat the run with --first-seed {max(seeds[row.name]) + 1}"
            )
    return rows_of(second)


def _check_same(run: Run, confirm: Run) -> None:
    """Raise UsageError where base, data, or a task, method or judge of both runs are not the same."""
    records = (run.record, confirm.record)
    recipes = [{n: text for n, text in _recipes(record.request).items() if n != "suite"} for record in records]
    differ = [name for name in sorted(recipes[0].keys() & recipes[1].keys()) if recipes[0][name] != recipes[1][name]]
    differ += ["base"] * (records[0].base != records[1].base)
    data = [record.data_sha256 for record in records]
    differ += ["preference data"] * (None not in data and data[0] != data[1])
    if differ:
        raise UsageError(
            f"--confirm {confirm.name}: {differ[0]} is not that of {run.name}; only a run of the same with fresh"
            " seeds confirms"
        )


def _recipes(request: RequestRecord) -> dict[str, str]:
    """Hashes of everything that was asked for, by name."""
    recipes: dict[str, Recipe] = {"suite": request.suite}
    recipes |= {f"task {task.name}": task for task in request.tasks}
    recipes |= {f"method {method.name}": method for method in request.methods}
    recipes |= {f"judge of {task}": judge for task, judge in request.judges.items()}
    return {name: content_key("recipe", {"recipe": value.model_dump()})[:12] for name, value in recipes.items()}
