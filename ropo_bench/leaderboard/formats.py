"""The leaderboard in every format; CSV, and JSON (schema 2) that reads back as the same leaderboard."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.leaderboard.board import Column, Leaderboard, Row
from ropo_bench.leaderboard.cells import Style, text_table
from ropo_bench.leaderboard.latex import to_latex
from ropo_bench.leaderboard.literature import Published
from ropo_bench.leaderboard.markdown import to_markdown
from ropo_bench.store.bounded import check_types, dump_json, parse_json
from ropo_bench.store.csv_cells import csv_cell
from ropo_bench.types import Comparison, Measurement

SCHEMA = "ropo-bench/leaderboard"
SCHEMA_VERSION = 2
FORMATS = ("md", "latex", "csv", "json")
_CSV_PARTS = ("standard_error", "low", "high", "n", "n_unscored")


def render(board: Leaderboard, format: str, style: Style = "full", published: Published | None = None) -> str:
    """The table in one of FORMATS; csv and json hold everything in any style, and nothing published."""
    match format:
        case "md":
            return to_markdown(board, style, published)
        case "latex":
            return to_latex(board, style, published)
        case "csv":
            return to_csv(board)
        case _:
            return to_json(board)


def to_csv(board: Leaderboard) -> str:
    """One line a row, numbers in full precision; six columns a metric, empty where nothing was measured."""
    head = ["method", "state", "reference", "seeds", "trainable_params", "percent", "train_seconds"]
    head.append("peak_memory_bytes")
    for column in board.columns:
        name = f"{column.task}.{column.metric}"
        head += [name, *(f"{name}.{part}" for part in _CSV_PARTS)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(csv_cell, head))
    for row in board.ordered_rows:
        line: list[Any] = [row.name, row.state, row.reference, " ".join(str(seed) for seed in row.seeds)]
        line += [row.trainable_params, row.percent, row.train_seconds, row.peak_memory_bytes]
        for column in board.columns:
            measurement = row.cells.get((column.task, column.metric))
            line += [getattr(measurement, part, None) for part in ("value", *_CSV_PARTS)]
        writer.writerow(map(csv_cell, line))
    return out.getvalue()


def to_json(board: Leaderboard) -> str:
    """The table as JSON (`schema_version` counts incompatible changes), numbers in full precision.

    notes: the lines under the table as they are shown, which follow from the rest and are not read back.
    """
    rows = [asdict(row) | {"cells": [asdict(cell) for cell in row.cells.values()]} for row in board.rows]
    value = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "title": board.title,
        "columns": [asdict(column) for column in board.columns],
        "rows": rows,
        "comparisons": [asdict(comparison) for comparison in board.comparisons],
        "footers": list(board.footers),
        "notes": text_table(board).notes,
        "provenance": board.provenance,
        "primary": board.primary,
    }
    return dump_json(value) + "\n"


def from_json(text: str, where: str = "leaderboard") -> Leaderboard:
    """What to_json wrote, exactly; raises UsageError, naming `where`, for anything else."""
    mend = "write it with: ropo-bench table RUN --format json"
    try:
        value = parse_json(text, infinite=True)
    except json.JSONDecodeError as error:
        raise UsageError(f"{where}:{error.lineno}: not JSON ({error.msg}); {mend}") from None
    except ValueError as error:
        raise UsageError(f"{where}: not JSON ({error}); {mend}") from None
    version = (value.get("schema"), value.get("schema_version")) if isinstance(value, dict) else (None, None)
    if version != (SCHEMA, SCHEMA_VERSION):
        raise UsageError(
            f"{where}: not {SCHEMA} version {SCHEMA_VERSION}, given {version[0]} version {version[1]}; {mend}"
        )
    try:
        _check(value)
        return Leaderboard(
            title=value["title"],
            rows=tuple(_row(row) for row in value["rows"]),
            columns=tuple(Column(**column) for column in value["columns"]),
            footers=tuple(value["footers"]),
            comparisons=tuple(Comparison(**comparison) for comparison in value["comparisons"]),
            provenance=value["provenance"],
            primary=value.get("primary"),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{where}: a damaged leaderboard ({error}); {mend}") from None


def _check(value: Mapping[str, Any]) -> None:
    """Raise ValueError, or what a missing key raises, where a part has other types than the table's classes."""
    check_types(Leaderboard, {**value, "rows": []})
    for row in value["rows"]:
        check_types(Row, {**row, "cells": {}})
        for cell in row["cells"]:
            check_types(Measurement, cell)
            if cell.get("num_seeds", 1) < 1 or cell["n"] < 0:
                raise ValueError(f"a cell of {row['name']} counts fewer than no items or seeds")


def _row(fields: Mapping[str, Any]) -> Row:
    cells = [Measurement(**cell) for cell in fields["cells"]]
    rest = {"cells": {(cell.task, cell.metric): cell for cell in cells}, "seeds": tuple(fields["seeds"])}
    return Row(**{**fields, **rest})
