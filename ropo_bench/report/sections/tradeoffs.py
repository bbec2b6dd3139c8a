"""Quality against what it costs: length, trainable parameters, training time; the Pareto front is marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ropo_bench.leaderboard.board import Column, Leaderboard, Row
from ropo_bench.recipes.task import Column as TaskColumn
from ropo_bench.report.figures.labels import Labelled, place_labels
from ropo_bench.report.figures.style import FAINT, INK, SMALL, grid, marks
from ropo_bench.report.sections.metrics import is_grade, is_win_rate
from ropo_bench.report.sections.section import Section
from ropo_bench.report.sections.stored import StoredRun
from ropo_bench.statistics.cells import measure
from ropo_bench.types import Measurement, Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Costs = Mapping[str, float]
"""Row -> what it costs, of those rows that cost something."""


@dataclass(frozen=True, slots=True)
class Length:
    """A row's mean number of tokens in all its answers to a prompt."""

    task: str
    row: str
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class Point:
    """A row: what it costs and how good it is, with the 95 % interval of the latter where there is one."""

    name: str
    cost: float
    value: float
    low: float | None
    high: float | None


def gather_lengths(run: StoredRun) -> list[Length] | None:
    """Mean number of tokens a conversation, of every row that has answered."""
    column = TaskColumn(metric="length", header="tokens", better="none")
    lengths = []
    for task in run.tasks:
        for row, seeds in run.answered_rows(task).items():
            scores = [
                [Score(c.prompt_id, c.prompt_id, "length", float(sum(c.num_tokens)), "scored") for c in completions]
                for completions in seeds
            ]
            lengths += [Length(task.name, row, m) for m in measure(task.name, [column], scores)]
    return lengths or None


def gather_parameters(run: StoredRun) -> Costs | None:
    """The number of trainable parameters, from the table."""
    return {row.name: row.trainable_params for row in run.board.rows if row.trainable_params is not None} or None


def gather_seconds(run: StoredRun) -> Costs | None:
    """The seconds that training took, mean over seeds, from the table."""
    return {row.name: row.train_seconds for row in run.board.rows if row.train_seconds is not None} or None


def find_unmeasured(run: StoredRun, lengths: Sequence[Length] | None) -> str | None:
    """Rows whose quality or whose length is not known."""
    return run.missing(run.everyone, run.rows_with(_is_quality) & {length.row for length in lengths or ()})


def find_untrained(run: StoredRun, _costs: Costs | None) -> str | None:
    """Trained rows whose quality is not known."""
    return run.missing(run.trained, run.rows_with(_is_quality))


def draw_lengths(lengths: Sequence[Length], board: Leaderboard) -> Figure | None:
    """Quality against the mean number of tokens of an answer."""
    values = {(length.task, length.row): length.measurement.value for length in lengths}
    return _figure(board, lambda row, column: values.get((column.task, row.name)), "tokens an answer")


def draw_parameters(costs: Costs, board: Leaderboard) -> Figure | None:
    """Quality against the number of trainable parameters."""
    return _figure(board, lambda row, _: costs.get(row.name), "trainable parameters", log=True)


