"""Files that are whole or absent: every failed write names the mend."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from ropo_bench.errors import RopoBenchError, StorageError
from ropo_bench.store.bounded import parse_json

JSON = str | int | float | bool | None | Sequence["JSON"] | Mapping[str, "JSON"]

SEAL = "checksum"
CACHE = "ROPO_BENCH_CACHE"
TEMPORARY_PREFIX = ".tmp-"  # what a kill may leave behind; Stage.begin sweeps it
SMALL_BYTES = 4 << 20  # hashed at every use (1 ms a MiB); larger files when somebody reads them

# Such an error means the disk, whichever file it names.
DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO})
_WRITABLE = "make it writable or choose another folder with --runs DIR"
_FILE_FOR_FOLDER = "a file is where a folder is needed: move it away or choose another folder with --runs DIR"
_MENDS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space or raise the quota",
    errno.EFBIG: "raise the file size limit (ulimit -f)",
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.EROFS: "choose a writable folder with --runs DIR",
    errno.ENOTDIR: _FILE_FOR_FOLDER,
    errno.EEXIST: _FILE_FOR_FOLDER,
    errno.EISDIR: "a folder is where a file is needed: move it away or choose another folder with --runs DIR",
}
_RUST_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # safetensors reports I/O errors as text only


class FileEntry(TypedDict):
    """One file of a finished folder: path relative to it, size in bytes, sha256."""

    path: str
    size_bytes: int
    sha256: str


def os_error_number(error: Exception) -> int | None:
    """The errno behind an error, also where torch or safetensors hide it; None if there is none."""
    if isinstance(error, OSError):
        return error.errno
    if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
        return error.__context__.errno  # torch.save into an open file hides it there
    match = None if isinstance(error, RopoBenchError) else _RUST_OS_ERROR.search(str(error))
    return int(match.group(1)) if match else None


def storage_error(path: Path, error: Exception, number: int) -> StorageError:
    """The StorageError that tells a user of OS error `number` at `path`, or at the file `error` names."""
    where = Path(error.filename) if isinstance(error, OSError) and isinstance(error.filename, str) else path
    mend = _MENDS.get(number, "check the disk")
    return StorageError(f"{where}: {os.strerror(number)}; {mend}, then repeat the command: what was finished is kept")


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn every OSError of the body (also those of safetensors) into a StorageError that names the file."""
    try:
        yield
    except Exception as error:
        number = os_error_number(error)
        if number is None:
            raise
        raise storage_error(path, error, number) from error


def sync(path: Path) -> None:
    """Make a file durable, or the names in a folder: a rename is not, until its folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make every file below a folder, and the folder, durable."""
    for parent, _, names in os.walk(folder):
        for name in names:
            sync(Path(parent, name))
        sync(Path(parent))


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; when the body ends well it is synced and becomes `target`.

    Raises StorageError; on any error `target` is what it was before.
    """
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{target.name}")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            sync(temporary)
            temporary.replace(target)
            sync(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


def atomic_write_text(target: Path, text: str) -> None:
    """Write UTF-8 text to `target`, whole or not at all; raises StorageError."""
    with atomic_file(target) as temporary:
        temporary.write_bytes(text.encode())


def atomic_write_json(target: Path, value: JSON) -> None:
    """Write a value as indented JSON (keys in the given order) to `target`, whole or not at all."""
    atomic_write_text(target, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path, mend: str = "delete it and repeat the command") -> Any:
    """Read a JSON file of the store; raises StorageError, which ends in `mend`, if it cannot be read or parsed."""
    with storage_errors(path):
        text = path.read_bytes()
    try:
        return parse_json(text, infinite=True)
    except ValueError as error:
        raise StorageError(f"{path}: not JSON ({error}); {mend}") from error


def write_checksummed(target: Path, value: Mapping[str, JSON]) -> None:
    """Write a JSON object with a checksum of itself as its last key, which `read_checksummed` holds it to."""
    atomic_write_json(target, {**value, SEAL: _seal(value)})


def read_checksummed(path: Path, mend: str) -> dict[str, Any]:
    """Read what `write_checksummed` wrote, without its checksum; raises StorageError for anything else."""
    value = read_json(path, mend)
    if not isinstance(value, dict) or SEAL not in value:
        raise StorageError(f"{path}: has no {SEAL} (damaged, or another version's); {mend}")
    if value.pop(SEAL) != _seal(value):
        raise StorageError(f"{path}: content changed since it was written; {mend}")
    return value


def _seal(value: Mapping[str, JSON]) -> str:
    """sha256 of an object as it comes back from its file; the order of keys counts, as it does for readers."""
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty temporary folder; when the body ends well it is synced and becomes `target`.

    An older `target` is replaced; a kill between its removal and the rename leaves `target` absent, never
    half. Where the old version must survive a kill (checkpoints), give each version a name of its own.
    Raises StorageError; after any error in the body `target` is what it was before.
    """
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{target.name}")
    outgoing = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-old-{target.name}")
    with storage_errors(target):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            sync_tree(temporary)
            if target.exists():
                target.rename(outgoing)
            temporary.rename(target)
            sync(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(outgoing, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders that a killed process left directly in `folder`."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """sha256 of a file's content, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder: Path) -> list[FileEntry]:
    """Every file below `folder` with its size and sha256, sorted by path."""
    return [
        {
            "path": path.relative_to(folder).as_posix(),
            "size_bytes": path.stat().st_size,
            "sha256": sha256_of(path),
        }
        for path in sorted(p for p in folder.rglob("*") if p.is_file())
    ]


def check_files(folder: Path, entries: Sequence[FileEntry], mend: str) -> None:
    """Raise StorageError naming the first file that is missing, has another size or (small ones) content."""
    for entry in entries:
        path = folder / entry["path"]
        with storage_errors(path):
            size = path.stat().st_size if path.is_file() else None
            if size is None:
                raise StorageError(f"{path}: missing from a finished folder; {mend}")
            if size != entry["size_bytes"]:
                raise StorageError(f"{path}: has {size} bytes, was {entry['size_bytes']} when finished; {mend}")
            if size <= SMALL_BYTES and sha256_of(path) != entry["sha256"]:
                raise StorageError(f"{path}: content changed since it was finished; {mend}")


def user_cache() -> Path:
    """Where what can be had again is kept: ROPO_BENCH_CACHE, or ropo-bench below XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get(CACHE)
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(own) if own else Path(shared) / "ropo-bench").expanduser()
