"""What of each sub-task was forgotten: accuracy against the SFT model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.recipes.task import Column
from ropo_bench.report.figures.forest import Value, forest
from ropo_bench.report.figures.style import INK, grid, lowest, marks
from ropo_bench.report.sections.metrics import ACCURACY, is_accuracy, part_columns
from ropo_bench.report.sections.section import Section
from ropo_bench.report.sections.stored import StoredRun
from ropo_bench.report.sections.tables import PlainTable, cross_table, minus, unique
from ropo_bench.statistics.comparisons import compare
from ropo_bench.types import Comparison, Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Mapping[str, Sequence[Sequence[Score]]]
"""Row -> the scores of each of its seeds."""


@dataclass(frozen=True, slots=True)
class Forgetting:
    """A row's accuracy minus the SFT model's on one sub-task (or one kind of question), in points."""

    task: str
    part: str
    row: str
    difference: Comparison


def gather(run: StoredRun) -> list[Forgetting] | None:
    """Every row's accuracy minus the SFT model's, by sub-task; by kind of question where there are no sub-tasks."""
    reference = run.reference
    differences = []
    for task in run.tasks:
        rows = run.scored_rows(task) if is_accuracy(task) else {}
        if reference not in rows:
            continue
        pairs = [(row, reference) for row in rows if row != reference]
        for part, (column, of_part) in _accuracies(rows, rows[reference]).items():
            comparisons = compare(task.name, [column], of_part, {}, pairs) if pairs else []
            differences += [Forgetting(task.name, part, comparison.a, comparison) for comparison in comparisons]
    return differences or None


def left_out(run: StoredRun, differences: Sequence[Forgetting] | None) -> str | None:
    """Rows that are not compared with the SFT model by sub-task."""
    return run.missing(run.others, {difference.row for difference in differences or ()})


def draw(differences: Sequence[Forgetting], board: Leaderboard) -> Figure | None:
    """A panel a row: its difference to the SFT model by sub-task, the line at 0."""
    tasks = {difference.task for difference in differences}
    groups: dict[str, dict[str, Value]] = {}
    for difference in differences:
        part = difference.part if len(tasks) == 1 else f"{difference.task}: {difference.part}"
        points = difference.difference
        groups.setdefault(difference.row, {})[part] = Value(points.estimate, points.low, points.high)
    tallest = max(map(len, groups.values()))
    figure, axes = grid(len(groups), 4, 2.6, 0.8 + 0.22 * tallest, sharex=True, sharey=True)
    styles = marks(board)
    for panel, (row, values) in zip(axes, groups.items(), strict=True):
        forest(panel, values, dict.fromkeys(values, styles[row]))
        panel.axvline(0, color=INK, linewidth=1)
        panel.set_title(row)
    for panel in lowest(axes, 4):
        panel.set_xlabel("points against SFT")
    return figure


def tables(differences: Sequence[Forgetting]) -> list[PlainTable]:
    """A table a task: sub-tasks by rows."""
    by_task = []
    for task in unique(difference.task for difference in differences):
        own = [difference for difference in differences if difference.task == task]
        texts = {(difference.part, difference.row): _points(difference.difference) for difference in own}
        by_task.append(cross_table(f"{task}: difference to SFT in points (95 % interval).", "part", texts))
    return by_task


def _points(comparison: Comparison) -> str:
    interval = "" if comparison.low is None else f" ({comparison.low:+.1f} to {comparison.high:+.1f})"
    return minus(f"{comparison.estimate:+.1f}{interval}")


def _accuracies(rows: Rows, reference: Sequence[Sequence[Score]]) -> dict[str, tuple[Column, Rows]]:
    """Part -> its column, and the scores that it is measured from."""
    columns = part_columns(ACCURACY, reference)
    if columns:
        return {part: (column, rows) for part, column in columns.items()}
    kinds = dict.fromkeys(s.detail["kind"] for s in reference[0] if s.metric == ACCURACY and "kind" in s.detail)
    column = Column(metric=ACCURACY, header="accuracy")
    return {kind: (column, {row: [_of(kind, scores) for scores in rows[row]] for row in rows}) for kind in kinds}


def _of(kind: str, scores: Sequence[Score]) -> list[Score]:
    return [score for score in scores if score.metric == ACCURACY and score.detail.get("kind") == kind]


SECTION = Section(
    name="forgetting",
    title="Forgetting",
    caption=(
        "Difference of accuracy to the SFT model by sub-task, in points, with 95 % intervals, each on its own: of"
        " twenty, one misses the truth. Wholly below 0: forgotten."
    ),
    gather=gather,
    left_out=left_out,
    draw=draw,
    tables=tables,
)
