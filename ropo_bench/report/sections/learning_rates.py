"""Score against learning rate, from what the run's record carries of its tuning: a panel a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.leaderboard.rates import rates_of
from ropo_bench.report.figures.style import FAINT, INK, Mark, grid, lowest, marks
from ropo_bench.report.sections.metrics import EVEN, is_win_rate
from ropo_bench.report.sections.section import Section
from ropo_bench.report.sections.stored import StoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4
FAILED = 0.03
"""Height of the crosses of failed trials, of the panel's."""


@dataclass(frozen=True, slots=True)
class RatePoint:
    """One learning rate: its value with a 95 % interval, None where the trial failed or nothing was scored."""

    lr: float
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class RateCurve:
    """A row's score on the validation task against its learning rate; rates ascending.

    chosen: the rate that it trains at. corrected: what the choice is worth by data that had no part in it.
    """

    row: str
    metric: str
    points: tuple[RatePoint, ...]
    chosen: float | None
    corrected: float | None


def gather(run: StoredRun) -> list[RateCurve] | None:
    """The curve of every method of a run that was tuned, in the order of its rows; whether or not it trains there."""
    record = run.source.record
    rates = rates_of(record)
    if rates is None or rates.tuning is None:
        return None
    tuning, curves = rates.tuning, []
    for method in record.request.methods:
        if method.name in tuning.methods:
            tuned = tuning.methods[method.name]
            points = tuple(RatePoint(point.lr, point.value, point.low, point.high) for point in tuned.points)
            metric = f"{tuning.task} {tuning.metric}"
            curves.append(RateCurve(method.name, metric, points, tuned.lr, tuned.corrected))
    return curves or None


def left_out(run: StoredRun, curves: Sequence[RateCurve] | None) -> str | None:
    """Trained rows that were not tuned."""
    return run.missing(run.trained, {curve.row for curve in curves or ()})


def draw(data: Sequence[RateCurve], board: Leaderboard) -> Figure | None:
    """Small multiples on the same axes: every tuned method's curve with its band, and the chosen rate."""
    styles = marks(board)
    curves = [curve for curve in data if curve.row in styles]
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
        panel.axhline(EVEN, color=INK, linewidth=0.8)
    points = [(point.lr, point.value) for point in curve.points if point.value is not None]
    rates, values = [lr for lr, _ in points], [value for _, value in points]
    panel.plot(rates, values, color=style.colour, marker="o", markersize=1.8, linewidth=1.0)
    for lr, value in points:
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


SECTION = Section(
    name="learning-rates",
    title="Score against learning rate",
    caption=(
        "On the validation prompts, a method a panel, with 95 % intervals: over prompts alone where one seed tried a"
        " rate, over prompts and seeds around the peak. Filled: the chosen rate, whose value is flattered by being"
        " the best of several; dashed: what prompts and seeds with no part in the choice say of it. A cross: a trial"
        " that failed."
    ),
    gather=gather,
    left_out=left_out,
    draw=draw,
)
