"""A table as text: every cell's parts, our rows and the published ones, the notes; one form for all renderings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ropo_bench.leaderboard.board import NOTHING, Column, Leaderboard, Row, footers
from ropo_bench.leaderboard.conclusions import conclusions
from ropo_bench.leaderboard.literature import Claim, Figure, Published
from ropo_bench.leaderboard.separation import Separation, separations
from ropo_bench.types import Measurement

__all__ = [
    "NOTHING",
    "PUBLISHED_HEADING",
    "STYLES",
    "Cell",
    "Column",
    "Group",
    "Leaderboard",
    "Line",
    "Row",
    "Style",
    "TextTable",
    "cell",
    "footers",
    "groups",
    "percent_text",
    "text_table",
]

Style = Literal["paper", "full"]
STYLES: tuple[Style, ...] = ("paper", "full")
PUBLISHED_HEADING = "published (not ours)"
_ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}


@dataclass(frozen=True, slots=True)
class Cell:
    """The parts of a cell: 57.3, 2.1, [53.2, 61.4], the groups of its row, (159/160) where some are unscored."""

    value: str
    error: str = ""
    interval: str = ""
    letters: str = ""
    coverage: str = ""
    best: bool = False

    @property
    def estimate(self) -> str:
        """Value ± error."""
        return f"{self.value} ± {self.error}" if self.error else self.value

    def __str__(self) -> str:
        return " ".join(part for part in (self.estimate, self.interval, self.letters, self.coverage) if part)


@dataclass(frozen=True, slots=True)
class Line:
    """What stands left of a row's cells, and which part of the table it belongs to."""

    label: str
    state: str
    part: Literal["reference", "ours", "published"]


@dataclass(frozen=True, slots=True)
class Group:
    """The columns of one task, as text: cells[line][column]."""

    title: str
    headers: list[str]
    cells: list[list[Cell]]


@dataclass(frozen=True, slots=True)
class TextTable:
    """A whole table as text; the lines are the reference, our other rows, and the published ones."""

    title: str
    lines: list[Line]
    groups: list[Group]
    notes: list[str]
    style: Style


def text_table(board: Leaderboard, style: Style = "full", published: Published | None = None) -> TextTable:
    """The table in one of its styles.

    full: every column, with intervals, and what the training cost. paper: the tested columns and the share of
    trainable parameters, and the published rows beside ours.
    """
    literature = published if published is not None and style == "paper" else Published()
    lines = [Line(row.label, row.state, "reference" if row.reference else "ours") for row in board.ordered_rows]
    lines += [Line(method, "done", "published") for method in _methods(literature)]
    notes = [*board.failures, *conclusions(board), *_published_notes(literature), *board.footers]
    return TextTable(board.title, lines, groups(board, style, literature), notes, style)


def groups(board: Leaderboard, style: Style = "full", literature: Published | None = None) -> list[Group]:
    """The columns as text, one group a task in the order of the columns, and what the training cost last."""
    literature = literature or Published()
    columns = list(board.columns)
    if style == "paper":
        columns = [column for column in columns if column.tested] or columns
    separated = separations(board)
    methods = _methods(literature)
    by_task = []
    for task in dict.fromkeys(column.task for column in columns):
        own = [column for column in columns if column.task == task]
        headers = [column.header + _ARROWS[column.better] for column in own]
        cells = [[_ours(row, column, separated, style) for column in own] for row in board.ordered_rows]
        cells += [[_theirs(method, column, literature.figures) for column in own] for method in methods]
        by_task.append(Group(task, headers, cells))
    return [*by_task, _training(board, style, len(methods))]


def _methods(literature: Published) -> list[str]:
    return list(dict.fromkeys(figure.method for figure in literature.figures))


def _ours(row: Row, column: Column, separated: Mapping[tuple[str, str], Separation], style: Style) -> Cell:
    key = (column.task, column.metric)
    separation = separated.get(key)
    return cell(
        row.cells.get(key),
        column.decimals,
        with_interval=style == "full",
        letters=separation.letters.get(row.name, "") if separation else "",
        best=separation is not None and separation.best == row.name,
    )


def _estimate(value: float, error: float | None, decimals: int) -> tuple[str, str]:
    """Value and error in fixed decimals; two digits in scientific form where those would show only zeros."""
    least = 0.5 * 10**-decimals  # what rounds to a non-zero last digit
    if value and max(abs(value), error or 0.0) < least:
        return f"{value:.1e}", "" if error is None else f"{error:.1e}"
    text = f"{value if abs(value) >= least else 0.0:,.{decimals}f}"
    if error is None:
        return text, ""
    return text, f"<{10**-decimals:.{decimals}f}" if 0 < error < least else f"{error:,.{decimals}f}"


