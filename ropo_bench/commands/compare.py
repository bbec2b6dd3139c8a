"""`ropo-bench compare`: paired differences between rows of one run or of two, flips, and the most changed prompts."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import get_terminal_size

from ropo_bench.comparison.columns import compare_rows
from ropo_bench.comparison.text import comparison_json, comparison_text
from ropo_bench.store import Store
from ropo_bench.terminal.console import PLAIN_WIDTH
from ropo_bench.terminal.screen import say


def compare_command(first: str, second: str | None, rows: str | None, top: int, runs: Path, json: bool) -> None:
    """Print the comparison; raises UsageError where the rows are no pair."""
    compared = compare_rows(Store(runs), first, second, rows, top)
    if json:
        say(comparison_json(compared.title, compared.notes, compared.pairs), end="")
        return
    width = get_terminal_size().columns if sys.stdout.isatty() else PLAIN_WIDTH
    say(comparison_text(compared.title, compared.notes, compared.pairs, width), end="")
