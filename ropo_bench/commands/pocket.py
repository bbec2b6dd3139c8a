"""`ropo-bench pocket build`: the embedded world's files from their seed."""

from __future__ import annotations

from pathlib import Path

from ropo_bench.pocket.build.steps import build
from ropo_bench.sources.shipped import POCKET_ASSETS
from ropo_bench.store import Store
from ropo_bench.terminal.progress import Progress


def build_command(out: Path | None, runs: Path) -> None:
    """Make the files in the runs folder's cache, then copy them to `out` (default: the package's own)."""
    with Progress() as progress:
        build(out or POCKET_ASSETS, Store(runs), progress)
