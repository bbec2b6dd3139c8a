"""Drift of hyperspherical energy and of neuron angles: a heat map a row, modules by layers."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from ropo_bench.report.data import Drift, ReportData
from ropo_bench.report.figures.style import INK, SMALL, grid, lowest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = "cividis"  # reads the same to the colour-blind, and in grey
ACROSS = 4
_ORDER = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""As a block computes them; other modules follow in the order of their names."""


def energy_drift(data: ReportData) -> Figure | None:
    """|HE/HE_base - 1| of every module."""
    return _figure(
        data,
        {_place(d): d.energy_drift for d in data.drifts if d.energy_drift is not None},
        "|HE / HE of the base - 1|",
    )


def angle_drift(data: ReportData) -> Figure | None:
    """Mean change of angle between neurons of every module."""
    return _figure(data, {_place(d): d.angle_drift for d in data.drifts if d.angle_drift is not None}, "radians")


def _place(drift: Drift) -> tuple[str, int, str]:
    return drift.row, drift.layer, drift.module


def _power(value: float, _place: int) -> str:
    return f"{value:.0e}".replace("e-0", "e-").replace("-", "\N{MINUS SIGN}")


def _rank(module: str) -> tuple[int, str]:
    name = module.rsplit(".", maxsplit=1)[-1]
    return _ORDER.index(name) if name in _ORDER else len(_ORDER), module


def _figure(data: ReportData, values: dict[tuple[str, int, str], float], label: str) -> Figure | None:
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    drifted = [value for value in values.values() if value > 0]
    if not drifted:
        return None
    rows = [row.name for row in data.board.ordered_rows if any(place[0] == row.name for place in values)]
    layers = sorted({layer for _, layer, _ in values})
    modules = sorted({module for _, _, module in values}, key=_rank)
    figure, panels = grid(len(rows), ACROSS, 2.6, 0.7 + 0.2 * len(modules), sharex=True, sharey=True)
    colours = LogNorm(min(drifted), max(drifted)), colormaps[COLOURS]
    for panel, row in zip(panels, rows, strict=True):
        table = [[values.get((row, layer, module), 0.0) for layer in layers] for module in modules]
        shown = [[value if value > 0 else float("nan") for value in line] for line in table]
        image = panel.pcolormesh(shown, norm=colours[0], cmap=colours[1], edgecolors="none", snap=True)
        for y, line in enumerate(shown):
            for x, value in enumerate(line):
                if isnan(value):
                    panel.plot(x + 0.5, y + 0.5, ".", color=INK, markersize=1.5)
        panel.set_title(row)
        step = max(1, len(layers) // 8)
        panel.set_xticks([i + 0.5 for i in range(0, len(layers), step)], [str(layer) for layer in layers[::step]])
        panel.set_yticks([i + 0.5 for i in range(len(modules))], [module.split(".")[-1] for module in modules])
        panel.tick_params(length=0)
        for spine in panel.spines.values():
            spine.set_visible(False)
    for panel in lowest(panels, ACROSS):
        panel.set_xlabel("layer")
    panels[0].invert_yaxis()  # of all: they share it
    lines = -(-len(rows) // ACROSS)
    bar = figure.colorbar(
        image, ax=list(panels), shrink=0.9 / lines, anchor=(0, 1), pad=0.02, aspect=15, format=_power
    )
    bar.set_label(label, size=SMALL)
    bar.minorticks_off()
    bar.outline.set_visible(False)
    return figure
