"""JSON lines that say whether they are whole: each has a checksum, and a damaged one costs itself alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ropo_bench.store import atomic_file, storage_errors

CHECK = "check"
BAD = ".bad"  # after a file's name: where its damaged lines are kept


class Line(NamedTuple):
    """A line as it is on disk, its newline included, and its record, None where it is damaged."""

    data: bytes
    record: dict[str, Any] | None


def with_checksum(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its checksum."""
    return {**record, CHECK: _checksum(record)}


def _checksum(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_lines(path: Path, keys: frozenset[str]) -> Iterator[Line]:
    """Every line of a file that is not there, or whole, or damaged in places; never changes it.

    keys: those that a record may have beside its checksum, so that damage to the word `check` is damage too. Lines
    of before there were checksums are taken as they are. A last line without its newline was not written to its end
    and is left out.
    """
    if not path.exists():
        return
    with storage_errors(path), path.open("rb") as file:
        for data in file:
            if data.endswith(b"\n"):
                yield Line(data, _record(data, keys))


def _record(data: bytes, keys: frozenset[str]) -> dict[str, Any] | None:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("key"), str):
        return None
    check = record.pop(CHECK, None)
    whole = record.keys() <= keys and (check is None or check == _checksum(record))
    return record if whole else None


def set_damaged_aside(path: Path, keys: frozenset[str]) -> int:
    """Move damaged lines into a file beside theirs, PATH.bad; returns how many. Only who holds the folder may."""
    lines = list(read_lines(path, keys))
    damaged = [line.data for line in lines if line.record is None]
    if damaged:
        with storage_errors(path), path.with_name(path.name + BAD).open("ab") as file:
            file.writelines(damaged)
        with atomic_file(path) as temporary:
            temporary.write_bytes(b"".join(line.data for line in lines if line.record is not None))
    return len(damaged)
