"""What kind of number a metric is, by its name; and the metrics that are parts of another."""

from __future__ import annotations

from collections.abc import Sequence

from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.types import Score

ACCURACY = "accuracy"
DIVERSITY = "diversity"
"""The scorer of answers that nobody judges."""
EVEN = 50.0
"""The win rate of equals."""


def is_win_rate(metric: str) -> bool:
    """Whether a metric is a preference over an opponent, 0..100 with 50 for equals."""
    return "win_rate" in metric or metric.startswith("wwr")


def is_grade(metric: str) -> bool:
    """Whether a metric is a grade, 1..10."""
    return metric.startswith("score")


def is_accuracy(task: TaskRecipe) -> bool:
    """Whether a task counts right answers."""
    return any(column.metric == ACCURACY for column in task.columns)


def part_columns(metric: str, seeds: Sequence[Sequence[Score]]) -> dict[str, Column]:
    """Part -> its column, of the metrics called "metric/part"."""
    head = f"{metric}/"
    names = dict.fromkeys(s.metric for scores in seeds for s in scores if s.metric.startswith(head))
    return {name.removeprefix(head): Column(metric=name, header=name.removeprefix(head)) for name in names}


def main_column(task: TaskRecipe, scores: Sequence[Score]) -> Column | None:
    """The column that says how good a row is: the first tested one that has items, else any with a direction."""
    metrics = {score.metric for score in scores}
    columns = [column for column in task.columns if column.better != "none" and column.metric in metrics]
    return next((column for column in columns if task.is_tested(column)), columns[0] if columns else None)
