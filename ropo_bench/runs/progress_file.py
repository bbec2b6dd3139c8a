"""RUNS/NAME/progress.json: the stage that a running command is at, for whoever looks from elsewhere."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ropo_bench.store.files import TEMPORARY_PREFIX
from ropo_bench.terminal.progress import Bar

PROGRESS = "progress.json"
SILENT_SECONDS = 600
"""After so long without a word, a process on another machine counts as gone."""


def progress_writer(folder: Path) -> Callable[[Bar], None]:
    """What writes how far a stage is into a run's folder. It is a courtesy: a write that fails stops nothing."""

    def write(bar: Bar) -> None:
        line = {"label": bar.label, "done": bar.step, "start": bar.start, "total": bar.total, "unit": bar.unit}
        line |= {"seconds": bar.seconds, "time": time.time(), "pid": os.getpid(), "host": socket.gethostname()}
        temporary = folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{PROGRESS}"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(line))
            temporary.replace(folder / PROGRESS)

    return write


def read_progress(folder: Path) -> dict[str, Any] | None:
    """The stage under way, with `seconds_left` (None: unknown); None where no process is at work on the run."""
    try:
        line: dict[str, Any] = json.loads((folder / PROGRESS).read_text())
        if not _is_alive(line):
            return None
        done, total = line["done"] - line["start"], line["total"]
        known = total is not None and done > 0
        line["seconds_left"] = line["seconds"] / done * (total - line["done"]) if known else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return line


def _is_alive(line: dict[str, Any]) -> bool:
    if line["host"] != socket.gethostname():
        return bool(time.time() - line["time"] < SILENT_SECONDS)
    try:
        os.kill(int(line["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
