"""Figures of the literature, from `results/published/*.csv`: each with its source, never part of our statistics."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import TypeVar

from ropo_bench.errors import UsageError
from ropo_bench.recipes.files import display_path
from ropo_bench.store.bounded import read_bounded, read_csv

CLAIMS = "claims-of-improvement"
Key = tuple[str, str]  # task, metric


@dataclass(frozen=True, slots=True)
class Figure:
    """One published level; value and error as the source prints them ("22.0"), error empty where it gives none.

    base: the pretrained model's name as the literature has it ("Llama-3-8B-Base"). Sources that disagree are
    figures of their own.
    """

    base: str
    method: str
    task: str
    metric: str
    value: str
    error: str
    source: str
    locator: str
    note: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A published difference "method over baseline", low to high in `unit`; low is empty in "up to high".

    task, metric and baseline are empty where the source does not name them.
    """

    method: str
    baseline: str
    task: str
    metric: str
    low: str
    high: str
    unit: str
    source: str
    locator: str
    note: str


@dataclass(frozen=True, slots=True)
class Published:
    """What the literature has beside one table."""

    figures: tuple[Figure, ...] = ()
    claims: tuple[Claim, ...] = ()


Line = TypeVar("Line", Figure, Claim)


def read_published(base: str | None, columns: Collection[Key], folder: Path | None = None) -> Published:
    """The figures of one base model on the columns of a table, and what is claimed of its tasks.

    base: a suite's `published` key; nothing is comparable with None. Raises UsageError for a malformed file.
    """
    if base is None:
        return Published()
    folder = folder or published_folder()
    files = sorted(folder.glob("*.csv"))
    figures = [
        entry for path in files if path.stem != CLAIMS for entry in _read(path, Figure, ("value",), ("error",))
    ]
    claims = [entry for path in files if path.stem == CLAIMS for entry in _read(path, Claim, ("high",), ("low",))]
    tasks = {task for task, _ in columns}
    return Published(
        tuple(entry for entry in figures if entry.base == base and (entry.task, entry.metric) in columns),
        tuple(
            entry
            for entry in claims
            if (entry.task, entry.metric) in columns or (entry.task in tasks and not entry.metric)
        ),
    )


def published_folder() -> Path:
    """The project's own files: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_recipes" / "results" / "published"
    return installed if installed.is_dir() else package.parent / "results" / "published"


def _read(path: Path, kind: type[Line], numbers: tuple[str, ...], optional: tuple[str, ...]) -> list[Line]:
    """A whole file; `numbers` must be there, `optional` ones may be empty."""
    expected = [field.name for field in fields(kind)]
    entries = []
    try:
        rows = list(read_csv(read_bounded(path).decode("utf-8-sig")))
    except ValueError as error:
        raise UsageError(f"{display_path(path)}: cannot be read ({error}); give a CSV file in UTF-8") from None
    if not rows or rows[0][1] != expected:
        raise UsageError(f"{display_path(path)}:1: the columns must be {','.join(expected)}")
    for line, cells in rows[1:]:
        if cells:
            where, row = f"{display_path(path)}:{line}", dict(zip(expected, cells, strict=False))
            if len(cells) != len(expected):
                raise UsageError(f"{where}: {len(expected)} columns are needed; put texts with commas in quotes")
            if not row["source"]:
                raise UsageError(f"{where}: source: is empty; say where the figure is from")
            for key in (*numbers, *optional):
                if (key in numbers or row[key]) and not _is_number(row[key]):
                    raise UsageError(f"{where}: {key}: must be a number, given {row[key]!r}")
            entries.append(kind(**row))
    return entries


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
