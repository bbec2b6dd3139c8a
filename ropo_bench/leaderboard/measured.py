"""Cells and comparisons of a run, computed once and kept in the store: a bootstrap takes its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ropo_bench.recipes import resolve_object
from ropo_bench.records import read_scores
from ropo_bench.runs import Stage, Store, atomic_write_json, content_key, read_json, source_hash
from ropo_bench.scoring import ESTIMATORS
from ropo_bench.scoring.cautions import find_cautions
from ropo_bench.statistics import Estimator, Sample, compare, compare_samples, estimate, examine, holm
from ropo_bench.tasks import TaskRecipe
from ropo_bench.types import Comparison, Measurement, Score

MEASURE_CODE = ("ropo_bench.statistics", "ropo_bench.scoring")


@dataclass(frozen=True, slots=True)
class Measured:
    """One row on one task: its cells, and the stages of its scores (one a seed) and of what was made of them.

    cautions: what must be known beside the cells, a sentence each.
    """

    cells: Sequence[Measurement]
    cautions: Sequence[str]
    scores: Sequence[Stage]
    stage: Stage


def estimators() -> dict[str, Estimator]:
    """The estimators that scorers bring, beside those of statistics."""
    return {name: resolve_object(target, {}, "estimator") for name, target in ESTIMATORS.items()}


def stages_of(store: Store, seeds: Sequence[Mapping[str, Any]], task: TaskRecipe) -> list[Stage]:
    """The scores of a row's seeds on a task; empty unless every seed has them."""
    keys = [row["scores"][task.name] for row in seeds if task.name in row["scores"]]
    return [store.stage("scores", key) for key in keys] if len(keys) == len(seeds) else []


def scores_of(store: Store, record: Mapping[str, Any], task: TaskRecipe) -> dict[str, list[list[Score]]]:
    """By row, one list of scores a seed; only rows that are finished for this task, in the record's order."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in record["rows"]:
        groups.setdefault(row["name"], []).append(row)
    stages = {label: stages_of(store, seeds, task) for label, seeds in groups.items()}
    return {label: [read_scores(stage) for stage in own] for label, own in stages.items() if own}


def measured(store: Store, task: TaskRecipe, stages: Sequence[Stage]) -> Measured:
    """The cells of one row on one task, and the samples of tested columns, from the store where they are there."""
    tested = [task.is_tested(column) for column in task.columns]
    inputs: dict[str, Any] = {
        "task": task.name,  # cells carry it
        # By content: measurements that failed are tried again under the same key.
        "scores": [store.file_hash(stage.path / "scores.jsonl") for stage in stages],
        "columns": [column.model_dump(include={"metric", "estimator"}) for column in task.columns],
        "tested": tested,
        "code": source_hash(*MEASURE_CODE),
    }
    cached = store.stage("measured", content_key("measured", inputs))
    path, cautions_path = cached.path / "measurements.json", cached.path / "cautions.json"
    with cached.begin() as todo:
        if todo:
            scores = [read_scores(stage) for stage in stages]
            found = examine(task.name, task.columns, scores, estimators())
            atomic_write_json(path, [asdict(one.measurement) for one in found])
            atomic_write_json(cautions_path, find_cautions(task.columns, scores))
            for index, one in enumerate(found):
                if tested[index] and one.sample is not None:
                    _write_sample(_sample_path(cached, index), one.sample)
            cached.finish({})
    cells = [Measurement(**fields) for fields in read_json(path)]
    return Measured(cells, read_json(cautions_path), stages, cached)


def comparisons(
    store: Store, tasks: Sequence[TaskRecipe], rows: Mapping[str, Mapping[str, Measured]]
) -> list[Comparison]:
    """All pairs of rows on the tested columns, Holm-adjusted over the table. rows: by task, then by label."""
    found = [one for task in tasks for one in _of_task(store, task, rows[task.name])]
    return _adjusted(found)


def compared(
    tasks: Sequence[TaskRecipe], scores: Mapping[str, Mapping[str, Sequence[Sequence[Score]]]]
) -> list[Comparison]:
    """The same from scores alone. scores: by task, then by row, one sequence a seed."""
    found = []
    for task in tasks:
        rows = scores.get(task.name, {})
        columns = [column for column in task.columns if task.is_tested(column)]
        found += compare(task.name, columns, rows, estimators(), list(combinations(rows, 2)))
    return _adjusted(found)


def _adjusted(found: Sequence[Comparison]) -> list[Comparison]:
    adjusted = holm([one.p_value for one in found])
    return [replace(one, adjusted=p) for one, p in zip(found, adjusted, strict=True)]


def _of_task(store: Store, task: TaskRecipe, rows: Mapping[str, Measured]) -> list[Comparison]:
    """The comparisons of one task, before Holm's correction."""
    inputs: dict[str, Any] = {
        "task": task.name,
        "rows": [[label, one.stage.key] for label, one in rows.items()],
        "code": source_hash(*MEASURE_CODE),
    }
    cached = store.stage("compared", content_key("compared", inputs))
    path = cached.path / "comparisons.json"
    with cached.begin() as todo:
        if todo:
            pairs = list(combinations(rows, 2))
            found: list[Comparison] = []
            for index, column in enumerate(task.columns):
                if task.is_tested(column):
                    found += compare_samples(task.name, column.metric, _samples(task, index, rows), pairs)
            atomic_write_json(path, [asdict(one) for one in found])
            cached.finish({})
    return [Comparison(**fields) for fields in read_json(path)]


def _samples(task: TaskRecipe, index: int, rows: Mapping[str, Measured]) -> dict[str, Sample]:
    """Each row's sample of one column: as kept, or made again where refitted ones are not of the same prompts."""
    paths = {label: _sample_path(one.stage, index) for label, one in rows.items()}
    kept = {label: _read_sample(path) for label, path in paths.items() if path.exists()}
    refitted = [sample for sample in kept.values() if sample.drawn_RS is not None]
    if len({sample.clusters for sample in refitted}) <= 1:
        return kept
    column, known = task.columns[index], estimators()
    scores = {label: [read_scores(stage) for stage in rows[label].scores] for label in kept}
    made = {label: estimate(task.name, column, seeds, known) for label, seeds in scores.items()}
    return {label: sample for label, sample in made.items() if sample is not None}


def _sample_path(stage: Stage, index: int) -> Path:
    return stage.path / f"sample-{index}.npz"


def _write_sample(path: Path, sample: Sample) -> None:
    """As arrays; how to refit stays behind, its replicates go along."""
    arrays: dict[str, Any] = {"clusters": np.array(sample.clusters, dtype=np.str_), "estimates": sample.estimates_S}
    if sample.values_SC is not None:
        arrays["values"] = sample.values_SC
    if sample.strata is not None:
        arrays["strata"] = np.array(sample.strata, dtype=np.str_)
    if sample.drawn_RS is not None:
        arrays["drawn"] = sample.drawn_RS
    np.savez(path, **arrays)


def _read_sample(path: Path) -> Sample:
    with np.load(path, allow_pickle=False) as arrays:
        return Sample(
            tuple(map(str, arrays["clusters"])),
            arrays["estimates"],
            arrays.get("values"),
            tuple(map(str, arrays["strata"])) if "strata" in arrays else None,
            drawn_RS=arrays.get("drawn"),
        )