def draw_seconds(costs: Costs, board: Leaderboard) -> Figure | None:
    """Quality against the seconds that training took."""
    return _figure(board, lambda row, _: costs.get(row.name), "training, seconds")


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the (cost, quality) that no other point beats in one and equals in the other, cheapest first."""
    front: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[place][1] > points[front[-1]][1]:
            front.append(place)
    return front


def quality_columns(board: Leaderboard) -> list[Column]:
    """The first grade or win rate of every task."""
    columns: dict[str, Column] = {}
    for column in board.columns:
        if column.better == "higher" and _is_quality(column.metric):
            columns.setdefault(column.task, column)
    return list(columns.values())


def _is_quality(metric: str) -> bool:
    return is_win_rate(metric) or is_grade(metric)


def _figure(
    board: Leaderboard, cost: Callable[[Row, Column], float | None], label: str, *, log: bool = False
) -> Figure | None:
    panels = [(column, *_points(board, column, cost)) for column in quality_columns(board)]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return None
    figure, axes = grid(len(panels), 2, 4.4, 2.6 + 0.1 * max(len(points) for _, points, _ in panels))
    for panel, (column, points, free) in zip(axes, panels, strict=True):
        if log:
            panel.set_xscale("log")
            panel.xaxis.set_major_formatter("{x:,.0f}")
            panel.minorticks_off()
        panel.set_title(column.task)
        panel.set_ylabel(column.header)
        panel.set_xlabel(label)
        _panel(board, panel, points, free)
    place_labels(figure, [_label(panel, points, free) for panel, (_, points, free) in zip(axes, panels, strict=True)])
    return figure


def _points(
    board: Leaderboard, column: Column, cost: Callable[[Row, Column], float | None]
) -> tuple[list[Point], dict[str, float]]:
    """The rows that have both, and the values of reference rows that cost nothing."""
    points, free = [], {}
    for row in board.ordered_rows:
        cell, price = row.cells.get((column.task, column.metric)), cost(row, column)
        if cell is None or cell.value is None:
            continue
        if price is not None:
            points.append(Point(row.name, price, cell.value, cell.low, cell.high))
        elif row.reference:
            free[row.name] = cell.value
    return points, free


def _front(points: Sequence[Point]) -> list[Point]:
    return [points[i] for i in pareto([(point.cost, point.value) for point in points])]


def _label(panel: Axes, points: Sequence[Point], free: Mapping[str, float]) -> Labelled:
    front = _front(points)
    left, right = panel.get_xlim()
    lines = [(a.cost, a.value, b.cost, b.value) for a, b in pairwise(front)]
    lines += [(p.cost, p.low, p.cost, p.high) for p in points if p.low is not None and p.high is not None]
    lines += [(left, value, right, value) for value in free.values()]
    return Labelled(panel, {point.name: (point.cost, point.value) for point in points}, lines)


def _panel(board: Leaderboard, panel: Axes, points: Sequence[Point], free: Mapping[str, float]) -> None:
    styles = marks(board)
    front = _front(points)
    xs, ys = [point.cost for point in front], [point.value for point in front]
    panel.plot(xs, ys, "o:", color=INK, linewidth=1, markersize=11, markerfacecolor="none", zorder=1)
    for point in points:
        mark = styles[point.name]
        if point.low is not None and point.high is not None:
            panel.plot([point.cost] * 2, [point.low, point.high], color=mark.colour, linewidth=1.2)
        panel.plot(point.cost, point.value, mark.marker, color=mark.colour, zorder=3)
    for name, value in free.items():
        panel.axhline(value, color=INK, linewidth=1, linestyle="--")
        panel.annotate(
            name, (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 2), textcoords="offset points",
            ha="right", size=SMALL,
        )  # fmt: skip
    panel.grid(alpha=FAINT)
    panel.set_axisbelow(True)
    panel.margins(0.15)


LENGTH = Section(
    name="quality-length",
    title="Quality against length",
    caption="Judges tend to like long answers: a row that is better and no longer is better for its content.",
    gather=gather_lengths,
    left_out=find_unmeasured,
    draw=draw_lengths,
)
PARAMETERS = Section(
    name="quality-parameters",
    title="Quality against trainable parameters",
    caption=(
        "On a logarithmic axis. The line joins the Pareto front: by point estimates, which separate nobody, no row is"
        " both smaller and better than a row on it."
    ),
    gather=gather_parameters,
    left_out=find_untrained,
    draw=draw_parameters,
)
SECONDS = Section(
    name="quality-time",
    title="Quality against training time",
    caption=(
        "Mean over seeds. The line joins the Pareto front: by point estimates, which separate nobody, no row is both"
        " faster and better than a row on it."
    ),
    gather=gather_seconds,
    left_out=find_untrained,
    draw=draw_seconds,
)
