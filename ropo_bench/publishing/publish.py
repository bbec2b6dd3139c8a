"""From a finished run in a store to a folder that a reviewer can read."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard import leaderboard
from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.leaderboard.formats import to_json
from ropo_bench.leaderboard.markdown import to_markdown
from ropo_bench.publishing import record as records
from ropo_bench.publishing.derive import derive, versions
from ropo_bench.publishing.names import keys_in, paths_in, without
from ropo_bench.publishing.scores import from_bytes, published_scores, to_bytes
from ropo_bench.runs.reading import Run
from ropo_bench.store import atomic_folder, atomic_write_text

SCHEMA = "ropo-bench/result"
SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SCORES = "scores.jsonl.gz"
TABLE = "table.json"


@dataclass(frozen=True, slots=True)
class Published:
    """A result's folder, the size of each of its files in bytes, and whether it was there already."""

    folder: Path
    size_bytes: Mapping[str, int]
    unchanged: bool


def publish(run: Run, out: Path, commits: Sequence[str] = ()) -> Published:
    """Write the result of a finished run to the folder `out`; the same run gives the same bytes.

    commits: see record.check. Raises UsageError for a run that may not be published or another result in `out`,
    UnfinishedRun for rows that are not done.
    """
    made_by = records.check(run, commits)
    request = run.record.request.model_dump(exclude_unset=True)  # an older record says nothing of newer keys
    names = records.local_names(request)
    tasks = run.record.request.tasks
    metrics = {task.name: {column.metric for column in task.columns} for task in tasks}
    table = leaderboard(run)
    rows = {row.name for row in table.rows}
    measured = {task: {row: own for row, own in run.scores(task).items() if row in rows} for task in run.tasks}
    scores = to_bytes(published_scores(measured, metrics))
    board = derive(without_paths(table, names), tasks, from_bytes(scores, SCORES))
    files = {
        "recipe.json": _json(without(request, names)),
        "provenance.json": _json(without(records.provenance(run, made_by), names)),
        "certificates.json": _json(records.certificates(run.record)),
        "training.csv": records.training_table(run).encode(),
        SCORES: scores,
    } | _table(board)
    _refuse_what_is_private(run.name, files)
    files[MANIFEST] = _json(_manifest(files))
    unchanged = _is_there(out, files)
    if not unchanged:
        with atomic_folder(out) as folder:
            for file, content in files.items():
                (folder / file).write_bytes(content)
    return Published(out, {file: len(content) for file, content in files.items()}, unchanged)


def rewrite_table(folder: Path, board: Leaderboard) -> None:
    """Put another table of the same scores into a result's folder."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST} | _table(board)
    files[MANIFEST] = _json(_manifest(files))
    for name in (*_table(board), MANIFEST):
        atomic_write_text(folder / name, files[name].decode())


def _table(board: Leaderboard) -> dict[str, bytes]:
    return {TABLE: to_json(board).encode(), "table.md": to_markdown(board).encode()}


def without_paths(board: Leaderboard, names: Mapping[str, str]) -> Leaderboard:
    """The table with names in place of paths, in its title and its footers."""
    fields = {name: without(getattr(board, name), names) for name in ("title", "footers", "provenance")}
    return replace(board, **fields)


def _manifest(files: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "derived_with": dict(versions()),
        "files": [
            {"path": file, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for file, content in sorted(files.items())
        ],
    }


def _refuse_what_is_private(name: str, files: Mapping[str, bytes]) -> None:
    for file, content in files.items():
        text = (gzip.decompress(content) if file == SCORES else content).decode()
        for what, matches in (("a key", keys_in(text)), ("a path of this machine", paths_in(text))):
            if matches:
                raise UsageError(
                    f"run {name}: {file} would hold what looks like {what}: {matches[0]}; take it out of the recipe "
                    "or the prompts, and repeat the run"
                )


def _is_there(out: Path, files: Mapping[str, bytes]) -> bool:
    """Whether exactly this result is in the folder; raises UsageError where it holds anything else."""
    if out.name in ("", ".."):
        raise UsageError(f"--out {out}: give a folder of its own, such as results/RUN")
    if not out.exists():
        return False
    if not out.is_dir():
        raise UsageError(f"{out}: a file is there; choose another folder with --out")
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    other = sorted(names - files.keys()) + [
        file for file, content in files.items() if file in names and (out / file).read_bytes() != content
    ]
    if other:
        raise UsageError(f"{out}: holds another result ({other[0]} differs); remove it or choose another --out")
    return names == files.keys()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
