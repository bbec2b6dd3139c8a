"""The store: stage folders RUNS/cache/<stage>/<key>/, and named runs RUNS/<name>/run.json."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ropo_bench.errors import StorageError, UsageError
from ropo_bench.store.files import (
    JSON,
    read_checksummed,
    write_checksummed,
)
from ropo_bench.store.keys import content_key, file_hash, folder_hash
from ropo_bench.store.locks import UseLock
from ropo_bench.store.stage import MANIFEST, Stage

RUN_SCHEMA = 3
READABLE = (2, RUN_SCHEMA)  # of 2, rows do not name the stage that trained them
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_KEPT = "what its stages hold is kept, and it is written again from that"


class Store:
    """A user's runs folder; making the object touches no disk."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._stages: dict[tuple[str, str], Stage] = {}
        self.use = UseLock(self.root / "cache" / "locks" / "store-in-use")

    def stage(self, name: str, key: str) -> Stage:
        """The stage `name` with the content key `key`, finished or not; the same object for the same key."""
        return self._stages.setdefault((name, key), Stage(self.root, name, key))

    def stage_of(self, name: str, inputs: Mapping[str, JSON]) -> Stage:
        """The stage `name` whose output these inputs make: its key is their hash."""
        stage = self.stage(name, content_key(name, inputs))
        stage.inputs = inputs
        return stage

    def file_hash(self, path: Path) -> str:
        """sha256 of a file; large ones are read once (see keys.file_hash)."""
        return file_hash(path, self.root / "cache" / "hashes")

    def folder_hash(self, folder: Path) -> str:
        """sha256 over a folder such as a model's; large files are read once (see keys.folder_hash)."""
        return folder_hash(folder, self.root / "cache" / "hashes")

    def run_folder(self, name: str) -> Path:
        """The folder of a named run; raises UsageError for a name that cannot be a folder's."""
        if not _RUN_NAME.fullmatch(name) or name == "cache":
            raise UsageError(
                f"run name {name!r}: use letters, digits, '.', '_', '+' and '-', starting with a letter or digit, "
                "100 at most, and not 'cache'"
            )
        return self.root / name

    def run_names(self) -> list[str]:
        """The names of all runs in this store, sorted."""
        return sorted(path.parent.name for path in self.root.glob("*/run.json"))

    def write_run(self, name: str, record: Mapping[str, JSON]) -> None:
        """Write RUNS/<name>/run.json atomically, with a checksum of itself; raises StorageError."""
        write_checksummed(self.run_folder(name) / "run.json", {"schema": RUN_SCHEMA, **record})

    def read_run(self, name: str) -> dict[str, Any]:
        """Read RUNS/<name>/run.json; raises UsageError if there is none, StorageError if it is corrupt."""
        path = self.run_folder(name) / "run.json"
        if not path.exists():
            close = difflib.get_close_matches(name, self.run_names(), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(self.run_names()) or 'none'}"
            raise UsageError(f"run {name!r}: not in {self.root}; {hint}")
        record = read_checksummed(path, self.run_mend(name))
        schema = record.pop("schema", None)
        if schema not in READABLE:
            schemas = " and ".join(map(str, READABLE))
            raise StorageError(
                f"{path}: a run of schema {schema}, this program reads {schemas}; {self.run_mend(name)}"
            )
        return record

    def finished_inputs(self, name: str) -> Iterator[Mapping[str, Any]]:
        """What made every finished stage of a name that tells it; a manifest that cannot be read is passed over."""
        for path in sorted((self.root / "cache" / name).glob(f"*/{MANIFEST}")):
            with suppress(OSError, ValueError, RecursionError):
                manifest = json.loads(path.read_text(encoding="utf-8"))
                if isinstance(manifest, dict) and isinstance(manifest.get("inputs"), dict):
                    yield manifest["inputs"]

    def run_mend(self, name: str) -> str:
        """How a run's record that cannot be read is made again, as the end of a message."""
        return f"delete it and repeat the command that made the run, with --name {name}: {_KEPT}"

    def finished(self, name: str) -> Iterator[Stage]:
        """Every finished stage of a name, by key; raises StorageError for one that is damaged."""
        for path in sorted((self.root / "cache" / name).glob(f"*/{MANIFEST}")):
            stage = self.stage(name, path.parent.name)
            if stage.done:
                yield stage