def cell(
    measurement: Measurement | None,
    decimals: int,
    *,
    with_interval: bool = False,
    letters: str = "",
    best: bool = False,
) -> Cell:
    """What a measurement says in a table: `6.84 ± 0.21 [6.43, 7.25] a (159/160)`.

    The coverage is shown where some items were not scored: Measurement.n counts the scored ones.
    """
    if measurement is None:
        return Cell(NOTHING)
    total = measurement.n + measurement.n_unscored
    coverage = f"({measurement.n}/{total})" if measurement.n_unscored else ""
    if measurement.value is None:
        return Cell(NOTHING, coverage=coverage)
    value, error = _estimate(measurement.value, measurement.standard_error, decimals)
    low, high = measurement.low, measurement.high
    interval = ""
    if with_interval and measurement.standard_error and low is not None and high is not None:
        interval = f"[{_estimate(low, None, decimals)[0]}, {_estimate(high, None, decimals)[0]}]"
    return Cell(value, error, interval, letters, coverage, best)


def percent_text(percent: float) -> str:
    """A share in percent: 100, 2.5, or two significant digits below one (0.0086)."""
    if percent >= 99.95:
        return "100"
    return f"{percent:.1f}" if percent >= 1 else f"{percent:.2g}"


def _training(board: Leaderboard, style: Style, num_published: int) -> Group:
    """What the training cost, the last group."""
    rows = board.ordered_rows
    if style == "paper":
        headers, lines = ["trainable %"], [[_percent(row)] for row in rows]
    else:
        with_seeds = any(len(row.seeds) > 1 for row in rows)
        headers = ["trainable", "%", "seconds", "peak GiB"] + ["seeds"] * with_seeds
        lines = [_training_texts(row)[: len(headers)] for row in rows]
    cells = [[Cell(NOTHING if text is None else text) for text in texts] for texts in lines]
    return Group("training", headers, cells + [[Cell(NOTHING)] * len(headers)] * num_published)


def _percent(row: Row) -> str | None:
    return None if row.percent is None else percent_text(row.percent)


def _training_texts(row: Row) -> list[str | None]:
    seconds = row.train_seconds
    return [
        None if row.trainable_params is None else f"{row.trainable_params:,}",
        _percent(row),
        None if seconds is None else f"{seconds:.1f}" if seconds < 100 else f"{seconds:,.0f}",
        None if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / (1 << 30):.2f}",
        str(len(row.seeds)) if row.seeds else None,
    ]


def _source(figure: Figure) -> str:
    place = f"{figure.source}, {figure.locator}" if figure.locator else figure.source
    return f"{place} ({figure.note})" if figure.note else place


def _sources(figures: Sequence[Figure]) -> dict[str, int]:
    """Every source with its number, in the order in which a reader meets them."""
    return {text: number for number, text in enumerate(dict.fromkeys(map(_source, figures)), 1)}


def _theirs(method: str, column: Column, figures: Sequence[Figure]) -> Cell:
    """A published figure with the number of its source; all of them where sources disagree."""
    sources = _sources(figures)
    texts = [
        f"{figure.value}{f' ± {figure.error}' if figure.error else ''} [{sources[_source(figure)]}]"
        for figure in figures
        if (figure.method, figure.task, figure.metric) == (method, column.task, column.metric)
    ]
    return Cell(" / ".join(texts) or NOTHING)


def _published_notes(literature: Published) -> list[str]:
    sources = _sources(literature.figures)
    notes = [f"[{number}] {text}" for text, number in sources.items()]
    if sources:
        notes.append("published figures have their own judges and protocols; they take no part in our comparisons")
    return notes + [f"claimed elsewhere: {_claim(claim)}" for claim in literature.claims]


def _claim(claim: Claim) -> str:
    size = f"+{claim.low} to +{claim.high}" if claim.low else f"up to +{claim.high}"
    over = f" over {claim.baseline}" if claim.baseline else ""
    note = f"; {claim.note}" if claim.note else ""
    on = f"{claim.task} {claim.metric}".strip()
    return f"{claim.method}{over}, {size} {claim.unit} on {on} ({claim.source}, {claim.locator}{note})"
