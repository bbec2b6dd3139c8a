"""Every figure of a report by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ropo_bench.report.data import ReportData
from ropo_bench.report.figures import bars, curves, heat, rates, tradeoffs
from ropo_bench.report.figures.style import STYLE, settle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES: Mapping[str, Callable[[ReportData], Figure | None]] = {
    "win-rates": bars.win_rates,
    "quality-length": tradeoffs.against_length,
    "quality-parameters": tradeoffs.against_parameters,
    "quality-time": tradeoffs.against_time,
    "learning-rates": rates.learning_rates,
    "categories": bars.categories,
    "trajectories": curves.trajectories,
    "energy-drift": heat.energy_drift,
    "angle-drift": heat.angle_drift,
    "distinct-n": bars.distinct_n,
    "forgetting": bars.forgetting,
}
"""Names as in report.SECTIONS; None where there is nothing to draw yet."""


def figures(data: ReportData) -> dict[str, Figure]:
    """The figures that the data allow, in the order of the report."""
    found = {name: draw(name, data) for name in FIGURES}
    return {name: figure for name, figure in found.items() if figure is not None}


def draw(name: str, data: ReportData) -> Figure | None:
    """One figure in our style, laid out once for all formats; None where there is nothing to draw yet."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure = FIGURES[name](data)
        if figure is not None:
            settle(figure)
    return figure
