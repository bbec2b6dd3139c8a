"""`ropo-bench publish`: the small, reviewable part of a finished run, as a folder to commit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ropo_bench.publishing import publish
from ropo_bench.runs.reading import named_run
from ropo_bench.store.bounded import dump_json
from ropo_bench.terminal.screen import say

SCHEMA = 1


def publish_command(run: str | None, out: Path | None, commits: Sequence[str], runs: Path, json: bool) -> None:
    """Write the result of a run to `out` (default: results/RUN) and say how large its files are."""
    opened = named_run(runs, run)
    done = publish(opened, Path("results") / opened.name if out is None else out, commits)
    total = sum(done.size_bytes.values())
    if json:
        sizes = {"size_bytes": dict(done.size_bytes), "total_bytes": total}
        said = {"schema": SCHEMA, "run": opened.name, "out": str(done.folder), "unchanged": done.unchanged}
        say(dump_json(said | sizes, indent=None))
        return
    for file, size in sorted(done.size_bytes.items()):
        say(f"{size:>11,}  {done.folder / file}")
    state = "there already, unchanged" if done.unchanged else "written"
    say(f"{total:>11,}  bytes {state}; check it with: ropo-bench verify {done.folder}")
