"""`ropo-bench score commonsense`: a model folder on the eight commonsense tasks."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from pathlib import Path

from ropo_bench.commands.score.output import Metric, ScoreRow, print_rows
from ropo_bench.errors import UsageError
from ropo_bench.recipes.load import load_task
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.sources.models import model_folder
from ropo_bench.types import Measurement, Score
from ropo_bench.types.engines import Engine, Subject

DTYPES = ("float32", "bfloat16", "float16")


def score_commonsense_command(
    model: Path,
    tasks: str,
    backend: str,
    limit: int | None,
    json: bool,
    dtype: str = "auto",
    batch_size: int = 1,
) -> None:
    """Print `accuracy/TASK`, `accuracy_norm/TASK` (where lm-eval gives it) and `average`, in percent.

    tasks: "all" or names with commas between. limit: only the first items of each task. dtype: auto is the
    checkpoint's own, as in lm-eval's command. average: of the tasks' accuracies, each task counting the same.
    Raises UsageError.
    """
    from ropo_bench.scoring.commonsense.likelihood import score

    folder = model_folder(str(model))
    if not (folder / "config.json").is_file():
        raise UsageError(f"model {model}: an adapter without its model; merge it first (`ropo-bench eval` does)")
    task = _task(tasks, limit, batch_size)
    engines: list[Engine] = []

    def engine() -> Engine:
        if not engines:
            engines.append(_start(folder, backend, checkpoint_dtype(folder) if dtype == "auto" else dtype))
        return engines[0]

    try:
        scores = score(task, Subject(folder, folder, engine))
    finally:
        for opened_engine in engines:
            opened_engine.close()
    print_rows([_row(str(model), task, scores, engines[0].backend)], json)


def checkpoint_dtype(folder: Path) -> str:
    """The dtype in a checkpoint's config, float32 where it names none of ours."""
    config = jsonlib.loads((folder / "config.json").read_text(encoding="utf-8"))
    named = str(config.get("dtype") or config.get("torch_dtype") or "").removeprefix("torch.")
    return named if named in DTYPES else "float32"


def _start(folder: Path, backend: str, dtype: str) -> Engine:
    from ropo_bench.generation import start
    from ropo_bench.recipes.suite import VllmRecipe

    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: known: auto, {', '.join(DTYPES)}")
    return start(folder, backend, dtype, VllmRecipe())


def _task(tasks: str, limit: int | None, batch_size: int) -> TaskRecipe:
    task = load_task("commonsense")
    options = {**task.options, "batch_size": batch_size}
    if tasks != "all":
        options["tasks"] = [name.strip() for name in tasks.split(",")]
    if limit is not None:
        options["limit"] = limit
    return task.model_copy(update={"options": options})


def _row(model: str, task: TaskRecipe, scores: Sequence[Score], backend: str) -> ScoreRow:
    from ropo_bench.scoring.commonsense.average import macro_mean
    from ropo_bench.statistics.cells import measure

    names = list(dict.fromkeys(score.metric for score in scores))
    columns = [
        Column(metric=name, header=name, estimator="macro_mean" if name == "accuracy" else "mean") for name in names
    ]
    measurements = measure(task.name, columns, [scores], {"macro_mean": macro_mean})
    metrics = {
        measurement.metric: _metric(measurement) for measurement in measurements if measurement.metric != "accuracy"
    }
    metrics["average"] = next(
        _metric(measurement) for measurement in measurements if measurement.metric == "accuracy"
    )
    return ScoreRow(model, metrics, _notes(task, scores), {"backend": backend})


def _notes(task: TaskRecipe, scores: Sequence[Score]) -> list[str]:
    sourced = [score for score in scores if "data" in score.detail]
    data = {score.metric.removeprefix("accuracy/"): str(score.detail["data"]) for score in sourced}
    notes = [
        "percent, by log-likelihood, zero-shot, with lm-eval's prompt forms",
        f"average: of {len(data)} tasks, each counting the same",
        "data: " + ", ".join(f"{name} {place}" for name, place in data.items()),
    ]
    if "limit" in task.options:
        notes.append(f"only the first {task.options['limit']} items of each task")
    return notes


def _metric(measurement: Measurement) -> Metric:
    return Metric(measurement.value, measurement.n, measurement.n_unscored, measurement.standard_error)
