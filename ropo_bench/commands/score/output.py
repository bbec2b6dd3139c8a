"""What the `score` commands print: one JSON object, or the same numbers as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from ropo_bench.leaderboard.cells import NOTHING
from ropo_bench.store.bounded import dump_json
from ropo_bench.terminal.console import Screen
from ropo_bench.terminal.screen import say

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Metric:
    """One number: None where nothing was scored; n counts its scored items, n_unscored the others.

    low, high: the 95 % interval, where it is known.
    """

    value: float | None
    n: int
    n_unscored: int = 0
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None

    def plain(self) -> dict[str, Any]:
        """The metric as JSON; standard_error, low and high only where there are any."""
        errors = {"standard_error": self.standard_error, "low": self.low, "high": self.high}
        parts = {name: value for name, value in errors.items() if value is not None}
        return {"value": self.value, "n": self.n, "n_unscored": self.n_unscored, **parts}

    def __str__(self) -> str:
        decimals = 3 if abs(self.value or 0) >= 1 else 4
        text = NOTHING if self.value is None else f"{self.value:.{decimals}f}"
        if self.standard_error is not None:
            text += f" ± {self.standard_error:.3f}"
        if self.low is not None:
            text += f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{text} ({self.n}/{self.n + self.n_unscored})" if self.n_unscored else text


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One model's numbers, in the order in which they are shown.

    facts: what else belongs to the row (judge, rule, n_duplicates ...): JSON keys beside `model` and `metrics`,
    columns of the table. notes: sentences for people, under the table.
    """

    model: str
    metrics: Mapping[str, Metric]
    notes: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def print_rows(rows: Sequence[ScoreRow], json: bool) -> None:
    """Print `{"schema": 1, "rows": [{"model", "metrics": {NAME: {"value", "n", "n_unscored"}}}]}`, or a table."""
    if json:
        say(to_json(rows))
        return
    console = Screen(highlight=False)
    table = _table(rows)
    wide = table.__rich_measure__(console, console.options.update(max_width=10_000)).maximum
    if wide > console.width:
        table = _transpose(rows)
        wide = table.__rich_measure__(console, console.options.update(max_width=10_000)).maximum
    console.width = max(console.width, wide)  # a number that was cut to "6.8…" is no number
    console.print(table)
    for note in dict.fromkeys(note for row in rows for note in row.notes):
        console.print(Text(note), soft_wrap=True)


def to_json(rows: Sequence[ScoreRow]) -> str:
    """The rows as one line of JSON, numbers in full precision."""
    plain = []
    for row in rows:
        metrics = {name: metric.plain() for name, metric in row.metrics.items()}
        notes = {"notes": list(row.notes)} if row.notes else {}
        plain.append({"model": row.model, **row.facts, "metrics": metrics, **notes})
    return dump_json({"schema": SCHEMA, "rows": plain}, indent=None)


def _cells(rows: Sequence[ScoreRow]) -> tuple[list[str], list[list[str]]]:
    """Headers and one list of texts a row, facts first."""
    facts = list(dict.fromkeys(name for row in rows for name in row.facts))
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    cells = [
        [str(row.facts.get(name, NOTHING)) for name in facts]
        + [str(row.metrics.get(name, NOTHING)) for name in metrics]
        for row in rows
    ]
    return [*facts, *metrics], cells


def _table(rows: Sequence[ScoreRow]) -> Table:
    """One line a model."""
    headers, cells = _cells(rows)
    table = Table("model")
    for header in headers:
        table.add_column(Text(header), justify="right", no_wrap=True)
    for row, texts in zip(rows, cells, strict=True):
        table.add_row(Text(row.model), *map(Text, texts))
    return table


def _transpose(rows: Sequence[ScoreRow]) -> Table:
    """One line a metric: for more numbers than a line can hold."""
    headers, cells = _cells(rows)
    table = Table("")
    for row in rows:
        table.add_column(Text(row.model), justify="right", no_wrap=True)
    for i, header in enumerate(headers):
        table.add_row(Text(header), *(Text(texts[i]) for texts in cells))
    return table
