"""`ropo-bench table`: a run's leaderboard, from what is stored."""

from __future__ import annotations

import sys
from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard import leaderboard
from ropo_bench.recipe_files import suggest
from ropo_bench.reporting.formats import FORMATS
from ropo_bench.reporting.terminal import to_text
from ropo_bench.runs import Store

PLAIN_WIDTH = 120


def table_command(run: str | None, format: str, runs: Path) -> None:
    """Print the table of the named run, or of the newest."""
    store = Store(runs)
    print_leaderboard(store, run or newest_run(store), format)


def newest_run(store: Store) -> str:
    """The run that was written last; raises UsageError when there is none."""
    names = store.run_names()
    if not names:
        raise UsageError(f"{store.root}: no runs there; start one with: ropo-bench run")
    return max(names, key=lambda name: (store.run_folder(name) / "run.json").stat().st_mtime_ns)


def print_leaderboard(store: Store, name: str, format: str) -> None:
    """Print a leaderboard as text, md, latex, csv or json; raises UsageError for another format."""
    if format != "text" and format not in FORMATS:
        known = ["text", *FORMATS]
        raise UsageError(f"--format {format}: {suggest(format, known) or 'known: ' + ', '.join(known)}")
    board = leaderboard(store, name)
    if format != "text":
        print(FORMATS[format](board), end="")
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
    console.print(to_text(board, console.width))
