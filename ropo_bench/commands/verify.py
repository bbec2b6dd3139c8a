"""`ropo-bench verify`: whether published results follow from their own scores, with the code of today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer

from ropo_bench.publishing import results_in, verify
from ropo_bench.store.bounded import dump_json
from ropo_bench.terminal.screen import say

SCHEMA = 1


def verify_command(folders: Sequence[Path], json: bool, write: bool = False) -> None:
    """Verify every result in the folders; exits 1 where one differs, 3 where one could not be derived here.

    write: see publishing.verify.
    """
    verdicts = [verify(result, write) for folder in folders for result in results_in(folder)]
    if json:
        results = [asdict(verdict) | {"folder": str(verdict.folder), "state": verdict.state} for verdict in verdicts]
        say(dump_json({"schema": SCHEMA, "results": results}))
    else:
        for verdict in verdicts:
            counts = (
                f"{verdict.num_cells:,} cells and {verdict.num_comparisons:,} comparisons derived from the scores"
            )
            counts += "; recipe, costs and certificates are as they were published, and not derived"
            say(f"{verdict.state}  {verdict.folder}: {counts if verdict.reason is None else verdict.reason}")
            for line in (*verdict.differences, *(f"note: {note}" for note in verdict.notes)):
                say(f"  {line}")
    states = {verdict.state for verdict in verdicts}
    if "DIFFERS" in states:
        raise typer.Exit(1)
    if "NOT DERIVED" in states:
        raise typer.Exit(3)
