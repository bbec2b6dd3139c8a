"""The sentences that name rows which answer alike, made once for a set of scores and kept in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ropo_bench.leaderboard.measurements import RowMeasurements
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.runs.items import read_scores
from ropo_bench.statistics.agreement import ALIKE, Alike, groups_alike
from ropo_bench.statistics.sample import Array
from ropo_bench.store import Store, atomic_write_json, content_key, read_json, source_hash
from ropo_bench.types import Score

GROUPS = "groups.json"


def alike_lines(
    store: Store, tasks: Sequence[TaskRecipe], rows: Mapping[str, Mapping[str, RowMeasurements]]
) -> list[str]:
    """A line a group of rows that give the same scores in a tested column. rows: by task, then by label."""
    return [
        _line(task, column, group)
        for task in tasks
        for column, groups in zip(_tested_columns(task), _groups(store, task, rows[task.name]), strict=True)
        for group in groups
    ]


def _tested_columns(task: TaskRecipe) -> list[Column]:
    return [column for column in task.columns if task.is_tested(column)]


def _line(task: TaskRecipe, column: Column, group: Alike) -> str:
    names = f"{', '.join(group.rows[:-1])} and {group.rows[-1]}"
    number = "two" if len(group.rows) == 2 else f"{len(group.rows)}"
    return (
        f"{names} give the same score on {100 * group.agreement:.1f} % of the items of {task.name} {column.header}"
        f" (alike from {100 * ALIKE:.0f} %); they are one result there, not {number}"
    )


def _groups(store: Store, task: TaskRecipe, rows: Mapping[str, RowMeasurements]) -> list[list[Alike]]:
    """The groups of every tested column."""
    inputs: dict[str, Any] = {
        "columns": [column.metric for column in _tested_columns(task)],
        "rows": [[label, row.stage.key] for label, row in rows.items()],
        "code": source_hash("ropo_bench.statistics.agreement", "ropo_bench.leaderboard.agreement"),
    }
    cached = store.stage("compared", content_key("alike", inputs))
    with cached.begin() as todo:
        if todo:
            scores = {label: [read_scores(stage) for stage in row.scores] for label, row in rows.items()}
            by_column = [groups_alike(_values(scores, column.metric)) for column in _tested_columns(task)]
            lines = [[asdict(group) for group in groups] for groups in by_column]
            atomic_write_json(cached.path / GROUPS, lines)
            cached.finish({})
    return [[Alike(tuple(g["rows"]), g["agreement"]) for g in groups] for groups in read_json(cached.file(GROUPS))]


def _values(scores: Mapping[str, Sequence[Sequence[Score]]], metric: str) -> dict[str, Array]:
    """Scores (S, items) of every row, over all items that any row has; NaN where a row has none."""
    items = sorted({s.item for seeds in scores.values() for seed in seeds for s in seed if s.metric == metric})
    place = {item: index for index, item in enumerate(items)}
    by_label = {}
    for label, seeds in scores.items():
        values = np.full((len(seeds), len(items)), np.nan)
        for number, seed in enumerate(seeds):
            for score in seed:
                if score.metric == metric and score.value is not None:
                    values[number, place[score.item]] = score.value
        by_label[label] = values
    return by_label
