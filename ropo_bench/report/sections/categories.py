"""Grades by category of prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.report.figures.forest import Value, forest, interval_of
from ropo_bench.report.figures.style import grid, lowest, marks
from ropo_bench.report.sections.metrics import is_accuracy, main_column, part_columns
from ropo_bench.report.sections.section import Section
from ropo_bench.report.sections.stored import StoredRun
from ropo_bench.report.sections.tables import PlainTable, cross_table, estimate, unique
from ropo_bench.statistics.cells import measure
from ropo_bench.types import Measurement

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Category:
    """A row's mean grade in one category of a task's prompts."""

    task: str
    row: str
    category: str
    measurement: Measurement


def gather(run: StoredRun) -> list[Category] | None:
    """The main metric of every task with categories of prompts, by category in the order of the prompts."""
    categories = []
    for task in run.tasks:
        rows = run.scored_rows(task)
        if task.prompts is None or is_accuracy(task):
            continue
        for row, seeds in rows.items():
            main = main_column(task, seeds[0])
            if main is None:
                continue
            columns = part_columns(main.metric, seeds)
            measurements = measure(task.name, list(columns.values()), seeds)
            categories += [Category(task.name, row, name, m) for name, m in zip(columns, measurements, strict=True)]
    return categories or None


def left_out(run: StoredRun, categories: Sequence[Category] | None) -> str | None:
    """Rows that are not graded by category."""
    return run.missing(run.everyone, {category.row for category in categories or ()})


def draw(categories: Sequence[Category], board: Leaderboard) -> Figure | None:
    """A panel a task and category: every row's mean grade with its interval."""
    groups: dict[tuple[str, str], dict[str, Value]] = {}
    for category in categories:
        value = interval_of(category.measurement)
        if value is not None:
            groups.setdefault((category.task, category.category), {})[category.row] = value
    if not groups:
        return None
    tasks = {task for task, _ in groups}
    tallest = max(map(len, groups.values()))
    figure, axes = grid(len(groups), 4, 2.6, 0.55 + 0.22 * tallest, sharex=True, sharey=True)
    styles = marks(board)
    for panel, ((task, name), values) in zip(axes, groups.items(), strict=True):
        forest(panel, values, styles)
        panel.set_title(name if len(tasks) == 1 else f"{task}: {name}")
    for panel in lowest(axes, 4):
        panel.set_xlabel("mean with 95 % interval")
    return figure


def tables(categories: Sequence[Category]) -> list[PlainTable]:
    """A table a task: categories by rows."""
    by_task = []
    for task in unique(category.task for category in categories):
        own = [category for category in categories if category.task == task]
        texts = {(category.category, category.row): estimate(category.measurement, 2) for category in own}
        by_task.append(cross_table(f"{task}: mean grade ± its standard error.", "category", texts))
    return by_task


SECTION = Section(
    name="categories",
    title="Categories",
    caption="Mean grade by category of prompt, with 95 % intervals.",
    gather=gather,
    left_out=left_out,
    draw=draw,
    tables=tables,
)
