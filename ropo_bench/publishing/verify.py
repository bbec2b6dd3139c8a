"""Whether a published result still says what its own scores say: no store, no network, no model."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ropo_bench.errors import RopoBenchError, StorageError, UsageError, first_line
from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.leaderboard.formats import from_json
from ropo_bench.leaderboard.markdown import to_markdown
from ropo_bench.publishing.derive import derive, versions
from ropo_bench.publishing.names import keys_in, paths_in
from ropo_bench.publishing.publish import MANIFEST, SCHEMA, SCHEMA_VERSION, SCORES, TABLE, rewrite_table
from ropo_bench.publishing.scores import from_bytes
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.store import storage_errors
from ropo_bench.store.bounded import gunzip, parse_json, read_bounded

RELATIVE = 1e-9
ABSOLUTE = 1e-15  # a difference of two equal numbers, summed in another order
SHOWN_LINES = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found about one result.

    differences: a line for each cell, comparison, line or file that is not what follows from the scores. reason: why
    nothing could be derived here, None where it could. notes: other versions than those it was published with.
    rewritten: whether its table was written again as it is derived.
    """

    folder: Path
    num_cells: int = 0
    num_comparisons: int = 0
    differences: tuple[str, ...] = ()
    reason: str | None = None
    notes: tuple[str, ...] = ()
    rewritten: bool = False

    @property
    def state(self) -> str:
        """OK, DIFFERS, REWRITTEN, or NOT DERIVED."""
        if self.rewritten:
            return "REWRITTEN"
        if self.differences:
            return "DIFFERS"
        return "OK" if self.reason is None else "NOT DERIVED"


def results_in(folder: Path) -> list[Path]:
    """The result in a folder, or those in the folders below it; raises UsageError where there is none."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give one that `ropo-bench publish` wrote")
    folders = sorted(path.parent for path in folder.rglob(MANIFEST) if _is_result(path))
    if not folders:
        raise UsageError(f"{folder}: no result in it; give a folder that `ropo-bench publish` wrote")
    return folders


def verify(folder: Path, write: bool = False) -> Verdict:
    """Derive a result's cells, comparisons and table from its scores, and hold them against what it says.

    write: where the files are whole and only the table is another one today, write it again, to be reviewed.
    """
    try:
        manifest = parse_json(read_bounded(folder / MANIFEST))
        schema, version = manifest["schema"], manifest["schema_version"]
        if schema != SCHEMA:
            raise ValueError(f"schema {schema!r}")
    except (ValueError, KeyError, TypeError) as error:
        return Verdict(folder, differences=(f"{MANIFEST}: damaged ({error!r})",), reason=f"{MANIFEST} is damaged")
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{folder / MANIFEST}: schema version {version}, this program reads {SCHEMA_VERSION}; "
            "take the version that published it"
        )
    try:
        expected = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
        then = dict(manifest["derived_with"])
    except (KeyError, TypeError, ValueError) as error:
        return Verdict(folder, differences=(f"{MANIFEST}: damaged ({error!r})",), reason=f"{MANIFEST} is damaged")
    faults = [*_files(folder, expected), *_private(folder)]
    notes = [f"{name} {then.get(name)} then, {now} now" for name, now in versions().items() if then.get(name) != now]
    try:
        recipe = parse_json(read_bounded(folder / "recipe.json"))
        tasks = [TaskRecipe.model_validate(task) for task in recipe["tasks"]]
        published = from_json((folder / TABLE).read_text())
        scores = from_bytes((folder / SCORES).read_bytes(), str(folder / SCORES))
        derived = derive(published, tasks, scores)
        markdown = (folder / "table.md").read_text()
    except FileNotFoundError as error:
        reason = f"nothing can be derived without {Path(error.filename).name}"
        return Verdict(folder, 0, 0, tuple(faults), reason, tuple(notes))
    except (RopoBenchError, OSError, ValueError, KeyError, TypeError) as error:
        return Verdict(folder, 0, 0, tuple(faults), first_line(error), tuple(notes))
    differences = [*_cells(published, derived), *_comparisons(published, derived)]
    differences += _lines(markdown, to_markdown(derived))
    rewritten = write and not faults and bool(differences)
    if rewritten:
        rewrite_table(folder, derived)
    counts = (sum(len(row.cells) for row in derived.rows), len(derived.comparisons))
    return Verdict(folder, *counts, (*faults, *differences), None, tuple(notes), rewritten)


def read_table(folder: Path) -> Leaderboard:
    """The table of a published folder as it was published; raises StorageError where its manifest has another one."""
    path = folder / TABLE
    with storage_errors(path):
        data = path.read_bytes()
        if _is_result(folder / MANIFEST) and _entry(data) not in _listed_files(folder / MANIFEST):
            raise StorageError(
                f"{path}: is not what {MANIFEST} beside it says was published; take the folder again from where "
                "it is from, or write it again with: ropo-bench publish"
            )
    return from_json(data.decode("utf-8", errors="replace"), str(path))


def _entry(table: bytes) -> dict[str, Any]:
    """What a manifest says of a table."""
    return {"path": TABLE, "size_bytes": len(table), "sha256": hashlib.sha256(table).hexdigest()}


def _listed_files(path: Path) -> list[Any]:
    """What a manifest says of its files; nothing where it is damaged."""
    try:
        content = parse_json(read_bounded(path))
    except ValueError:
        return []
    files = content.get("files") if isinstance(content, dict) else None
    return files if isinstance(files, list) else []


def _is_result(path: Path) -> bool:
    """Whether a manifest is one of ours; other programs write files of that name too.

    Beside scores and a table as `publish` writes them, it is ours however damaged it is.
    """
    if all((path.parent / name).is_file() for name in (SCORES, TABLE)):
        return True
    try:
        content = parse_json(read_bounded(path))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("schema") == SCHEMA


def _files(folder: Path, expected: Mapping[str, str]) -> Iterator[str]:
    """Files that are missing, changed, or not in the manifest, which has their sha256 by path."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    for name in sorted(expected.keys() | names):
        if name not in names:
            yield f"{name}: in the manifest, not in the folder"
        elif name not in expected:
            yield f"{name}: in the folder, not in the manifest"
        else:
            sha256 = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if sha256 != expected[name]:
                yield f"{name}: sha256 {sha256[:16]}, the manifest says {expected[name][:16]}"


