"""Freeing the disk: weights whose scores are in, stages that no run names, and what killed processes left.

Whoever calls holds the store alone (Store.use): no command that makes stages is under way then.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ropo_bench.errors import StorageError
from ropo_bench.runs.disk import WEIGHTS, all_stages, needed_weights, num_bytes, open_runs, stages_of
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import RowRecord
from ropo_bench.store import MANIFEST, Store, storage_errors
from ropo_bench.store.files import TEMPORARY_PREFIX

KEEP_ALL = "all"
KEEPS: dict[str, tuple[str, ...]] = {"scores": ("policy", "merged"), "merged": ("policy",), KEEP_ALL: ()}
"""What is to be kept -> stages whose weights go."""
ANOTHER = "another command works in this folder"
ORPHANS = ("policy", "merged", "completions")
"""Stages that go where no run names them. Scores are small, and those of `tune` are named by no run."""
TEMPORARY_SECONDS = 3600
"""Age at which a temporary file beside a run's record is a dead process's, wherever that one ran."""
UNFINISHED_SECONDS = 7 * 24 * 3600
"""Age at which no unfinished run is thought to be on its way to a stage, nor an unfinished stage waited for."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Something that goes, or would: its path, its bytes, and why it may."""

    path: str
    num_bytes: int
    because: str


def prune(store: Store, names: Sequence[str], keep: str, dry_run: bool) -> list[Removal]:
    """Remove the weights of runs' trained rows whose scores are all in; never those that a run still wants.

    Rows of models that were trained elsewhere keep theirs: they are not remembered as pruned.
    """
    runs = open_runs(store)
    needed = needed_weights(runs)
    removals: dict[Path, Removal] = {}
    for run in runs:
        if run.name in names:
            for removal in _scored_weights(run, KEEPS[keep], needed, dry_run):
                removals.setdefault(Path(removal.path), removal)
    return list(removals.values())


def _scored_weights(run: Run, stages: Sequence[str], needed: set[tuple[str, str]], dry_run: bool) -> list[Removal]:
    removals = []
    for row in run.record.rows:
        if row.policy is None:
            continue
        for stage in stages_of(run, row):
            if stage.name not in stages or (stage.name, stage.key) in needed or not stage.is_free:
                continue
            folder = stage.path / WEIGHTS[stage.name]
            if not folder.exists() or not stage.done:
                continue
            size = num_bytes(folder) if dry_run else stage.prune(folder.name)
            removals.append(Removal(str(folder), size, f"{row.name} seed {row.seed} of {run.name} is scored"))
    return removals


def prune_row(run: Run, row: RowRecord, keep: str) -> str | None:
    """Remove the weights of a row whose answers are in; returns why they stay, None where they went."""
    try:
        needed = needed_weights([other for other in open_runs(run.store) if other.name != run.name])
    except StorageError as error:
        return str(error)
    for stage in stages_of(run, row):
        if stage.name in KEEPS[keep] and (stage.name, stage.key) not in needed:
            stage.prune(WEIGHTS[stage.name])
    return None


def collect_garbage(store: Store, dry_run: bool) -> list[Removal]:
    """Remove what nobody will ask for: temporary files of dead processes, stages no run names, old unfinished ones.

    Raises StorageError where a run's record cannot be read: what it names is not known then.
    """
    removals = [*_temporary(store), *_orphans(store)]
    if not dry_run:
        for removal in removals:
            _remove(Path(removal.path))
    return removals


def _temporary(store: Store) -> list[Removal]:
    inside = store.root.glob(f"cache/*/*/{TEMPORARY_PREFIX}*")  # answers of judges have locks of their own
    stages = [path for path in inside if path.parents[1].name != "judge" and _is_free(store, path.parent)]
    stages += store.root.glob(f"cache/*/{TEMPORARY_PREFIX}*")  # removals that a kill cut short
    beside = [path for path in store.root.glob(f"*/{TEMPORARY_PREFIX}*") if path.parent.name != "cache"]
    old = [path for path in beside if _age_seconds(path) > TEMPORARY_SECONDS and not _is_alive(path)]
    return [Removal(str(path), _size(path), "left by a process that was killed") for path in (*stages, *old)]


def _orphans(store: Store) -> list[Removal]:
    runs = open_runs(store)
    if any(row.training is not None and row.policy is None for run in runs for row in run.record.rows):
        return []  # a record of schema 2 does not name its stages
    named = {stage for run in runs for stage in all_stages(run)}
    unfinished = not all(run.record.complete for run in runs)  # one of them may be on its way to such a stage
    removals = []
    for name in ORPHANS:
        for path in sorted(store.root.glob(f"cache/{name}/[!.]*")):
            if (name, path.name) in named or not _is_free(store, path):
                continue
            finished, old = (path / MANIFEST).exists(), _age_seconds(path) > UNFINISHED_SECONDS
            if old or (finished and not unfinished):
                because = "no run names it" if finished else "unfinished, and untouched for a week"
                removals.append(Removal(str(path), num_bytes(path), because))
    return removals


def _is_free(store: Store, folder: Path) -> bool:
    return store.stage(folder.parent.name, folder.name).is_free


def _is_alive(path: Path) -> bool:
    """Whether the process that a temporary name tells of runs on this machine."""
    number = path.name.removeprefix(TEMPORARY_PREFIX).partition("-")[0]
    if not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _age_seconds(path: Path) -> float:
    """Seconds since the newest change of a file or of what is directly in a folder."""
    paths = [path, *path.iterdir()] if path.is_dir() else [path]
    return time.time() - max(item.stat().st_mtime for item in paths)


def _size(path: Path) -> int:
    return num_bytes(path) if path.is_dir() else path.stat().st_size


def _remove(path: Path) -> None:
    """Remove a file or, by one rename first, a folder: no kill leaves half a stage under its name."""
    with storage_errors(path):
        if not path.is_dir():
            path.unlink(missing_ok=True)
            return
        outgoing = path
        if not path.name.startswith(TEMPORARY_PREFIX):
            outgoing = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
            path.rename(outgoing)
        shutil.rmtree(outgoing)
