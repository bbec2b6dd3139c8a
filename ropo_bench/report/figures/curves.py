"""Log-probabilities and margins over the steps of training: chosen against rejected, a column a row of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ropo_bench.report.data import ReportData, Trajectory
from ropo_bench.report.figures.style import FAINT, INK, SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4
CHOSEN, REJECTED, MARGIN = "#0072b2", "#d55e00", "#009e73"
# Kinds of panel, from top to bottom: label, and the lines in it: TRL's name, ours, colour, dashes.
_KINDS = (
    ("log-probability", (("logps/chosen", "chosen", CHOSEN, "-"), ("logps/rejected", "rejected", REJECTED, "--"))),
    ("reward", (("rewards/chosen", "", CHOSEN, "-"), ("rewards/rejected", "", REJECTED, "--"))),
    ("margin", (("rewards/margins", "", MARGIN, "-"),)),
)  # fmt: skip
UNDER_LABEL = 0.35  # of the steps: the end of a line, where its name stands
WINDOW = 0.08  # of the steps, that a line is the running mean of


class Band(NamedTuple):
    """A line over steps: mean over seeds, and the lowest and highest seed."""

    steps: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def trajectories(data: ReportData) -> Figure | None:
    """Small multiples: log-probabilities, rewards and margins of every row's training."""
    from matplotlib.figure import Figure

    rows = {row.name: [t for t in data.trajectories if t.row == row.name] for row in data.board.ordered_rows}
    rows = {name: found for name, found in rows.items() if found}
    if not rows:
        return None
    kinds = [kind for kind in _KINDS if any(name in t.values for name, *_ in kind[1] for t in data.trajectories)]
    across = min(len(rows), ACROSS)
    blocks = -(-len(rows) // across)
    height = len(kinds) * blocks
    figure = Figure(figsize=(2.6 * across, 1.7 * height + 0.2), layout="constrained")
    panels = figure.subplots(height, across, squeeze=False, sharex=True)
    for place in range(blocks * across):
        block, column = divmod(place, across)
        own = [panels[block * len(kinds) + i][column] for i in range(len(kinds))]
        if place >= len(rows):
            for panel in own:
                panel.remove()
            continue
        row = list(rows)[place]
        own[0].sharey(panels[0][0])  # log-probabilities can be compared; rewards have each method's own beta
        own[0].set_title(row)
        for panel, (label, lines) in zip(own, kinds, strict=True):
            for name, text, colour, dashes in lines:
                _line(panel, band(rows[row], name), text, colour, dashes)
            if lines[0][0].startswith("rewards/"):
                panel.axhline(0, color=INK, linewidth=0.8)
            panel.grid(axis="y", alpha=FAINT)
            if column == 0:
                panel.set_ylabel(label)
        own[-1].set_xlabel("step")
        own[-1].tick_params(labelbottom=True)
    return figure


def band(trajectories: Sequence[Trajectory], name: str) -> Band | None:
    """One value over the steps that all seeds have, as running means; None where a seed does not log it."""
    if not all(name in each.values for each in trajectories):
        return None
    steps = [each.steps for each in trajectories]
    length = min(map(len, steps))
    smooth = [running_mean(each.values[name][:length]) for each in trajectories]
    columns = list(zip(*smooth, strict=True))
    return Band(
        steps[0][:length],
        [sum(column) / len(column) for column in columns],
        [min(column) for column in columns],
        [max(column) for column in columns],
    )


def running_mean(values: Sequence[float]) -> list[float]:
    """Mean over the neighbours on both sides, WINDOW of the whole; fewer at the ends."""
    half = int(len(values) * WINDOW / 2)
    spans = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [sum(span) / len(span) for span in spans]


def _line(panel: Axes, found: Band | None, text: str, colour: str, dashes: str) -> None:
    if found is None:
        return
    panel.plot(found.steps, found.mean, color=colour, linestyle=dashes)
    panel.fill_between(found.steps, found.low, found.high, color=colour, alpha=0.2, linewidth=0)
    panel.margins(y=0.2)
    if not text:
        return
    above = text == "chosen"
    under = int(len(found.steps) * UNDER_LABEL)
    edge = max(found.high[-under:]) if above else min(found.low[-under:])
    panel.annotate(
        text, (found.steps[-1], edge), xytext=(0, 2 if above else -2), textcoords="offset points",
        ha="right", va="bottom" if above else "top", color=colour, size=SMALL,
    )  # fmt: skip
