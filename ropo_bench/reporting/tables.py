"""The leaderboard: its rows and columns, what a cell says, and the lines under the table.

Rendering is a pure function of a Leaderboard: the same rows give the same bytes. formats.py writes files,
terminal.py the view on a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ropo_bench.types import Measurement

NOTHING = "–"
POCKET_DISCLAIMER = "pocket is a testbed with an exact ruler, not a claim about 8B models"
_ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of one task; decimals of its cells, and which direction is better."""

    task: str
    metric: str
    header: str
    decimals: int = 2
    better: Literal["higher", "lower", "none"] = "higher"


@dataclass(frozen=True, slots=True)
class Row:
    """One method, or the SFT reference (reference=True, shown first), or a model trained elsewhere.

    percent: of the base model's parameters, 0..100. train_seconds: mean over seeds; peak_memory_bytes: their
    maximum. cells: by (task, metric), a missing one is shown as "–". state: "done", "pending" or
    "failed: reason".
    """

    name: str
    seeds: tuple[int, ...] = ()
    trainable_params: int | None = None
    percent: float | None = None
    train_seconds: float | None = None
    peak_memory_bytes: int | None = None
    cells: Mapping[tuple[str, str], Measurement] = field(default_factory=dict)
    state: str = "done"
    reference: bool = False

    @property
    def label(self) -> str:
        """The name, with its state in a word unless it is done; the reason stands in the table's notes."""
        return self.name if self.state == "done" else f"{self.name} ({self.state.split(':')[0]})"


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A table: title, rows, columns, and the footers that make its numbers readable on their own."""

    title: str
    rows: Sequence[Row]
    columns: Sequence[Column]
    footers: Sequence[str] = ()

    @property
    def ordered_rows(self) -> list[Row]:
        """The reference rows, then the others, each in the given order."""
        return sorted(self.rows, key=lambda row: not row.reference)

    @property
    def notes(self) -> list[str]:
        """Why rows failed, then the footers."""
        return [f"{row.name} {row.state}" for row in self.ordered_rows if ":" in row.state] + [*self.footers]


@dataclass(frozen=True, slots=True)
class Cell:
    """The text of a cell: the value with its error, and the coverage where it is below 100 %."""

    value: str
    coverage: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.coverage}".rstrip()


@dataclass(frozen=True, slots=True)
class Group:
    """The columns of one task, as text: cells[row][column]."""

    title: str
    headers: list[str]
    cells: list[list[Cell]]


def footers(
    *,
    seeds: Sequence[int],
    data: str | None,
    versions: Mapping[str, str],
    judges: Sequence[str] = (),
    canaries: Sequence[str] = (),
    spent: str | None = None,
    prompts: Mapping[str, int] | None = None,
    pocket: bool = False,
    certificate: str | None = None,
    minimum_detectable_effects: Mapping[str, float] | None = None,
) -> list[str]:
    """The lines under a table.

    judges: who judged what. canaries: their biases. spent: what judging took. prompts: number of prompts by task.
    minimum_detectable_effects: by column header, in the column's unit, at 80 % power and 5 % two-sided error.
    """
    over = "prompts and seeds" if len(seeds) > 1 else "prompts, of this one checkpoint a row (one seed)"
    lines = [f"± is the standard error over {over}; a cell without ± is a census"]
    lines += [
        f"an effect on {header} below {effect:.1f} would be missed more than one time in five"
        for header, effect in (minimum_detectable_effects or {}).items()
    ]
    lines += [f"judge: {judge}" for judge in judges]
    lines += [f"canaries of the judge (bias with its 95 % interval): {line}" for line in canaries]
    if spent:
        lines.append(f"judging: {spent}")
    if prompts:
        lines.append("prompts: " + ", ".join(f"{task} {count:,}" for task, count in prompts.items()))
    lines.append("seeds: " + ", ".join(str(seed) for seed in seeds))
    if data:
        lines.append(f"preference data: {data}")
    if certificate:
        lines.append(f"merge certificate: {certificate}")
    lines.append("versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    if pocket:
        lines.append(POCKET_DISCLAIMER)
    return lines


def _estimate(value: float, error: float | None, decimals: int) -> str:
    """Value ± error in fixed decimals; two digits in scientific form where those would show only zeros."""
    shown = 0.5 * 10**-decimals  # what rounds to a non-zero last digit
    if value and max(abs(value), error or 0.0) < shown:
        return f"{value:.1e}" if error is None else f"{value:.1e} ± {error:.1e}"
    text = f"{value if abs(value) >= shown else 0.0:,.{decimals}f}"
    if error is None:
        return text
    return f"{text} ± <{10**-decimals:.{decimals}f}" if 0 < error < shown else f"{text} ± {error:.{decimals}f}"


def cell(measurement: Measurement | None, decimals: int) -> Cell:
    """What a measurement says in a table: `6.84 ± 0.21`, and `(159/160)` where some items were not scored.

    Measurement.n counts the scored items, n_unscored the others.
    """
    if measurement is None:
        return Cell(NOTHING)
    total = measurement.n + measurement.n_unscored
    coverage = f"({measurement.n}/{total})" if measurement.n_unscored else ""
    if measurement.value is None:
        return Cell(NOTHING, coverage)
    return Cell(_estimate(measurement.value, measurement.standard_error, decimals), coverage)


def percent_text(percent: float) -> str:
    """A share in percent: 100, 2.5, or two significant digits below one (0.0086)."""
    if percent >= 99.95:
        return "100"
    return f"{percent:.1f}" if percent >= 1 else f"{percent:.2g}"


def _training_cells(row: Row, with_seeds: bool) -> list[Cell]:
    seconds = row.train_seconds
    texts = [
        None if row.trainable_params is None else f"{row.trainable_params:,}",
        None if row.percent is None else percent_text(row.percent),
        None if seconds is None else f"{seconds:.1f}" if seconds < 100 else f"{seconds:,.0f}",
        None if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / (1 << 30):.2f}",
    ]
    if with_seeds:
        texts.append(str(len(row.seeds)) if row.seeds else None)
    return [Cell(NOTHING if text is None else text) for text in texts]


def groups(board: Leaderboard) -> list[Group]:
    """The columns as text, one group a task in the order of the columns, and what the training cost last."""
    rows = board.ordered_rows
    tasks = dict.fromkeys(column.task for column in board.columns)
    found = []
    for task in tasks:
        columns = [column for column in board.columns if column.task == task]
        headers = [column.header + _ARROWS[column.better] for column in columns]
        cells = [[cell(row.cells.get((task, c.metric)), c.decimals) for c in columns] for row in rows]
        found.append(Group(task, headers, cells))
    with_seeds = any(len(row.seeds) > 1 for row in rows)
    headers = ["trainable", "%", "seconds", "peak GiB"] + ["seeds"] * with_seeds
    return [*found, Group("training", headers, [_training_cells(row, with_seeds) for row in rows])]
