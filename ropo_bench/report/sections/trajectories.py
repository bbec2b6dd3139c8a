"""Log-probabilities and margins over the steps of training: chosen against rejected, a column a row of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ropo_bench.leaderboard.board import NOTHING, Leaderboard
from ropo_bench.report.figures.style import FAINT, INK, SMALL
from ropo_bench.report.sections.section import Section
from ropo_bench.report.sections.stored import StoredRun
from ropo_bench.report.sections.tables import Line, PlainTable, minus, unique
from ropo_bench.store import JsonLines

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
SHARE = 10  # start and end of a training: the mean over its first and last tenth of steps
_STEP = "step"


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The log of one training: values by TRL's name (logps/chosen, rewards/margins, loss ...), one a step."""

    row: str
    seed: int
    steps: tuple[int, ...]
    values: Mapping[str, tuple[float, ...]]


class Band(NamedTuple):
    """A line over steps: mean over seeds, and the lowest and highest seed."""

    steps: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def gather(run: StoredRun) -> list[Trajectory] | None:
    """The log of every finished training; of a name only if every step has it."""
    trajectories = []
    for model in run:
        stage = run.policy(model)
        records = [] if stage is None else list(JsonLines(stage.file("train.jsonl")))
        if not records:
            continue
        names = [name for name in records[0] if name != _STEP and all(name in record for record in records)]
        values = {name: tuple(float(record[name]) for record in records) for name in names}
        steps = tuple(int(record[_STEP]) for record in records)
        trajectories.append(Trajectory(model.row, model.seed, steps, values))
    return trajectories or None


def left_out(run: StoredRun, trajectories: Sequence[Trajectory] | None) -> str | None:
    """Trained models whose log is not there."""
    return run.missing(run.trained, {(trajectory.row, trajectory.seed) for trajectory in trajectories or ()})


def draw(trajectories: Sequence[Trajectory], board: Leaderboard) -> Figure | None:
    """Small multiples: log-probabilities, rewards and margins of every row's training."""
    from matplotlib.figure import Figure

    rows = {row.name: [t for t in trajectories if t.row == row.name] for row in board.ordered_rows}
    rows = {name: seeds for name, seeds in rows.items() if seeds}
    if not rows:
        return None
    kinds = [kind for kind in _KINDS if any(name in t.values for name, *_ in kind[1] for t in trajectories)]
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


def tables(trajectories: Sequence[Trajectory]) -> list[PlainTable]:
    """Likelihood displacement in numbers: log-probabilities at the start and at the end, mean over seeds."""
    lines = []
    for row in unique(trajectory.row for trajectory in trajectories):
        own = [trajectory for trajectory in trajectories if trajectory.row == row]
        cells = []
        for name in ("logps/chosen", "logps/rejected", "rewards/margins"):
            ends = [_ends(seed.values[name]) for seed in own if seed.values.get(name)]
            if not ends:
                cells += [NOTHING] * 3
                continue
            start, end = (sum(values) / len(ends) for values in zip(*ends, strict=True))
            decimals = 1 if name.startswith("logps") else 3
            cells += [
                minus(f"{start:.{decimals}f}"),
                minus(f"{end:.{decimals}f}"),
                minus(f"{end - start:+.{decimals}f}"),
            ]
        lines.append(Line(row, cells))
    if not lines:
        return []
    caption = (
        "Mean over seeds, of the first and of the last tenth of the steps. A chosen log-probability that falls is"
        " likelihood displacement."
    )
    names = ("chosen", "rejected", "margin")
    return [PlainTable(caption, ["method", *(f"{n} {w}" for n in names for w in ("start", "end", "change"))], lines)]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    count = max(1, len(values) // SHARE)
    return sum(values[:count]) / count, sum(values[-count:]) / count


def band(seeds: Sequence[Trajectory], name: str) -> Band | None:
    """One value over the steps that all seeds have, as running means; None where a seed does not log it."""
    if not all(name in seed.values for seed in seeds):
        return None
    steps = [seed.steps for seed in seeds]
    length = min(map(len, steps))
    smooth = [running_mean(seed.values[name][:length]) for seed in seeds]
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


def _line(panel: Axes, line: Band | None, text: str, colour: str, dashes: str) -> None:
    if line is None:
        return
    panel.plot(line.steps, line.mean, color=colour, linestyle=dashes)
    panel.fill_between(line.steps, line.low, line.high, color=colour, alpha=0.2, linewidth=0)
    panel.margins(y=0.2)
    if not text:
        return
    above = text == "chosen"
    under = int(len(line.steps) * UNDER_LABEL)
    edge = max(line.high[-under:]) if above else min(line.low[-under:])
    panel.annotate(
        text, (line.steps[-1], edge), xytext=(0, 2 if above else -2), textcoords="offset points",
        ha="right", va="bottom" if above else "top", color=colour, size=SMALL,
    )  # fmt: skip


SECTION = Section(
    name="trajectories",
    title="Log-probabilities in training",
    caption=(
        "Summed over the completion, mean over a batch and over seeds; the band spans the seeds. Where the chosen"
        " line falls too, likelihood is displaced: the policy prefers the chosen answer, but gives it less"
        " probability. Rewards are the loss's own: beta times the log-ratio to the reference, where it has one."
    ),
    gather=gather,
    left_out=left_out,
    draw=draw,
    tables=tables,
)
