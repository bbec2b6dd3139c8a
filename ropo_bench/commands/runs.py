"""`ropo-bench runs`: list, show, watch, rename, remove and clean what the runs of a folder hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ropo_bench.commands import options as opt

app = typer.Typer(help="Runs: list, show, watch, rename, remove, free the disk.", no_args_is_help=True)
Run = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")]


@app.command("list")
def list_command(runs: opt.Runs = Path("runs"), json: opt.Json = False) -> None:
    """List every run: rows done, time, bytes of its own and shared, state."""
    from ropo_bench.runs.overview import list_runs
    from ropo_bench.store import Store

    lines = list_runs(Store(runs))
    if json:
        _say_json({"runs": lines})
        return
    cells = [["run", "suite", "rows", "made", "own", "shared", "state"]]
    for line in lines:
        known = "suite" in line
        counts = [f"{line['rows_done']}/{line['rows']}", line["made"] or ""] if known else ["", ""]
        sizes = [_size(line[key]) for key in ("own_bytes", "shared_bytes")] if known else ["", ""]
        cells.append([line["name"], line.get("suite", ""), *counts, *sizes, line["state"]])
    _say_cells(cells)


@app.command()
def show(run: Run, runs: opt.Runs = Path("runs"), json: opt.Json = False) -> None:
    """Show a run's rows, their stages, what each holds on disk and what may go."""
    from ropo_bench.runs.overview import show_run
    from ropo_bench.store import Store

    shown = show_run(Store(runs), run)
    if json:
        _say_json(shown)
        return
    cells = [["row", "seed", "stage", "task", "key", "size", "may go", "state"]]
    for row in shown["rows"]:
        cells.append([row["name"], str(row["seed"]), "", "", "", "", "", row["state"]])
        for stage in row["stages"]:
            sizes = [_size(stage["bytes"]), _size(stage["may_go_bytes"]) if stage["may_go_bytes"] else ""]
            cells.append(["", "", stage["stage"], stage["task"] or "", stage["key"][:12], *sizes, stage["state"]])
    _say_cells(cells)


@app.command()
def status(run: Run, runs: opt.Runs = Path("runs"), json: opt.Json = False) -> None:
    """Say how far a run is, from another terminal or machine: rows, stage, time left, failures, money."""
    from ropo_bench.runs.overview import run_status
    from ropo_bench.store import Store
    from ropo_bench.terminal.progress import duration_text
    from ropo_bench.terminal.screen import say

    told = run_status(Store(runs), run)
    if json:
        _say_json(told)
        return
    say(f"{told['name']}: {told['state']}, {told['rows_done']} of {len(told['rows'])} rows done, ${told['usd']:.2f}")
    stage = told["under_way"]
    if stage is not None:
        total = "" if stage["total"] is None else f" of {stage['total']:,}"
        left = "" if stage["seconds_left"] is None else f", {duration_text(stage['seconds_left'])} left"
        where = f"process {stage['pid']} on {stage['host']}"
        say(f"{stage['label']}: {stage['done']:,}{total} {stage['unit']}{left} ({where})")
    _say_cells(
        [
            ["row", "seed", "scored", "state"],
            *(
                [row["name"], str(row["seed"]), f"{row['num_scored']}/{told['num_tasks']}", row["state"]]
                for row in told["rows"]
            ),
        ]
    )


@app.command()
def path(
    run: Run,
    row: Annotated[str, typer.Option("--row", help="Name of the row.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Its training seed.")] = 0,
    what: Annotated[str, typer.Option("--what", help="model, policy, completions or scores.")] = "model",
    task: Annotated[str | None, typer.Option("--task", help="Whose completions or scores.")] = None,
    runs: opt.Runs = Path("runs"),
) -> None:
    """Print the folder of a row's merged model, policy, answers or scores."""
    from ropo_bench.runs.change import path_of
    from ropo_bench.store import Store
    from ropo_bench.terminal.screen import say

    say(path_of(Store(runs), run, row, seed, what, task))


@app.command()
def rename(
    run: Run, new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")], runs: opt.Runs = Path("runs")
) -> None:
    """Give a run another name."""
    from ropo_bench.runs.change import rename_run
    from ropo_bench.store import Store

    rename_run(Store(runs), run, new)


@app.command()
def rm(run: Run, runs: opt.Runs = Path("runs")) -> None:
    """Remove a run's record and reports.

    What it made stays until `runs gc`.
    """
    from ropo_bench.runs.change import remove_run
    from ropo_bench.store import Store

    remove_run(Store(runs), run)


@app.command()
def prune(
    names: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs (default: all).")] = None,
    keep: opt.Keep = "scores",
    dry_run: DryRun = False,
    runs: opt.Runs = Path("runs"),
    json: opt.Json = False,
) -> None:
    """Remove weights whose scores are in.

    Tables, reports, gates and repeated runs need none of them; what another run still needs stays.
    """
    from ropo_bench.runs.prune import prune as prune_runs
    from ropo_bench.runs.reading import open_run
    from ropo_bench.store import Store

    store = Store(runs)
    opt.check_keep(keep)
    chosen = names or store.run_names()
    for name in chosen:
        open_run(store, name)
    with _alone(store, dry_run):
        _say_removals(prune_runs(store, chosen, keep, dry_run), dry_run, json)


@app.command()
def gc(dry_run: DryRun = False, runs: opt.Runs = Path("runs"), json: opt.Json = False) -> None:
    """Remove what no run names, what killed processes left, and old unfinished stages."""
    from ropo_bench.runs.prune import collect_garbage
    from ropo_bench.store import Store

    store = Store(runs)
    with _alone(store, dry_run):
        _say_removals(collect_garbage(store, dry_run), dry_run, json)


@contextmanager
def _alone(store: Any, dry_run: bool) -> Iterator[None]:
    """Have the store alone for the body; raises UnfinishedRun where another command works in it."""
    from ropo_bench.errors import UnfinishedRun
    from ropo_bench.runs.prune import ANOTHER
    from ropo_bench.store.locks import ALONE

    if dry_run or not store.root.exists():
        yield
        return
    with store.use.hold(ALONE) as alone:
        if not alone:
            raise UnfinishedRun(f"{store.root}: {ANOTHER}; repeat this when it has ended")
        yield


def _say_removals(removals: Sequence[Any], dry_run: bool, json: bool) -> None:
    from dataclasses import asdict

    from ropo_bench.terminal.screen import say

    total = sum(removal.num_bytes for removal in removals)
    if json:
        _say_json({"dry_run": dry_run, "bytes": total, "removed": [asdict(removal) for removal in removals]})
        return
    for removal in removals:
        say(f"{_size(removal.num_bytes):>9}  {removal.path}  ({removal.because})")
    say(f"{_size(total)} {'would be' if dry_run else 'were'} freed")


def _say_json(value: Mapping[str, Any]) -> None:
    from ropo_bench.store.bounded import dump_json
    from ropo_bench.terminal.screen import say

    say(dump_json(value))


def _say_cells(cells: Sequence[Sequence[str]]) -> None:
    from ropo_bench.terminal.screen import say

    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    for line in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _size(num_bytes: float) -> str:
    """2.1 GB and so on, in powers of 1000 as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"
