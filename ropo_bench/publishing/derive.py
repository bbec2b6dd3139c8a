"""The numbers of a table from its published scores alone, with the code of today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from typing import Any

import ropo_bench
from ropo_bench.leaderboard import compare_scores, estimators
from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.publishing.scores import ScoresOf
from ropo_bench.recipes.suite import PrimaryRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.statistics.cells import measure
from ropo_bench.types import Measurement

MEASURED_WITH = ("numpy", "scipy", "scikit-learn")


def derive(board: Leaderboard, tasks: Sequence[TaskRecipe], scores: ScoresOf) -> Leaderboard:
    """The table with every cell and comparison made again from the scores; nothing else of it changes."""
    estimator_by_name = estimators()
    rows = []
    for row in board.rows:
        cells: dict[tuple[str, str], Measurement] = {}
        for task in tasks:
            if row.name in scores.get(task.name, {}):
                measurements = measure(task.name, task.columns, scores[task.name][row.name], estimator_by_name)
                cells |= {(task.name, cell.metric): cell for cell in measurements}
        rows.append(replace(row, cells=cells))
    seeds = {row.name: row.seeds for row in board.rows}
    primary = None if board.primary is None else PrimaryRecipe.model_validate(board.primary)
    return replace(board, rows=rows, comparisons=compare_scores(tasks, scores, seeds, primary))


def versions() -> Mapping[str, str]:
    """What numbers are derived with, here and now."""
    versions_here: dict[str, Any] = {"ropo_bench": ropo_bench.__version__}
    return versions_here | {name: metadata.version(name) for name in MEASURED_WITH}
