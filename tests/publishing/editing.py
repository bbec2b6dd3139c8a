"""Published folders and records, read and changed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ropo_bench.runs.reading import Run, open_run
from ropo_bench.runs.record import RunRecord
from ropo_bench.store import Store

COMMIT = "0123456789" * 4


def texts(folder: Path) -> dict[str, str]:
    read = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {name: (gzip.decompress(data) if name.endswith(".gz") else data).decode() for name, data in read.items()}


def change(path: Path, edit: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value, indent=1))


def altered(run: Run, into: Path, edit: Callable[[RunRecord], None]) -> Run:
    """The run in another store with the same stages, its record changed."""
    into.mkdir()
    (into / "cache").symlink_to(run.store.root / "cache")
    record = run.record.model_copy(deep=True)
    edit(record)
    Store(into).write_run(run.name, record.model_dump())
    return open_run(Store(into), run.name)
