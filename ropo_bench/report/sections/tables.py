"""Small tables of text: what a figure shows, for who reads numbers or cannot see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ropo_bench.leaderboard.board import NOTHING
from ropo_bench.types import Measurement


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: its head and its cells as text; strong: in bold."""

    head: str
    cells: Sequence[str]
    strong: bool = False


@dataclass(frozen=True, slots=True)
class PlainTable:
    """A table with a caption; headers: of the head and of every cell."""

    caption: str
    headers: Sequence[str]
    lines: Sequence[Line]


def unique(values: Iterable[str]) -> list[str]:
    """Every value once, in the order of its first place."""
    return list(dict.fromkeys(values))


def cross_table(caption: str, corner: str, texts: Mapping[tuple[str, str], str]) -> PlainTable:
    """A table of heads (downwards) by rows of the board (across), from (head, row) -> text."""
    heads, rows = unique(head for head, _ in texts), unique(row for _, row in texts)
    lines = [Line(head, [texts.get((head, row), NOTHING) for row in rows]) for head in heads]
    return PlainTable(caption, [corner, *rows], lines)


def estimate(measurement: Measurement, decimals: int) -> str:
    """A value and its standard error where it has one."""
    if measurement.value is None:
        return NOTHING
    error = "" if measurement.standard_error is None else f" ± {measurement.standard_error:.{decimals}f}"
    return f"{measurement.value:.{decimals}f}{error}"


def minus(text: str) -> str:
    """The text with the minus sign of numbers in place of hyphens."""
    return text.replace("-", "−")
