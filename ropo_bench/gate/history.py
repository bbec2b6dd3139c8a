"""The history of a suite: JSON lines, one self-contained line a night, only ever appended to.

Lines may come twice and in any order (a union merge of two branches): they are sorted and made unique on reading.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import ropo_bench
from ropo_bench.errors import UsageError
from ropo_bench.gate.night import SCHEMA, Night, from_plain, to_plain
from ropo_bench.store import storage_errors
from ropo_bench.store.bounded import check_types, parse_json, read_bounded


def default_path(suite: str) -> Path:
    """results/history/SUITE.jsonl in a checkout of this project, else in the user's data folder."""
    checkout = Path(ropo_bench.__file__).parents[1]
    if (checkout / ".git").exists():
        return checkout / "results" / "history" / f"{suite}.jsonl"
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "ropo-bench" / "history" / f"{suite}.jsonl"


def read_history(path: Path, suite: str, warn: Callable[[str], None]) -> list[Night]:
    """The nights of a history, oldest first; none where there is no file yet.

    A last line without its end is what a kill leaves: it is skipped, and `warn` gets a line. Raises UsageError with
    the place for every other line that is no night of this schema and suite, StorageError for an unreadable file.
    """
    if not path.exists():
        return []
    with storage_errors(path):
        data = _read(path)
    *lines, rest = data.split(b"\n")
    if rest.strip():
        try:
            parse_json(rest)
            lines.append(rest)
        except ValueError:
            warn(f"{path}, line {len(lines) + 1}: cut off, skipped; the next night is written in its place")
    nights = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            night = _night(line, f"{path}, line {number}")
            if night.suite != suite:
                raise UsageError(
                    f"{path}, line {number}: is of suite {night.suite}, not of {suite}; give that suite's --history"
                )
            nights[night.time, line.strip()] = night
    return [night for _, night in sorted(nights.items(), key=lambda item: item[0])]


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path)
    except ValueError as error:
        raise UsageError(f"{path}: {error}; give another --history") from None


def _night(line: bytes, where: str) -> Night:
    mend = "mend or remove that line, or give another --history"
    try:
        value = parse_json(line)
    except ValueError as error:
        raise UsageError(f"{where}: not JSON ({error}); {mend}") from None
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        schema = value.get("schema") if isinstance(value, dict) else None
        raise UsageError(f"{where}: not a night of schema {SCHEMA} but of {schema!r}; {mend}")
    try:
        night = from_plain(value)
        check_types(Night, value)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{where}: not a night of schema {SCHEMA} ({error!r}); {mend}") from None
    return night


def as_tonight(stored: Night, history: Sequence[Night], time: str) -> Night:
    """A stored run as the night it is: its own line, where the history has one of this run and these measurements.

    Then it has that line's time, so that only what was before it is before it, and the line's repeats, re-run, anchor
    and provenance; of several such lines, the newest. Else it is measured tonight, at `time` (UTC).
    """
    own = [night for night in history if night.run == stored.run and _measurements(night) == _measurements(stored)]
    if not own:
        return replace(stored, time=time)
    line = own[-1]
    return replace(
        stored,
        time=line.time,
        provenance=line.provenance,
        recipes=line.recipes,
        repeats=line.repeats,
        again=line.again,
        anchor=line.anchor,
    )


def _measurements(night: Night) -> dict[str, dict[str, str]]:
    """Row -> column -> measurement, of finished rows."""
    return {
        name: {column: cell.measurement for column, cell in row.cells.items()}
        for name, row in night.rows.items()
        if row.state == "done"
    }


def append(path: Path, night: Night) -> None:
    """Add a night at the end, durably; a cut-off last line goes. Raises StorageError."""
    text = json.dumps(to_plain(night), ensure_ascii=False, separators=(",", ":")) + "\n"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        with os.fdopen(descriptor, "r+b") as file:
            start = _end_of_lines(file.read())
            if start is None:
                text = "\n" + text
            else:
                file.truncate(start)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())


def _end_of_lines(data: bytes) -> int | None:
    """Where the next line starts; None where the last one is whole and only lacks its end."""
    start = data.rfind(b"\n") + 1
    if data[start:].strip():
        try:
            parse_json(data[start:])
        except ValueError:
            return start
        return None
    return start
