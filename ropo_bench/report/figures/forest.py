"""Values with their intervals, a row below the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ropo_bench.report.figures.style import FAINT, SMALL, Mark
from ropo_bench.types import Measurement

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Value(NamedTuple):
    """A value and its 95 % interval, None where there is none."""

    value: float
    low: float | None
    high: float | None


def interval_of(measurement: Measurement | None) -> Value | None:
    """A measured value with its interval; None where nothing is measured."""
    if measurement is None or measurement.value is None:
        return None
    return Value(measurement.value, measurement.low, measurement.high)


def forest(panel: Axes, values: Mapping[str, Value], styles: Mapping[str, Mark], decimals: int | None = None) -> None:
    """Draw marks with intervals from top to bottom; with decimals, the numbers stand at the right."""
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
