"""Small nights for tests: one row `ropo`, one column `chat.score`, seeds given by their values."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from statistics import fmean, stdev
from typing import Any

from ropo_bench.gate.night import Cell, Column, Night, Row

COLUMNS = {"chat.score": Column(2, "higher", True)}
_names = count()


def cell(values: Sequence[float], measurement: str | None = None, items: int = 100) -> Cell:
    """A cell of these seeds' values; a measurement of its own unless one is named."""
    name = measurement or f"m{next(_names)}"
    spread = stdev(values) if len(values) > 1 else None
    return Cell(fmean(values), len(values), items, name, None, spread)


def night(number: int, values: Sequence[float], measurement: str | None = None, **fields: Any) -> Night:
    """Night `number` of a history, with one cell."""
    if "rows" not in fields:
        fields["rows"] = {"ropo": Row("done", {"chat.score": cell(values, measurement)})}
    fields = {"columns": COLUMNS, **fields}
    return Night(f"2026-01-{number:02d}T03:00:00Z", "run", "pocket", **fields)
