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
