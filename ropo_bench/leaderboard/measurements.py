"""Cells and comparisons of a run, computed once and kept in the store: a bootstrap takes its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ropo_bench.recipes.objects import resolve_object
from ropo_bench.recipes.suite import PrimaryRecipe
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.runs.items import SCORES, read_completions, read_scores
from ropo_bench.scoring import ESTIMATORS
from ropo_bench.scoring.cautions import find_cautions
from ropo_bench.scoring.degenerate import find_degenerate
from ropo_bench.statistics.cells import estimate, examine
from ropo_bench.statistics.comparisons import compare_samples
from ropo_bench.statistics.multiplicity import adjust
from ropo_bench.statistics.sample import Estimator, Sample
from ropo_bench.store import Stage, Store, atomic_write_json, content_key, read_json, source_hash
from ropo_bench.types import Comparison, Measurement, Score

MEASUREMENTS, CAUTIONS, COMPARISONS = "measurements.json", "cautions.json", "comparisons.json"
ANSWERS = "completions.jsonl"
MEASURE_CODE = ("ropo_bench.statistics", "ropo_bench.scoring")


@dataclass(frozen=True, slots=True)
class RowMeasurements:
    """One row on one task: its cells, the stages of its scores (one a seed) and of what was made of them.

    cautions: what must be known beside the cells, a sentence each.
    """

    cells: Sequence[Measurement]
    cautions: Sequence[str]
    scores: Sequence[Stage]
    stage: Stage
    seeds: tuple[int, ...] = ()


def estimators() -> dict[str, Estimator]:
    """The estimators that scorers bring, beside those of statistics."""
    return {name: resolve_object(target, {}, "estimator") for name, target in ESTIMATORS.items()}


def measure_row(
    store: Store,
    task: TaskRecipe,
    stages: Sequence[Stage],
    seeds: Sequence[int] = (),
    answers: Sequence[Stage] = (),
) -> RowMeasurements:
    """The cells of one row on one task, and the samples of its columns, from the store where they are there.

    answers: the completions that were scored, for what must be known of them.
    """
    inputs: dict[str, Any] = {
        "task": task.name,  # cells carry it
        # By content: measurements that failed are tried again under the same key.
        "scores": [stage.sha256(SCORES) for stage in stages],
        "answers": [stage.sha256(ANSWERS) for stage in answers],
        "columns": [column.model_dump(include={"metric", "estimator", "scale"}) for column in task.columns],
        "code": source_hash(*MEASURE_CODE),
    }
    cached = store.stage("measured", content_key("measured", inputs))
    with cached.begin() as todo:
        if todo:
            scores = [read_scores(stage) for stage in stages]
            examined = examine(task.name, task.columns, scores, estimators())
            atomic_write_json(cached.path / MEASUREMENTS, [asdict(column.measurement) for column in examined])
            completions = [completion for stage in answers for completion in read_completions(stage)]
            cautions = [*find_cautions(task.columns, scores), *find_degenerate(completions)]
            atomic_write_json(cached.path / CAUTIONS, cautions)
            for index, column in enumerate(examined):
                if column.sample is not None:
                    _write_sample(cached.path / _sample_name(index), column.sample)
            cached.finish({})
    cells = [Measurement(**fields) for fields in read_json(cached.file(MEASUREMENTS))]
    return RowMeasurements(cells, read_json(cached.file(CAUTIONS)), stages, cached, tuple(seeds))


def compare_stored_rows(
    store: Store,
    tasks: Sequence[TaskRecipe],
    rows: Mapping[str, Mapping[str, RowMeasurements]],
    primary: PrimaryRecipe | None = None,
) -> list[Comparison]:
    """All pairs of rows on the tested columns, adjusted over the table. rows: by task, then by label."""
    comparisons = [comparison for task in tasks for comparison in _of_task(store, task, rows[task.name])]
    return adjust(comparisons, is_primary(tasks, primary))


def compare_scores(
    tasks: Sequence[TaskRecipe],
    scores: Mapping[str, Mapping[str, Sequence[Sequence[Score]]]],
    seeds: Mapping[str, Sequence[int]],
    primary: PrimaryRecipe | None = None,
) -> list[Comparison]:
    """The same from scores alone. scores: by task, then by row, one sequence a seed. seeds: of each row."""
    comparisons: list[Comparison] = []
    for task in tasks:
        for column in task.columns:
            if task.is_tested(column):
                samples = samples_of(task, column, scores.get(task.name, {}), seeds)
                comparisons += compare_samples(task.name, column.metric, samples, list(combinations(samples, 2)))
    return adjust(comparisons, is_primary(tasks, primary))


def samples_of(
    task: TaskRecipe,
    column: Column,
    scores: Mapping[str, Sequence[Sequence[Score]]],
    seeds: Mapping[str, Sequence[int]],
) -> dict[str, Sample]:
    """What a column's estimator makes of every row that has its scores, with the row's training seeds."""
    estimates = {name: estimate(task.name, column, own, estimators()) for name, own in scores.items()}
    return {
        name: replace(sample, seeds=tuple(seeds.get(name, ())))
        for name, sample in estimates.items()
        if sample is not None
    }


def is_primary(tasks: Sequence[TaskRecipe], primary: PrimaryRecipe | None) -> Callable[[Comparison], bool] | None:
    """Which comparisons a table declares as its primary ones; None where it declares none."""
    if primary is None:
        return None
    first = [f"{task.name}.{column.metric}" for task in tasks for column in task.columns if task.is_first(column)]
    columns = primary.columns or first
    return lambda pair: primary.against in (pair.a, pair.b) and f"{pair.task}.{pair.metric}" in columns


def _of_task(store: Store, task: TaskRecipe, rows: Mapping[str, RowMeasurements]) -> list[Comparison]:
    """The comparisons of one task, before they are adjusted."""
    inputs: dict[str, Any] = {
        "task": task.name,
        "rows": [[label, row.stage.key, list(row.seeds)] for label, row in rows.items()],
        "code": source_hash(*MEASURE_CODE),
    }
    cached = store.stage("compared", content_key("compared", inputs))
    with cached.begin() as todo:
        if todo:
            pairs = list(combinations(rows, 2))
            comparisons: list[Comparison] = []
            for column in task.columns:
                if task.is_tested(column):
                    comparisons += compare_samples(
                        task.name, column.metric, stored_samples(task, column, rows), pairs
                    )
            atomic_write_json(cached.path / COMPARISONS, [asdict(comparison) for comparison in comparisons])
            cached.finish({})
    return [Comparison(**fields) for fields in read_json(cached.file(COMPARISONS))]


def stored_samples(task: TaskRecipe, column: Column, rows: Mapping[str, RowMeasurements]) -> dict[str, Sample]:
    """Each row's sample of one column: as kept, or made again where refitted ones are not of the same prompts."""
    name, seeds = _sample_name(task.columns.index(column)), {label: row.seeds for label, row in rows.items()}
    samples = {
        label: replace(_read_sample(row.stage.file(name)), seeds=seeds[label])
        for label, row in rows.items()
        if row.stage.has_file(name)
    }
    refitted = [sample for sample in samples.values() if sample.drawn_RS is not None]
    if len({sample.clusters for sample in refitted}) <= 1:
        return samples
    return samples_of(task, column, {label: _read_all(rows[label]) for label in samples}, seeds)


def _read_all(row: RowMeasurements) -> list[list[Score]]:
    return [read_scores(stage) for stage in row.scores]


def _sample_name(index: int) -> str:
    return f"sample-{index}.npz"


def _write_sample(path: Path, sample: Sample) -> None:
    """As arrays; how to refit stays behind, its replicates go along."""
    arrays: dict[str, Any] = {"clusters": np.array(sample.clusters, dtype=np.str_), "estimates": sample.estimates_S}
    if sample.values_SC is not None:
        arrays["values"] = sample.values_SC
    if sample.strata is not None:
        arrays["strata"] = np.array(sample.strata, dtype=np.str_)
    if sample.drawn_RS is not None:
        arrays["drawn"] = sample.drawn_RS
    arrays["coverage"] = np.array(sample.coverage)
    np.savez(path, **arrays)


def _read_sample(path: Path) -> Sample:
    with np.load(path, allow_pickle=False) as arrays:
        return Sample(
            tuple(map(str, arrays["clusters"])),
            arrays["estimates"],
            arrays.get("values"),
            tuple(map(str, arrays["strata"])) if "strata" in arrays else None,
            drawn_RS=arrays.get("drawn"),
            coverage=float(arrays["coverage"]),
        )
