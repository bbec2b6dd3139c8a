"""Several runs as one, where what they measured is comparable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard.notes import num_prompts
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import RowRecord


def join_runs(runs: Sequence[Run]) -> Run:
    """One run as it is, or several with their rows side by side, in the order given.

    A row that several have with the same seeds and scores stands once; other rows of one name get their run's name
    behind it. Raises UsageError where base, data, tasks, judges or prompts differ.
    """
    first, *others = runs
    for other in others:
        _check(first, other)
    if not others:
        return first
    records = [run.record for run in runs]
    canaries: dict[str, Any] = {}
    for record in records:
        canaries = {**record.canaries, **canaries}
    changes = {
        "rows": _rows(runs),
        "data": next((record.data for record in records if record.data is not None), None),
        "canaries": canaries,
        "complete": all(record.complete for record in records),
        "provenance": {**first.record.provenance, "runs": {run.name: run.record.provenance for run in runs}},
    }
    return Run(first.store, " + ".join(run.name for run in runs), first.record.model_copy(update=changes))


def _rows(runs: Sequence[Run]) -> list[RowRecord]:
    """All rows under names that tell them apart."""
    groups: dict[str, dict[str, list[RowRecord]]] = {}
    for run in runs:
        for name in run.table_rows():  # others belong to a table of their run alone
            groups.setdefault(name, {})[run.name] = run.rows[name]
    rows: list[RowRecord] = []
    for name, by_run in groups.items():
        different: dict[str, list[RowRecord]] = {}
        for run_name, seeds in by_run.items():
            if not any(_same(seeds, earlier) for earlier in different.values()):
                different[run_name] = seeds
        for run_name, seeds in different.items():
            label = name if len(different) == 1 else f"{name} ({run_name})"
            rows += [row.model_copy(update={"name": label}) for row in seeds]
    return rows


def _same(a: Sequence[RowRecord], b: Sequence[RowRecord]) -> bool:
    """Whether two rows are the very same measurements."""
    return [(row.seed, row.scores) for row in a] == [(row.seed, row.scores) for row in b] and bool(a[0].scores)


def _check(a: Run, b: Run) -> None:
    """Raise UsageError for the first thing that makes two runs incomparable."""
    records = (a.record, b.record)
    data = [record.data_sha256 for record in records]
    bases = [record.request.suite.base for record in records]
    differs: str | None = None
    if a.record.base != b.record.base:
        differs = "base: " + " and ".join(bases) + (", of other content" if bases[0] == bases[1] else "")
    elif None not in data and data[0] != data[1]:
        differs = "preference data: sha256 " + " and ".join(str(sha256)[:16] for sha256 in data)
    elif list(a.tasks) != list(b.tasks):
        differs = "tasks: " + " and ".join(", ".join(run.tasks) for run in (a, b))
    else:
        tasks = [record.request.tasks for record in records]
        differs = _task_difference(*tasks) or _judge_difference(a, b) or _prompt_difference(a, b)
    if differs is not None:
        raise UsageError(
            f"runs {a.name} and {b.name}: no common table, they differ in {differs}; print one table each"
        )


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


def _judge_difference(a: Run, b: Run) -> str | None:
    judges = [run.record.request.judges for run in (a, b)]
    for task in sorted({*judges[0], *judges[1]}):
        if judges[0].get(task) != judges[1].get(task):
            names = [own[task].name if task in own else "none" for own in judges]
            settings = ", with other settings" if names[0] == names[1] else ""
            return f"the judge of {task}: " + " and ".join(names) + settings
    return None


def _prompt_difference(a: Run, b: Run) -> str | None:
    counts = [num_prompts(run) for run in (a, b)]
    for task in sorted(counts[0].keys() & counts[1].keys()):
        if counts[0][task] != counts[1][task]:
            return f"the prompts of {task}: {counts[0][task]:,} and {counts[1][task]:,}"
    return None
