"""Advisory locks between processes: one makes a stage, the others wait for it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ropo_bench.store.files import storage_errors

locks_of_this_process: set[Path] = set()
"""Paths of the locks that this process holds."""
SHARED, ALONE = fcntl.LOCK_SH, fcntl.LOCK_EX


@contextmanager
def hold_lock(path: Path, what: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold an advisory lock on the file `path`; if another process has it, tell `waiting` who and wait.

    The kernel frees the lock of a killed process. POSIX record locks, not flock: a forked worker that
    outlives its killed parent would keep a flock. They do not exclude threads of one process: the assert.
    """
    assert path not in locks_of_this_process, f"{path} is already locked by this process"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with storage_errors(path):
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):  # POSIX allows either for "somebody has it"
                holder = os.pread(descriptor, 32, 0).decode().strip()
                waiting(f"{what} is being made by {f'process {holder}' if holder else 'another process'}; waiting")
                fcntl.lockf(descriptor, fcntl.LOCK_EX)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        locks_of_this_process.add(path)
        yield
    finally:
        locks_of_this_process.discard(path)
        os.close(descriptor)


def is_free(path: Path) -> bool:
    """Whether no process holds the lock on the file `path` at this moment."""
    if path in locks_of_this_process:
        return False
    with storage_errors(path):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        finally:
            os.close(descriptor)
    return True


class UseLock:
    """Who uses a store: commands that make stages share it, whoever removes weights has it alone.

    One process holds it once: POSIX locks end with the first close of their file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @contextmanager
    def hold(self, how: int) -> Iterator[bool]:
        """Hold the lock, SHARED (waits for a removal to end) or ALONE; yields False where it cannot be had alone."""
        if self._path in locks_of_this_process:
            yield how == SHARED
            return
        with storage_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        had = False
        try:
            had = self._take(how)
            if had:
                locks_of_this_process.add(self._path)
            yield had
        finally:
            if had:
                locks_of_this_process.discard(self._path)
            os.close(self._descriptor)
            self._descriptor = None

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Make the shared lock of this object one held alone, for the body; yields False where others share it."""
        if self._descriptor is None:
            yield False
            return
        had = self._take(ALONE)
        try:
            yield had
        finally:
            self._take(SHARED)

    def _take(self, how: int) -> bool:
        assert self._descriptor is not None
        with storage_errors(self._path):
            try:
                fcntl.lockf(self._descriptor, how if how == SHARED else how | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                return False
        return True
