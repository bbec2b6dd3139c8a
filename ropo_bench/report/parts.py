"""Parts of a metric: grades by category of prompt, and what of each sub-task was forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.report.data import Category, Forgetting
from ropo_bench.report.trained import Shelf, main_column
from ropo_bench.statistics import compare, measure
from ropo_bench.types import Score

ACCURACY = "accuracy"
Rows = Mapping[str, Sequence[Sequence[Score]]]


def categories(shelf: Shelf) -> list[Category]:
    """The main metric of every task with categories of prompts, by category in the order of the prompts."""
    found = []
    for task in shelf.tasks:
        rows = shelf.scored_rows(task)
        if task.prompts is None or _is_accuracy(task):
            continue
        for row, seeds in rows.items():
            main = main_column(task, seeds[0])
            if main is None:
                continue
            columns = _parts(main.metric, seeds)
            measured = measure(task.name, list(columns.values()), seeds)
            found += [Category(task.name, row, name, m) for name, m in zip(columns, measured, strict=True)]
    return found


def forgetting(shelf: Shelf) -> list[Forgetting]:
    """Every row's accuracy minus the SFT model's, by sub-task; by kind of question where there are no sub-tasks."""
    found = []
    for task in shelf.tasks:
        rows = shelf.scored_rows(task) if _is_accuracy(task) else {}
        if shelf.reference not in rows:
            continue
        pairs = [(row, shelf.reference) for row in rows if row != shelf.reference]
        for part, (column, of_part) in _accuracies(rows, rows[shelf.reference]).items():
            compared = compare(task.name, [column], of_part, {}, pairs) if pairs else []
            found += [Forgetting(task.name, part, comparison.a, comparison) for comparison in compared]
    return found


def _is_accuracy(task: TaskRecipe) -> bool:
    return any(column.metric == ACCURACY for column in task.columns)


def _parts(metric: str, seeds: Sequence[Sequence[Score]]) -> dict[str, Column]:
    """Part -> its column, of metrics called "metric/part"."""
    head = f"{metric}/"
    names = dict.fromkeys(s.metric for scores in seeds for s in scores if s.metric.startswith(head))
    return {name.removeprefix(head): Column(metric=name, header=name.removeprefix(head)) for name in names}


def _accuracies(rows: Rows, reference: Sequence[Sequence[Score]]) -> dict[str, tuple[Column, Rows]]:
    """Part -> its column, and the scores that it is measured from."""
    columns = _parts(ACCURACY, reference)
    if columns:
        return {part: (column, rows) for part, column in columns.items()}
    kinds = dict.fromkeys(s.detail["kind"] for s in reference[0] if s.metric == ACCURACY and "kind" in s.detail)
    column = Column(metric=ACCURACY, header="accuracy")
    return {kind: (column, {row: [_of(kind, scores) for scores in rows[row]] for row in rows}) for kind in kinds}


def _of(kind: str, scores: Sequence[Score]) -> list[Score]:
    return [score for score in scores if score.metric == ACCURACY and score.detail.get("kind") == kind]
