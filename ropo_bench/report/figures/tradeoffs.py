"""Quality against what it costs: length, trainable parameters, training time; the Pareto front is marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ropo_bench.leaderboard.board import Column, Row
from ropo_bench.report.data import ReportData, is_grade, is_win_rate
from ropo_bench.report.figures.labels import Labelled, place_labels
from ropo_bench.report.figures.style import FAINT, INK, SMALL, grid, marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Point:
    """A row: what it costs and how good it is, with the 95 % interval of the latter where there is one."""

    name: str
    cost: float
    value: float
    low: float | None
    high: float | None


def against_length(data: ReportData) -> Figure | None:
    """Quality against the mean number of tokens of an answer."""
    lengths = {(each.task, each.row): each.measurement.value for each in data.lengths}
    return _figure(data, lambda row, column: lengths.get((column.task, row.name)), "tokens an answer")


def against_parameters(data: ReportData) -> Figure | None:
    """Quality against the number of trainable parameters."""
    return _figure(data, lambda row, _: row.trainable_params, "trainable parameters", log=True)


def against_time(data: ReportData) -> Figure | None:
    """Quality against the seconds that training took."""
    return _figure(data, lambda row, _: row.train_seconds, "training, seconds")


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the (cost, quality) that no other point beats in one and equals in the other, cheapest first."""
    front: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[place][1] > points[front[-1]][1]:
            front.append(place)
    return front


def quality_columns(data: ReportData) -> list[Column]:
    """The first grade or win rate of every task."""
    found: dict[str, Column] = {}
    for column in data.board.columns:
        if column.better == "higher" and (is_win_rate(column.metric) or is_grade(column.metric)):
            found.setdefault(column.task, column)
    return list(found.values())


def _figure(
    data: ReportData, cost: Callable[[Row, Column], float | None], label: str, *, log: bool = False
) -> Figure | None:
    panels = [(column, *_points(data, column, cost)) for column in quality_columns(data)]
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
        _panel(data, panel, points, free)
    place_labels(
        figure, [_labelled(panel, points, free) for panel, (_, points, free) in zip(axes, panels, strict=True)]
    )
    return figure


def _points(
    data: ReportData, column: Column, cost: Callable[[Row, Column], float | None]
) -> tuple[list[Point], dict[str, float]]:
    """The rows that have both, and the values of reference rows that cost nothing."""
    points, free = [], {}
    for row in data.board.ordered_rows:
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


def _labelled(panel: Axes, points: Sequence[Point], free: Mapping[str, float]) -> Labelled:
    front = _front(points)
    left, right = panel.get_xlim()
    lines = [(a.cost, a.value, b.cost, b.value) for a, b in pairwise(front)]
    lines += [(p.cost, p.low, p.cost, p.high) for p in points if p.low is not None and p.high is not None]
    lines += [(left, value, right, value) for value in free.values()]
    return Labelled(panel, {point.name: (point.cost, point.value) for point in points}, lines)


def _panel(data: ReportData, panel: Axes, points: Sequence[Point], free: Mapping[str, float]) -> None:
    styles = marks(data.board)
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
