"""What training did to the neurons: drift of hyperspherical energy and of angles, a heat map a row."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from statistics import fmean
from typing import TYPE_CHECKING

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.report.figures.style import INK, SMALL, grid, lowest
from ropo_bench.report.sections.section import Section
from ropo_bench.report.sections.stored import RowModel, StoredRun
from ropo_bench.report.sections.tables import PlainTable, cross_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_IN_A_LAYER = re.compile(r"\.(\d+)\.(.+)$")
_ENERGY = "energy"  # the scorer; its metrics are named as the fields of Drift
_OF_CERTIFICATE = {
    "energy_drift": "energy_drift",
    "angle_drift": "mean_angle_drift",
    "angle_drift_max": "max_angle_drift",
}
Geometry = Mapping[str, float | None]
Module = tuple[str, int, str]
"""Row, layer, name."""
COLOURS = "cividis"  # reads the same to the colour-blind, and in grey
ACROSS = 4
_ORDER = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""As a block computes them; other modules follow in the order of their names."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What training did to a module's neurons: |HE/HE_base - 1|, and change of the angles between them in radians.

    Means over the seeds that are there; angle_drift_max is the largest over all pairs of neurons and all seeds.
    """

    row: str
    layer: int
    module: str
    energy_drift: float | None
    angle_drift: float | None
    angle_drift_max: float | None


def gather(run: StoredRun) -> list[Drift] | None:
    """Drift by row, layer and module, over the seeds that were measured; in the order of the base's layers.

    From the task `energy` where the run has it, else from the merge certificates, which know the trained modules
    only. The SFT model, which is the base, is left out.
    """
    drifts = []
    for row, models in run.models.items():
        if row == run.reference:
            continue
        by_module: dict[tuple[int, str], list[Geometry]] = defaultdict(list)
        for model in models:
            for name, geometry in _geometry(run, model).items():
                place = _IN_A_LAYER.search(name)
                if place is not None and any(value is not None for value in geometry.values()):
                    by_module[int(place[1]), place[2]].append(geometry)
        for (layer, module), seeds in sorted(by_module.items()):
            energy, angle = (_mean(_sizes(seeds, name)) for name in ("energy_drift", "angle_drift"))
            largest = max(_sizes(seeds, "angle_drift_max"), default=None)
            drifts.append(Drift(row, layer, module, energy, angle, largest))
    return drifts or None


def no_energy(run: StoredRun, drifts: Sequence[Drift] | None) -> str | None:
    """Rows whose energy is not measured."""
    return run.missing(run.others, {drift.row for drift in drifts or () if drift.energy_drift is not None})


def no_angle(run: StoredRun, drifts: Sequence[Drift] | None) -> str | None:
    """Rows whose angles are not measured."""
    return run.missing(run.others, {drift.row for drift in drifts or () if drift.angle_drift is not None})


def draw_energy(drifts: Sequence[Drift], board: Leaderboard) -> Figure | None:
    """|HE/HE_base - 1| of every module."""
    values = {_module(drift): drift.energy_drift for drift in drifts if drift.energy_drift is not None}
    return _figure(board, values, "|HE / HE of the base - 1|")


def draw_angle(drifts: Sequence[Drift], board: Leaderboard) -> Figure | None:
    """Mean change of angle between neurons of every module."""
    values = {_module(drift): drift.angle_drift for drift in drifts if drift.angle_drift is not None}
    return _figure(board, values, "radians")


def energy_tables(drifts: Sequence[Drift]) -> list[PlainTable]:
    """The largest drift of energy, modules by rows."""
    caption = "Largest |HE / HE of the base − 1| over the layers."
    return _tables(caption, [(drift, drift.energy_drift) for drift in drifts])


def angle_tables(drifts: Sequence[Drift]) -> list[PlainTable]:
    """The largest drift of angles, modules by rows."""
    caption = "Mean angle drift in radians, of the layer that has the largest."
    return _tables(caption, [(drift, drift.angle_drift) for drift in drifts])


def _tables(caption: str, values: Sequence[tuple[Drift, float | None]]) -> list[PlainTable]:
    largest: dict[tuple[str, str], float] = {}
    for drift, value in values:
        if value is not None:
            key = (drift.module, drift.row)
            largest[key] = max(largest.get(key, 0.0), abs(value))
    texts = {key: f"{value:.2g}" for key, value in largest.items()}
    return [cross_table(caption, "module", texts)] if texts else []


def _geometry(run: StoredRun, model: RowModel) -> Mapping[str, Geometry]:
    """Module -> its drifts, for one model."""
    for task in run.tasks:
        scores = run.scores(model, task) if task.scorer == _ENERGY else None
        if scores is not None:
            measured: dict[str, dict[str, float | None]] = defaultdict(dict)
            for score in scores:
                measured[score.item][score.metric] = score.value
            return measured
    modules = (model.record.certificate or {}).get("modules", ())
    return {
        module["name"].removesuffix(".weight"): {ours: module[theirs] for ours, theirs in _OF_CERTIFICATE.items()}
        for module in modules
    }


def _sizes(seeds: Sequence[Geometry], name: str) -> list[float]:
    return [abs(value) for geometry in seeds if (value := geometry.get(name)) is not None]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _module(drift: Drift) -> Module:
    return drift.row, drift.layer, drift.module


def _power(value: float, _place: int) -> str:
    return f"{value:.0e}".replace("e-0", "e-").replace("-", "\N{MINUS SIGN}")


def _rank(module: str) -> tuple[int, str]:
    name = module.rsplit(".", maxsplit=1)[-1]
    return _ORDER.index(name) if name in _ORDER else len(_ORDER), module


def _figure(board: Leaderboard, values: Mapping[Module, float], label: str) -> Figure | None:
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    drifted = [value for value in values.values() if value > 0]
    if not drifted:
        return None
    rows = [row.name for row in board.ordered_rows if any(place[0] == row.name for place in values)]
    layers = sorted({layer for _, layer, _ in values})
    modules = sorted({module for _, _, module in values}, key=_rank)
    figure, panels = grid(len(rows), ACROSS, 2.6, 0.7 + 0.2 * len(modules), sharex=True, sharey=True)
    colours = LogNorm(min(drifted), max(drifted)), colormaps[COLOURS]
    for panel, row in zip(panels, rows, strict=True):
        table = [[values.get((row, layer, module), 0.0) for layer in layers] for module in modules]
        drawn = [[value if value > 0 else float("nan") for value in line] for line in table]
        image = panel.pcolormesh(drawn, norm=colours[0], cmap=colours[1], edgecolors="none", snap=True)
        for y, line in enumerate(drawn):
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


ENERGY = Section(
    name="energy-drift",
    title="Hyperspherical energy",
    caption=(
        "|HE / HE of the base - 1| of every linear module, mean over seeds; rotating all neurons leaves it at 0."
        " A dot: no change at all."
    ),
    gather=gather,
    left_out=no_energy,
    draw=draw_energy,
    tables=energy_tables,
)
ANGLE = Section(
    name="angle-drift",
    title="Angles between neurons",
    caption=(
        "Mean change of the angle between two neurons of a module, in radians, mean over seeds. A dot: no change"
        " at all."
    ),
    gather=gather,
    left_out=no_angle,
    draw=draw_angle,
    tables=angle_tables,
)
