"""Values with their intervals, a row below the other: win rates, categories, forgetting, distinct-n."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ropo_bench.report.data import ReportData, is_win_rate
from ropo_bench.report.figures.style import FAINT, INK, SMALL, Mark, grid, lowest, marks
from ropo_bench.types import Comparison, Measurement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EVEN = 50.0


class Value(NamedTuple):
    """A value and its 95 % interval, None where there is none."""

    value: float
    low: float | None
    high: float | None


def win_rates(data: ReportData) -> Figure | None:
    """A forest plot a win rate: rows with intervals, the line at 50."""
    columns = [c for c in data.board.columns if is_win_rate(c.metric) and c.better == "higher"]
    styles = marks(data.board)
    panels = []
    for column in columns:
        cells = {row.name: row.cells.get((column.task, column.metric)) for row in data.board.ordered_rows}
        # Where the reference row is its own baseline it is at 50 without any error, which says nothing.
        itself = {row.name for row in data.board.rows if row.reference}
        found = {name: v for name, cell in cells.items() if (v := _measured(cell)) is not None}
        shown = {name: v for name, v in found.items() if not (name in itself and v.low in (None, v.high))}
        if shown:
            panels.append((f"{column.task}: {column.header}", shown))
    if not panels:
        return None
    tallest = max(len(values) for _, values in panels)
    figure, axes = grid(len(panels), 2, 4.6, 0.9 + 0.28 * tallest)
    for panel, (title, values) in zip(axes, panels, strict=True):
        _forest(panel, values, styles, decimals=1)
        panel.axvline(EVEN, color=INK, linewidth=1)
        panel.set_title(title)
        panel.set_xlabel("% of battles won")
    return figure


def categories(data: ReportData) -> Figure | None:
    """A panel a task and category: every row's mean grade with its interval."""
    groups: dict[tuple[str, str], dict[str, Value]] = {}
    for each in data.categories:
        value = _measured(each.measurement)
        if value is not None:
            groups.setdefault((each.task, each.category), {})[each.row] = value
    if not groups:
        return None
    tasks = {task for task, _ in groups}
    tallest = max(map(len, groups.values()))
    figure, axes = grid(len(groups), 4, 2.6, 0.55 + 0.22 * tallest, sharex=True, sharey=True)
    styles = marks(data.board)
    for panel, ((task, category), values) in zip(axes, groups.items(), strict=True):
        _forest(panel, values, styles)
        panel.set_title(category if len(tasks) == 1 else f"{task}: {category}")
    for panel in lowest(axes, 4):
        panel.set_xlabel("mean with 95 % interval")
    return figure


def forgetting(data: ReportData) -> Figure | None:
    """A panel a row: its difference to the SFT model by sub-task, the line at 0."""
    tasks = {each.task for each in data.forgetting}
    groups: dict[str, dict[str, Value]] = {}
    for each in data.forgetting:
        part = each.part if len(tasks) == 1 else f"{each.task}: {each.part}"
        groups.setdefault(each.row, {})[part] = _difference(each.difference)
    if not groups:
        return None
    tallest = max(map(len, groups.values()))
    figure, axes = grid(len(groups), 4, 2.6, 0.8 + 0.22 * tallest, sharex=True, sharey=True)
    styles = marks(data.board)
    for panel, (row, values) in zip(axes, groups.items(), strict=True):
        _forest(panel, values, dict.fromkeys(values, styles[row]))
        panel.axvline(0, color=INK, linewidth=1)
        panel.set_title(row)
    for panel in lowest(axes, 4):
        panel.set_xlabel("points against SFT")
    return figure


def distinct_n(data: ReportData) -> Figure | None:
    """A panel an n: every row's distinct-n at matched length, hollow the same before cutting."""
    groups: dict[tuple[str, int], dict[str, tuple[Value, Value]]] = {}
    for each in data.diversity:
        matched, whole = _measured(each.matched), _measured(each.whole)
        if matched is not None and whole is not None:
            groups.setdefault((each.task, each.n), {})[each.row] = matched, whole
    if not groups:
        return None
    tallest = max(map(len, groups.values()))
    figure, axes = grid(len(groups), 4, 2.6, 0.8 + 0.22 * tallest, sharey=True)
    styles = marks(data.board)
    tasks = {task for task, _ in groups}
    for panel, ((task, n), values) in zip(axes, groups.items(), strict=True):
        for place, (row, (_, whole)) in enumerate(values.items()):
            mark = styles[row]
            panel.plot(whole.value, place, mark.marker, markeredgecolor=mark.colour, markerfacecolor="none", zorder=2)
        _forest(panel, {row: matched for row, (matched, _) in values.items()}, styles)
        panel.set_title(f"distinct-{n}" if len(tasks) == 1 else f"{task}: distinct-{n}")
        panel.set_xlabel("% of n-grams")
    return figure


def _forest(
    panel: Axes, values: Mapping[str, Value], styles: Mapping[str, Mark], decimals: int | None = None
) -> None:
    """Marks with intervals from top to bottom; with decimals, the numbers stand at the right."""
    for place, (name, (value, low, high)) in enumerate(values.items()):
        mark = styles[name]
        if low is not None and high is not None:
            panel.plot([low, high], [place, place], color=mark.colour, linewidth=1.5, zorder=2)
        panel.plot(value, place, mark.marker, color=mark.colour, zorder=3)
        if decimals is not None:
            interval = "" if low is None or high is None else f"  [{low:.{decimals}f}, {high:.{decimals}f}]"
            panel.annotate(
                f"{value:.{decimals}f}{interval}",
                (1.02, place),
                xycoords=("axes fraction", "data"),
                va="center",
                size=SMALL,
            )
    panel.set_yticks(range(len(values)), list(values))
    panel.set_ylim(len(values) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.grid(axis="x", alpha=FAINT)
    panel.margins(x=0.08)
    panel.set_axisbelow(True)


def _measured(measurement: Measurement | None) -> Value | None:
    if measurement is None or measurement.value is None:
        return None
    return Value(measurement.value, measurement.low, measurement.high)


def _difference(comparison: Comparison) -> Value:
    return Value(comparison.estimate, comparison.low, comparison.high)
