"""`ropo-bench export`: a run's answers and verdicts in the field's own file formats, for other people's tools."""

from __future__ import annotations

from pathlib import Path

from ropo_bench.publishing.export import export
from ropo_bench.runs.reading import named_run
from ropo_bench.terminal.screen import say


def export_command(run: str | None, out: Path, runs: Path) -> None:
    """Write the files into OUT and print their paths; raises UsageError where the run has nothing that is judged."""
    say("\n".join(str(path) for path in export(named_run(runs, run), out)))
