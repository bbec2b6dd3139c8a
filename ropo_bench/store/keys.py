"""Content keys: what made a stage's output, as sixteen hexadecimal digits."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from ropo_bench.errors import UsageError
from ropo_bench.store.files import JSON, atomic_write_text, sha256_of, storage_errors

KEY_DIGITS = 16
_CACHED_FROM_BYTES = 1 << 20  # smaller files are hashed faster than their cache entry is kept
_SETTLED_SECONDS = 2.0  # a younger file may change again within one tick of its time stamps


def canonical_json(value: JSON) -> str:
    """One text for one value: sorted keys, no spaces, ASCII; raises ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_key(stage: str, inputs: Mapping[str, JSON]) -> str:
    """The key of a stage's output: sha256 of its name and everything that made it, 16 hex digits."""
    text = canonical_json({"stage": stage, "inputs": inputs})
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def file_hash(path: Path, cache: Path | None = None) -> str:
    """sha256 of a file, remembered in the folder `cache` by path, size, times and inode: 16 GB are read once.

    Raises UsageError if there is no such file, StorageError if it cannot be read.
    """
    real = path.resolve()
    if not real.is_file():
        raise UsageError(f"{path}: no such file")
    with storage_errors(path):
        stat = real.stat()
        settled = time.time() - max(stat.st_mtime, stat.st_ctime) > _SETTLED_SECONDS
        if cache is None or stat.st_size < _CACHED_FROM_BYTES or not settled:
            return sha256_of(real)
        # ctime beside mtime: a copy that keeps the old times (cp -p, rsync -t) is seen too.
        identity: list[JSON] = [
            os.fspath(real),
            stat.st_size,
            stat.st_mtime_ns,
            stat.st_ctime_ns,
            stat.st_ino,
        ]
        entry = cache / hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:KEY_DIGITS]
        words = entry.read_text(errors="replace").split() if entry.is_file() else []
        if len(words) == 2 and words[1] == _seal(identity, words[0]):
            return words[0]
        value = sha256_of(real)
        atomic_write_text(entry, f"{value} {_seal(identity, value)}\n")
        return value


def _seal(identity: list[JSON], sha256: str) -> str:
    """Of a remembered hash and of the file that it is of: a damaged entry is no hash."""
    return hashlib.sha256(canonical_json([*identity, sha256]).encode()).hexdigest()[:KEY_DIGITS]


def folder_hash(folder: Path, cache: Path | None = None) -> str:
    """sha256 over the names and contents of all files below a folder; hidden files and folders do not count.

    Raises UsageError if there is no such folder or nothing in it, StorageError if a file cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    digest = hashlib.sha256()
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    names = {path: path.relative_to(folder) for path in paths}
    visible = [path for path in paths if not any(part.startswith(".") for part in names[path].parts)]
    if not visible:
        raise UsageError(f"{folder}: the folder is empty")
    for path in visible:
        digest.update(f"{names[path].as_posix()}\0{file_hash(path, cache)}\n".encode())
    return digest.hexdigest()
