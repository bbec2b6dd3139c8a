"""Rows whose scores and answers a test writes down, in a store: a section can be gathered without training one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.report.sections.stored import StoredRun
from ropo_bench.runs.items import write_scores
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import RowRecord
from ropo_bench.store import Store
from ropo_bench.types import Completion, Score, Status
from tests.stored_run import record, request


def task(name: str, metric: str, **more: Any) -> TaskRecipe:
    fields = {"name": name, "description": name, "scorer": "graded-chat"}
    return TaskRecipe.model_validate(fields | {"columns": [{"metric": metric, "header": metric}]} | more)


def stored(folder: Path, recipe: TaskRecipe, rows: Mapping[str, Sequence[Sequence[Score]]]) -> StoredRun:
    """A run of one task: row -> one list of scores a seed, an empty one where it is not scored yet."""
    store = Store(folder)
    entries = []
    for row, seeds in rows.items():
        for seed, scores in enumerate(seeds):
            stage = store.stage("scores", f"{row}-{seed}")
            if scores:
                with stage.begin():
                    write_scores(stage, scores)
                    stage.finish({})
            entries.append(RowRecord(name=row, seed=seed, scores={recipe.name: stage.key}))
    asked = request([recipe.model_dump()], [row for row in rows if row != "SFT"])
    return StoredRun(Run(store, "one", record(asked, entries)), Leaderboard("stored", [], []))


def answer(run: StoredRun, recipe: TaskRecipe, texts: Mapping[tuple[str, int], Sequence[Sequence[str]]]) -> None:
    """Write completions of (row, seed): for each prompt p0, p1 ... its samples."""
    for model in run:
        key = f"{model.row}-{model.seed}"
        model.record.completions[recipe.name] = key
        stage = run.source.store.stage("completions", key)
        with stage.begin():
            stage.finish({})
        run.source._completions[key] = [
            Completion(f"p{i}", sample, (text,), (len(text.split()),))
            for i, samples in enumerate(texts[model.row, model.seed])
            for sample, text in enumerate(samples)
        ]


def grades(*values: float | None, turn: int = 1) -> list[Score]:
    status: dict[bool, Status] = {True: "infrastructure-failed", False: "scored"}
    return [
        Score(f"p{i}:{turn}", f"p{i}", metric, value, status[value is None])
        for i, value in enumerate(values)
        for metric in ("score", f"score/{'odd' if i % 2 else 'even'}")
    ]
