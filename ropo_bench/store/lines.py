"""Records as JSON lines: appended safely, a torn end cut, a corrupt middle named."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic_core import from_json

from ropo_bench.errors import StorageError
from ropo_bench.store.files import storage_errors, sync

_SYNC_SECONDS = 1.0


def _scan(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (offset behind the line, record) for each sound line; raises StorageError at a corrupt middle.

    A torn end is left out: a last line without its newline, and last lines with NUL bytes (what some file
    systems leave of unsynced data after a power cut; JSON text never holds a NUL byte).
    """
    offset = 0
    torn_at: int | None = None
    with storage_errors(path), path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            offset += len(line)
            if not line.endswith(b"\n"):
                return
            if b"\0" in line:
                torn_at = torn_at or number
                continue
            record = _parse(line)
            if torn_at is not None or not isinstance(record, dict):
                raise StorageError(
                    f"{path}, line {torn_at or number}: not a JSON record and no torn last line; "
                    f"delete the folder {path.parent} and repeat the command, which makes it again"
                )
            yield offset, record


def _parse(line: bytes) -> Any:
    """What a line says; None where it is no JSON. The fast parser knows no half surrogates, which JSON may hold."""
    try:
        return from_json(line)
    except ValueError:
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            return None


class JsonLines:
    """An append-only file of JSON objects, one a line.

    Iterating reads what is there (nothing, if there is no file) and never changes the file. The first append
    cuts a torn end. Each append is one write: killing the process loses no appended record. It is fsynced at
    most once a second and on close: a power cut loses at most the last second. A line is whole or absent, so
    records that must stay together (a generation batch) belong into one line. NaN is kept as Python's `NaN`.
    Only one process may append (hold the stage's lock). Raises StorageError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._end = 0
        self._synced_at = 0.0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self.path.exists():
            for _, record in _scan(self.path):
                yield record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def append(self, record: Mapping[str, Any]) -> None:
        """Append one record; raises StorageError, after which the file ends where it did before."""
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        data = text.encode(errors="surrogatepass")  # as json.loads reads it back
        with storage_errors(self.path):
            descriptor = self._open() if self._descriptor is None else self._descriptor
            try:
                written = 0
                while written < len(data):  # a write that fills the disk is short first, and fails next
                    written += os.write(descriptor, data[written:])
            except BaseException:
                os.ftruncate(descriptor, self._end)
                raise
            self._end += len(data)
            if time.monotonic() - self._synced_at > _SYNC_SECONDS:
                os.fsync(descriptor)
                self._synced_at = time.monotonic()

    def close(self) -> None:
        """Make what was appended durable and close the file; a later append opens it again."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with storage_errors(self.path):
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        self._end = 0
        if not new:
            for end, _ in _scan(self.path):
                self._end = end
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self._descriptor = descriptor
        if os.fstat(descriptor).st_size != self._end:
            os.ftruncate(descriptor, self._end)
        if new:
            sync(self.path.parent)
        return descriptor
