"""Several runs as one record, where what they measured is comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard.notes import num_prompts
from ropo_bench.leaderboard.rates import neighbours_of
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.store import Store

Record = Mapping[str, Any]


def joined(store: Store, names: Sequence[str]) -> dict[str, Any]:
    """The record of one run, or of several with their rows side by side, in the order of the names.

    A row that several have with the same seeds and scores stands once; other rows of one name get their run's name
    behind it. Raises UsageError where base, data, tasks, judges or prompts differ.
    """
    records = {name: store.read_run(name) for name in names}
    first, *others = names
    found = records[first]
    for other in others:
        _check(store, first, found, other, records[other])
    if not others:
        return found
    canaries: dict[str, Any] = {}
    for record in records.values():
        canaries = {**record["canaries"], **canaries}
    data = [record["data"] for record in records.values() if record["data"] is not None]
    return {
        **found,
        "rows": _rows(records),
        "data": data[0] if data else None,
        "canaries": canaries,
        "complete": all(record["complete"] for record in records.values()),
        "provenance": {
            **found["provenance"],
            "runs": {name: record["provenance"] for name, record in records.items()},
        },
    }


def _rows(records: Mapping[str, Record]) -> list[Mapping[str, Any]]:
    """All rows under names that tell them apart."""
    groups: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for run, record in records.items():
        neighbours = neighbours_of(record)  # they belong to a table of their run alone
        for row in [row for row in record["rows"] if row["name"] not in neighbours]:
            groups.setdefault(row["name"], {}).setdefault(run, []).append(row)
    found: list[Mapping[str, Any]] = []
    for name, by_run in groups.items():
        different: dict[str, list[Mapping[str, Any]]] = {}
        for run, rows in by_run.items():
            if not any(_same(rows, known) for known in different.values()):
                different[run] = rows
        for run, rows in different.items():
            label = name if len(different) == 1 else f"{name} ({run})"
            found += [{**row, "name": label} for row in rows]
    return found


def _same(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two rows are the very same measurements."""
    return [(r["seed"], r["scores"]) for r in a] == [(r["seed"], r["scores"]) for r in b] and bool(a[0]["scores"])


def _check(store: Store, first: str, a: Record, other: str, b: Record) -> None:
    """Raise UsageError for the first thing that makes two runs incomparable."""
    tasks = [[TaskRecipe.model_validate(task) for task in record["request"]["tasks"]] for record in (a, b)]
    names = [[task.name for task in own] for own in tasks]
    differs: str | None = None
    if a["base"] != b["base"]:
        differs = "base: " + " and ".join(str(record["request"]["suite"]["base"]) for record in (a, b))
        if len({record["request"]["suite"]["base"] for record in (a, b)}) == 1:
            differs += ", of other content"
    elif a["data"] is not None and b["data"] is not None and a["data"]["sha256"] != b["data"]["sha256"]:
        differs = "preference data: sha256 " + " and ".join(r["data"]["sha256"][:16] for r in (a, b))
    elif names[0] != names[1]:
        differs = "tasks: " + " and ".join(", ".join(own) for own in names)
    else:
        differs = _task_difference(*tasks) or _judge_difference(a, b) or _prompt_difference(store, a, b, tasks[0])
    if differs is not None:
        raise UsageError(f"runs {first} and {other}: no common table, they differ in {differs}; print one table each")


def _task_difference(a: Sequence[TaskRecipe], b: Sequence[TaskRecipe]) -> str | None:
    for ours, theirs in zip(a, b, strict=True):
        settings = [
            task.model_dump(exclude={"description": True, "columns": {"__all__": {"split", "header", "decimals"}}})
            for task in (ours, theirs)
        ]
        for key, value in settings[0].items():
            if value != settings[1][key]:
                return f"the {key} of task {ours.name}"
    return None


def _judge_difference(a: Record, b: Record) -> str | None:
    judges = [record["request"]["judges"] for record in (a, b)]
    for task in sorted({*judges[0], *judges[1]}):
        if judges[0].get(task) != judges[1].get(task):
            names = [own[task]["name"] if task in own else "none" for own in judges]
            settings = ", with other settings" if names[0] == names[1] else ""
            return f"the judge of {task}: " + " and ".join(names) + settings
    return None


def _prompt_difference(store: Store, a: Record, b: Record, tasks: Sequence[TaskRecipe]) -> str | None:
    counts = [num_prompts(store, record["rows"], tasks) for record in (a, b)]
    for task in sorted(counts[0].keys() & counts[1].keys()):
        if counts[0][task] != counts[1][task]:
            return f"the prompts of {task}: {counts[0][task]:,} and {counts[1][task]:,}"
    return None
