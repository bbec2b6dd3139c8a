"""`ropo-bench table`: the leaderboard of runs, from what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard import leaderboard
from ropo_bench.leaderboard.cells import STYLES, Style
from ropo_bench.leaderboard.formats import FORMATS, render
from ropo_bench.leaderboard.literature import read_published
from ropo_bench.leaderboard.terminal import to_text
from ropo_bench.recipes.files import suggest
from ropo_bench.runs.reading import Run, newest_run, open_run
from ropo_bench.store import Store
from ropo_bench.terminal.console import page_screen
from ropo_bench.terminal.screen import say


def table_command(names: Sequence[str], format: str, style: str, runs: Path, against: str | None = None) -> None:
    """Print the table of the named runs, side by side where they are comparable, or of the newest.

    Raises UsageError for an unknown run, format or style, and for runs that cannot be compared.
    """
    _check("--format", format, ["text", *FORMATS])
    _check("--style", style, STYLES)
    store = Store(runs)
    opened = [open_run(store, name) for name in names or [newest_run(store)]]
    _print(opened, format, "paper" if style == "paper" else "full", against)


def print_leaderboard(run: Run, format: str) -> None:
    """Print the whole table of a run as text or in one of FORMATS."""
    _print([run], format, "full")


def _print(runs: Sequence[Run], format: str, style: Style, against: str | None = None) -> None:
    board = leaderboard(runs, against)
    base = runs[0].record.request.suite.published
    literature = read_published(base, {(column.task, column.metric) for column in board.columns})
    if format != "text":
        say(render(board, format, style, literature), end="")
        return

    console = page_screen()
    console.print(to_text(board, console.width, style, literature))


def _check(option: str, given: str, choices: Sequence[str]) -> None:
    if given not in choices:
        raise UsageError(f"{option} {given}: {suggest(given, choices) or 'known: ' + ', '.join(choices)}")
