"""`ropo-bench run`, `eval` and `plan`: from names to a resolved request, then the way, then the table."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from ropo_bench.commands.table import print_leaderboard
from ropo_bench.comparison.request_changes import refuse_another_request
from ropo_bench.errors import InternalError, RopoBenchError, UnfinishedRun
from ropo_bench.errors.failures import INTERNAL
from ropo_bench.pipeline import run as run_pipeline
from ropo_bench.planning.explain import reason_lines
from ropo_bench.planning.fit import check_launch, check_parallel
from ropo_bench.planning.inventory import Inventory
from ropo_bench.planning.parallel import rows_side_by_side
from ropo_bench.request import Asked, Limits, budget_of, resolve, untuned_methods
from ropo_bench.runs.prune import KEEP_ALL
from ropo_bench.runs.reading import open_run
from ropo_bench.runs.record import DONE, FAILED, RunRecord
from ropo_bench.store import Store
from ropo_bench.terminal.progress import Progress
from ropo_bench.terminal.screen import say
from ropo_bench.training.team.launch import Launch


@dataclass(frozen=True, slots=True)
class Making:
    """How rows are made, none of which changes a number.

    launch: how it trains (None: as fits this machine best). parallel: so many rows at a time, in processes of their
    own. keep: weights that stay when a row is scored, see runs.prune.KEEPS. explain: say first why each stage is made
    that others like it are finished of.
    """

    launch: Launch | None = None
    parallel: int | None = None
    keep: str = KEEP_ALL
    explain: bool = False


def run_command(
    asked: Asked,
    runs: Path,
    name: str | None,
    json: bool,
    limits: Limits,
    making: Making = Making(),
    replace: bool = False,
) -> None:
    """Resolve, run, print; exits 4 when a row failed (70 by an internal error), 5 when the budget was reached.

    replace: another run of this name gives way.
    """
    request = resolve(asked)
    store = Store(runs)
    name = name or request.run_name()
    if not replace:
        refuse_another_request(store, name, request)
    with Progress() as progress:
        for method in untuned_methods(request):
            progress.note(
                f"{method}: suite {request.suite.name} has no override for it; it trains at its recipe's lr "
                f"(find one with: ropo-bench tune --suite {request.suite.name} --methods {method})"
            )
        if making.explain:
            for line in reason_lines(asdict(step) for step in Inventory(request, store).steps()):
                progress.note(line)
        if making.parallel is None:
            launch, ahead = check_launch(request, store, progress.note, making.launch), None
        else:
            launch = check_parallel(request, store, progress.note, making.launch, making.parallel)
            ahead = rows_side_by_side(request, making.parallel)
        try:
            budget = budget_of(request, limits)
            record = run_pipeline(request, store, name, progress, budget, launch, ahead, making.keep)
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