def _private(folder: Path) -> Iterator[str]:
    """Texts that look like keys or name paths of a machine, in any file."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            data = read_bounded(path)
            text = (gunzip(data) if path.suffix == ".gz" else data).decode(errors="replace")
        except (OSError, ValueError) as error:
            yield f"{path.relative_to(folder)}: cannot be read ({first_line(error)})"
            continue
        name = path.relative_to(folder).as_posix()
        yield from (f"{name}: holds what looks like a key: {key}" for key in dict.fromkeys(keys_in(text)))
        yield from (f"{name}: holds a path of a machine: {place}" for place in dict.fromkeys(paths_in(text)))


def _cells(published: Leaderboard, derived: Leaderboard) -> Iterator[str]:
    for row, again in zip(published.rows, derived.rows, strict=True):
        columns = {(column.task, column.metric) for column in published.columns}
        for task, metric in sorted(row.cells.keys() | (again.cells.keys() & columns)):
            old, new = row.cells.get((task, metric)), again.cells.get((task, metric))
            yield from _apart(f"{row.name}, {task}.{metric}", old, new)


def _comparisons(published: Leaderboard, derived: Leaderboard) -> Iterator[str]:
    old = {(c.task, c.metric, c.a, c.b): c for c in published.comparisons}
    new = {(c.task, c.metric, c.a, c.b): c for c in derived.comparisons}
    for key in sorted(old.keys() | new.keys()):
        task, metric, a, b = key
        yield from _apart(f"{a} - {b}, {task}.{metric}", old.get(key), new.get(key))


def _apart(what: str, old: Any, new: Any) -> Iterator[str]:
    """One line with every number of a cell that differs, published and derived."""
    if old is None or new is None:
        if old is not new:
            yield f"{what}: {'published, and does not follow from the scores' if new is None else 'not published'}"
        return
    was, now = _flat(asdict(old)), _flat(asdict(new))
    apart = [
        f"{key} published {was.get(key)}, derived {now.get(key)}"
        for key in dict.fromkeys([*was, *now])
        if not _same(was.get(key), now.get(key))
    ]
    if apart:
        yield f"{what}: {'; '.join(apart)}"


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    inner = {f"{name} {key}": value for name in ("split", "parts") for key, value in fields.get(name, {}).items()}
    return {key: value for key, value in fields.items() if key not in ("split", "parts")} | inner


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)


def _lines(published: str, derived: str) -> Iterator[str]:
    """Lines of table.md that today's code writes otherwise, the first few; other words alone are no difference."""
    old, new = published.splitlines(), derived.splitlines()
    old, new = old + [""] * (len(new) - len(old)), new + [""] * (len(old) - len(new))
    apart = [number for number, (a, b) in enumerate(zip(old, new, strict=True), start=1) if a != b]
    if not any(old[number - 1].startswith("|") for number in apart) and _numbers(published) == _numbers(derived):
        return
    for number in apart[:SHOWN_LINES]:
        was, now = _apart_cells(old[number - 1], new[number - 1])
        yield f"table.md, line {number}: published {was!r}, derived {now!r}"
    if apart[SHOWN_LINES:]:
        yield f"table.md: {len(apart) - SHOWN_LINES} more lines differ"


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", text)


def _apart_cells(old: str, new: str) -> tuple[str, str]:
    """Of two rows of a table the cells that differ, with the row's name; else the lines as they are."""
    cells = (old.split(" | "), new.split(" | "))
    if not old.startswith("| ") or len(cells[0]) != len(cells[1]):
        return old, new
    places = [i for i, pair in enumerate(zip(*cells, strict=True)) if i == 0 or pair[0] != pair[1]]
    was, now = (" | ".join(row[i] for i in places) for row in cells)
    return was, now
