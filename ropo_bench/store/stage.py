"""One stage of the store: a folder that is finished when its manifest is there, and may be pruned after."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ropo_bench.errors import StorageError
from ropo_bench.store.files import (
    DISK_ERRNOS,
    JSON,
    SMALL_BYTES,
    TEMPORARY_PREFIX,
    FileEntry,
    check_files,
    list_files,
    os_error_number,
    read_checksummed,
    storage_error,
    storage_errors,
    sweep,
    sync_tree,
    write_checksummed,
)
from ropo_bench.store.keys import file_hash
from ropo_bench.store.locks import hold_lock, is_free, locks_of_this_process

MANIFEST = "manifest.json"
MANIFEST_SCHEMA = 2
DERIVED = ("measured", "compared")  # made from scores by whichever command reads them
_MAKE = "repeat the command that makes it (run, eval, nightly or tune)"


class Stage:
    """One stage's output: a folder that is finished when its manifest is there, and resumable before.

    with stage.begin() as todo:
        if todo:
            ... write files into stage.path; what a killed process left there is still there ...
            stage.finish({"seconds": 12.5})
    """

    def __init__(self, root: Path, name: str, key: str) -> None:
        self.name = name
        self.key = key
        self.inputs: Mapping[str, JSON] | None = None
        """What the key was made of, where it is known; the manifest keeps it, so that a new key can be explained."""
        self.path = root / "cache" / name / key
        self._lock = root / "cache" / "locks" / f"{name}-{key}"
        self._hashes = root / "cache" / "hashes"
        self._manifest: dict[str, Any] | None = None
        self._files: dict[str, FileEntry] = {}

    @property
    def mend(self) -> str:
        """How a damaged stage is made again, as the end of a message."""
        if self.name in DERIVED:
            return f"delete the folder {self.path} and repeat the command, which makes it again"
        maker = "`ropo-bench pocket build`" if self.name.startswith("pocket-") else "run, eval, nightly or tune"
        return f"delete the folder {self.path} and repeat the command that made it ({maker}): it makes it again"

    @property
    def done(self) -> bool:
        """Whether the stage is finished; checked against its files once in a process (a Store's life).

        Checked are the manifest itself, existence and size of every file, and the content of small ones; that of
        large ones when `file` or `folder` gives them to a reader. Raises StorageError naming a file that is missing,
        truncated or changed in a finished stage, with the mend.
        """
        if self._manifest is None and (self.path / MANIFEST).exists():
            manifest = read_checksummed(self.path / MANIFEST, self.mend)
            if [manifest.get(key) for key in ("schema", "stage", "key")] != [MANIFEST_SCHEMA, self.name, self.key]:
                raise StorageError(
                    f"{self.path / MANIFEST}: not a manifest of schema {MANIFEST_SCHEMA} of this stage; {self.mend}"
                )
            try:
                check_files(self.path, manifest["files"], self.mend)
            except StorageError:
                if not (self.path / MANIFEST).exists():  # reopened meanwhile: another process makes it again
                    return False
                raise
            self._keep(manifest)
        return self._manifest is not None

    def _keep(self, manifest: dict[str, Any]) -> None:
        self._manifest = manifest
        self._files = {entry["path"]: entry for entry in manifest["files"]}

    @property
    def whole(self) -> bool:
        """Whether the stage is finished and none of its files was pruned."""
        return self.done and not self.pruned

    @property
    def pruned(self) -> list[FileEntry]:
        """The files of the finished stage that were removed to free the disk; empty where all are there."""
        return list(self._manifest.get("pruned", ())) if self.done and self._manifest is not None else []

    @property
    def is_free(self) -> bool:
        """Whether no process is making the stage at this moment."""
        return is_free(self._lock)

    def prune(self, folder: str) -> int:
        """Remove the files below a folder of the finished stage; returns the bytes that this frees.

        The manifest says so first, and stays: what is left is checked as before, whoever asks for what is gone is
        told. A kill in the middle leaves files that the next call removes.
        """
        with hold_lock(self._lock, f"{self.name} {self.key}", lambda line: None):
            if not self.done or self._manifest is None:
                return 0
            gone = [entry for entry in self._manifest["files"] if entry["path"].startswith(f"{folder}/")]
            if gone:
                kept = [entry for entry in self._manifest["files"] if entry not in gone]
                manifest = {**self._manifest, "files": kept, "pruned": [*self.pruned, *gone]}
                write_checksummed(self.path / MANIFEST, manifest)
                self._keep(manifest)
            with storage_errors(self.path):
                left = [path for path in (self.path / folder).rglob("*") if path.is_file()]
                size = sum(path.stat().st_size for path in left)
                if (self.path / folder).exists():
                    shutil.rmtree(self.path / folder)
            return size

    def file(self, name: str) -> Path:
        """A file of the finished stage, with the content that it was finished with: the door of every reader.

        Large ones are read once and remembered (keys.file_hash). Raises StorageError for a stage that is not
        finished, a file that it has not, and content that changed.
        """
        entry = self._entry(name)
        path = self.path / name
        if entry["size_bytes"] > SMALL_BYTES and file_hash(path, self._hashes) != entry["sha256"]:
            raise StorageError(f"{path}: content changed since it was finished; {self.mend}")
        return path

    def folder(self, name: str = ".") -> Path:
        """A folder of the finished stage (a model's), every file below it checked as `file` does."""
        if not self.done:
            raise StorageError(f"{self.path}: not finished; {_MAKE}")
        for entry in self.pruned:
            if name == "." or entry["path"].startswith(f"{name}/"):
                raise StorageError(f"{self.path / entry['path']}: pruned to free the disk; {self.mend}")
        for path in self._files:
            if name == "." or path.startswith(f"{name}/"):
                self.file(path)
        return self.path / name

    def has_file(self, name: str) -> bool:
        """Whether the finished stage has such a file."""
        return self.done and name in self._files

    def sha256(self, name: str) -> str:
        """sha256 of a file of the finished stage, which has that content; raises StorageError as `file` does."""
        self.file(name)
        return self._entry(name)["sha256"]

    def _entry(self, name: str) -> FileEntry:
        if not self.done:
            raise StorageError(f"{self.path}: not finished; {_MAKE}")
        if name not in self._files:
            raise StorageError(f"{self.path / name}: not among the files of this stage; {self.mend}")
        return self._files[name]

    @property
    def manifest(self) -> dict[str, Any]:
        """What `finish` was given; raises StorageError if the stage is not finished."""
        if not self.done or self._manifest is None:
            raise StorageError(f"{self.path}: not finished; {_MAKE}")
        content: dict[str, Any] = self._manifest["content"]
        return content

    @contextmanager
    def begin(self, waiting: Callable[[str], None] = lambda line: None, redo: bool = False) -> Iterator[bool]:
        """Lock the stage for this process and make its folder; yields whether there is work to do.

        False means finished, perhaps by the process that this one waited for (`waiting` gets one line then). With
        redo there is always work: what is finished stays so until the body reopens it.
        In the body, errors of the disk, and any OSError in this folder, become StorageError.
        """
        if self.whole and not redo:
            yield False
            return
        with hold_lock(self._lock, f"{self.name} {self.key}", waiting):
            if self.whole and not redo:
                yield False
                return
            if self.pruned:  # what is left of it is no beginning of another
                self._remove()
            with storage_errors(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                sweep(self.path)
            try:
                yield True
            except Exception as error:
                number = os_error_number(error)
                if number is None or not (number in DISK_ERRNOS or self._names_this_folder(error)):
                    raise
                raise storage_error(self.path, error, number) from error

    def _names_this_folder(self, error: Exception) -> bool:
        """Whether an error is about a file in this folder, not about some file that the body reads."""
        filename = error.filename if isinstance(error, OSError) else None
        return isinstance(filename, str) and Path(filename).is_relative_to(self.path)

    def finish(self, content: Mapping[str, JSON]) -> None:
        """Make all files durable, then write the manifest (content, file list) atomically: done."""
        assert self._lock in locks_of_this_process, "finish belongs into `with stage.begin()`"
        with storage_errors(self.path):
            sync_tree(self.path)
            files = list_files(self.path)
        manifest: dict[str, Any] = {"schema": MANIFEST_SCHEMA, "stage": self.name, "key": self.key}
        manifest |= {"inputs": self.inputs} if self.inputs is not None else {}
        manifest |= {"content": dict(content), "files": files}
        write_checksummed(self.path / MANIFEST, manifest)
        self._keep(manifest)

    def reopen(self) -> None:
        """Take the manifest away: what is in the folder stays, and the stage is to be finished again."""
        with storage_errors(self.path):
            (self.path / MANIFEST).unlink(missing_ok=True)
        self._manifest = None

    def discard(self, waiting: Callable[[str], None] = lambda line: None) -> None:
        """Remove what is in the folder; whoever asks for the stage makes it again."""
        with hold_lock(self._lock, f"{self.name} {self.key}", waiting):
            self._remove()

    def _remove(self) -> None:
        """Remove the folder, by one rename first: no kill leaves a part that passes for a beginning."""
        outgoing = self.path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{self.key}")
        with storage_errors(self.path):
            if self.path.exists():
                self.path.rename(outgoing)
            shutil.rmtree(outgoing, ignore_errors=True)
        self._manifest = None
