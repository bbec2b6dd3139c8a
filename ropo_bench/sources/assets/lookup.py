"""Where an asset lies: the user's mirror, then the cache, then its public source; never read unverified."""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ropo_bench.errors import StorageError, UsageError
from ropo_bench.sources.assets.download import Unreachable, download
from ropo_bench.sources.assets.registry import Entry
from ropo_bench.store.bounded import gunzip
from ropo_bench.store.files import CACHE, user_cache

MIRROR = "ROPO_BENCH_ASSETS"
Place = Literal["mirror", "cache"]


def use_mirror(folder: Path) -> None:
    """Look into this mirror folder first, in this process and those that it starts; raises UsageError."""
    os.environ[MIRROR] = str(folder.expanduser().resolve())
    mirror_folder()


def mirror_folder() -> Path | None:
    """The user's mirror, None where none is set; raises UsageError where the folder does not exist."""
    value = os.environ.get(MIRROR)
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise UsageError(f"asset mirror {value}: no such folder; mend {MIRROR} or --assets, or unset it to download")
    return folder


def cache_folder() -> Path:
    """Where downloads are kept: ROPO_BENCH_CACHE, or ropo-bench below XDG_CACHE_HOME or ~/.cache."""
    return user_cache() / "assets"


def find(entry: Entry) -> tuple[Place, Path] | None:
    """Where an entry's file is here and now, unread; None where it would have to be downloaded."""
    mirror = mirror_folder()
    places: list[tuple[Place, Path]] = [("mirror", mirror)] if mirror else []
    for place, folder in (*places, ("cache", cache_folder())):
        for name in (entry.name, f"{entry.name}.gz"):
            if (folder / name).is_file():
                return place, folder / name
    return None


def fetch(entry: Entry) -> Path:
    """The verified local file of an entry, downloaded into the cache where it is not here yet.

    Raises UsageError for a file with other content and for what is neither here nor to be had, StorageError for
    a file that cannot be read or written.
    """
    place = find(entry)
    if place is not None:
        verify(entry, place[1])
        return place[1]
    mirror = mirror_folder()
    where = f"neither in the mirror ({mirror or f'{MIRROR} is not set'}) nor in the cache ({cache_folder()})"
    mend = "give a mirror folder that has it with --assets DIR"
    if entry.url is None:
        reason = entry.change
        other = f"; the official data: {entry.instead}" if entry.instead else ""
        raise UsageError(f"asset {entry.name}: {where}, and no public file is the same ({reason}); {mend}{other}")
    try:
        content = download(entry.url, None if entry.change else entry.num_bytes)
    except Unreachable as error:
        raise UsageError(
            f"asset {entry.name}: {where}, and {entry.url} cannot be had ({error}); "
            f"repeat the command with a network connection, or {mend}"
        ) from error
    actual = hashlib.sha256(content).hexdigest()
    _check(entry, entry.url, actual, f"nothing was kept; repeat the command, or {mend}")
    target = cache_folder() / entry.name
    write_whole(target, content)
    return target


def verify(entry: Entry, path: Path) -> None:
    """Raise UsageError if a local file's uncompressed content is not what the registry says."""
    try:
        actual = content_hash(path)
    except OSError as error:
        raise StorageError(
            f"asset {entry.name}: {path} cannot be read ({error.strerror}); mend its permissions or its disk"
        ) from error
    _check(entry, str(path), actual, "delete that file, and take it again from its source")


def content_hash(path: Path) -> str:
    """sha256 of a file's uncompressed content; read once a process, unless the file changes."""
    stat = path.stat()
    return _content_hash(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def read_bytes(path: Path) -> bytes:
    """A file's content, uncompressed where its name ends in .gz; raises UsageError for a damaged one."""
    data = path.read_bytes()
    if path.suffix != ".gz":
        return data
    try:
        return gunzip(data)
    except ValueError as error:
        raise UsageError(f"{path}: {error}; delete it, and take it again") from None


def write_whole(target: Path, content: bytes) -> None:
    """Write a file whole or not at all; raises StorageError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".tmp-", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).chmod(0o644)
                Path(file.name).replace(target)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise StorageError(
            f"{target}: {error.strerror}; free space or make the folder writable, or choose another with {CACHE}"
        ) from error


@lru_cache(maxsize=256)
def _content_hash(path: Path, size: int, mtime_ns: int, ctime_ns: int) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _check(entry: Entry, where: str, actual: str, mend: str) -> None:
    if actual not in entry.hashes:
        hashes = " or ".join(entry.hashes)
        raise UsageError(f"asset {entry.name}: {where} has sha256 {actual}, the registry says {hashes}; {mend}")
