"""Score against learning rate: a panel a method, all on the same axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropo_bench.report.data import RateCurve, ReportData, is_win_rate
from ropo_bench.report.figures.style import FAINT, INK, Mark, grid, lowest, marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4
FAILED = 0.03
"""Height of the crosses of failed trials, of the panel's."""


def learning_rates(data: ReportData) -> Figure | None:
    """Small multiples: every tuned method's curve with its band, and the chosen rate."""
    styles = marks(data.board)
    curves = [curve for curve in data.rate_curves if curve.row in styles]
    if not curves:
        return None
    figure, panels = grid(len(curves), ACROSS, 2.4, 1.9, sharex=True, sharey=True)
    for place, (panel, curve) in enumerate(zip(panels, curves, strict=True)):
        _curve(panel, curve, styles[curve.row])
        if place % ACROSS == 0:
            panel.set_ylabel(curve.metric.split()[-1].replace("_", " "))
    for panel in lowest(panels, ACROSS):
        panel.set_xlabel("learning rate")
    return figure


def _curve(panel: Axes, curve: RateCurve, style: Mark) -> None:
    from matplotlib.ticker import NullLocator

    panel.set_title(curve.row)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(lambda rate, place: f"{rate:.0e}".replace("e-0", "e-"))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.grid(axis="y", alpha=FAINT)
    if is_win_rate(curve.metric):
        panel.axhline(50, color=INK, linewidth=0.8)
    known = [(point.lr, point.value) for point in curve.points if point.value is not None]
    rates, values = [lr for lr, _ in known], [value for _, value in known]
    panel.plot(rates, values, color=style.colour, marker="o", markersize=1.8, linewidth=1.0)
    for lr, value in known:
        if lr == curve.chosen:
            panel.axvline(lr, color=style.colour, linewidth=0.6, alpha=0.6)
            panel.plot([lr], [value], color=style.colour, marker=style.marker, markersize=5)
    banded = [(p.lr, p.low, p.high) for p in curve.points if p.low is not None and p.high is not None]
    if banded:
        places, low, high = zip(*banded, strict=True)
        panel.fill_between(places, low, high, color=style.colour, alpha=0.2, linewidth=0)
    failed = [point.lr for point in curve.points if point.value is None]
    if failed:
        height = [FAILED] * len(failed)
        panel.plot(failed, height, "x", color=INK, markersize=4, transform=panel.get_xaxis_transform())
    if curve.corrected is not None:
        panel.axhline(curve.corrected, color=style.colour, linewidth=0.8, linestyle="--")
