"""The leaderboard as Markdown, LaTeX (booktabs), CSV and JSON (schema 1)."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ropo_bench.reporting.tables import Leaderboard, groups

SCHEMA = "ropo-bench/leaderboard"
SCHEMA_VERSION = 1


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", " ".join(text.split()))


def to_markdown(board: Leaderboard) -> str:
    """The table in GitHub's Markdown, title above and notes below."""
    blocks = groups(board)
    headers = ["method"] + [f"{block.title}: {header}" for block in blocks for header in block.headers]
    lines = [f"**{_escape_markdown(board.title)}**", ""]
    lines.append("| " + " | ".join(_escape_markdown(header) for header in headers) + " |")
    lines.append("|:---|" + "---:|" * (len(headers) - 1))
    for i, row in enumerate(board.ordered_rows):
        texts = [row.label] + [str(each) for block in blocks for each in block.cells[i]]
        lines.append("| " + " | ".join(_escape_markdown(text) for text in texts) + " |")
    lines += [""] + [f"- {_escape_markdown(note)}" for note in board.notes]
    return "\n".join(lines).rstrip() + "\n"


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$",
    "±": r"$\pm$", "–": "--", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}  # fmt: skip


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))


def to_latex(board: Leaderboard) -> str:
    """The table as a LaTeX table environment (needs the package booktabs), notes below the rules."""
    blocks = groups(board)
    spans, rules, start = [], [], 2
    for block in blocks:
        end = start + len(block.headers) - 1
        spans.append(rf"\multicolumn{{{len(block.headers)}}}{{c}}{{{_escape_latex(block.title)}}}")
        rules.append(rf"\cmidrule(lr){{{start}-{end}}}")
        start = end + 1
    headers = [_escape_latex(header) for block in blocks for header in block.headers]
    lines = [r"\begin{table}", r"\centering", r"\small", rf"\caption{{{_escape_latex(board.title)}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * (start - 2)}}}", r"\toprule"]
    lines += [" & ".join(["", *spans]).strip() + r" \\", "".join(rules)]
    lines += [" & ".join(["method", *headers]) + r" \\", r"\midrule"]
    for i, row in enumerate(board.ordered_rows):
        texts = [row.label] + [str(each) for block in blocks for each in block.cells[i]]
        lines.append(" & ".join(_escape_latex(text) for text in texts) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par {{\footnotesize {_escape_latex(note)}}}" for note in board.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def to_csv(board: Leaderboard) -> str:
    """One line a row, numbers in full precision; four columns a metric, empty where nothing was measured."""
    head = ["method", "state", "reference", "seeds", "trainable_params", "percent", "train_seconds"]
    head.append("peak_memory_bytes")
    for column in board.columns:
        name = f"{column.task}.{column.metric}"
        head += [name, f"{name}.standard_error", f"{name}.n", f"{name}.n_unscored"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in board.ordered_rows:
        line: list[Any] = [row.name, row.state, row.reference, " ".join(str(seed) for seed in row.seeds)]
        line += [row.trainable_params, row.percent, row.train_seconds, row.peak_memory_bytes]
        for column in board.columns:
            found = row.cells.get((column.task, column.metric))
            empty = (None, None, None, None)
            line += (found.value, found.standard_error, found.n, found.n_unscored) if found else empty
        writer.writerow(line)
    return out.getvalue()


def to_json(board: Leaderboard) -> str:
    """The table as JSON (`schema_version` counts incompatible changes), numbers in full precision."""
    rows = []
    for row in board.ordered_rows:
        fields: dict[str, Any] = {"name": row.name, "state": row.state, "reference": row.reference}
        fields |= {"seeds": list(row.seeds), "trainable_params": row.trainable_params, "percent": row.percent}
        fields |= {"train_seconds": row.train_seconds, "peak_memory_bytes": row.peak_memory_bytes}
        cells = [row.cells.get((column.task, column.metric)) for column in board.columns]
        fields["cells"] = [asdict(each) for each in cells if each is not None]
        rows.append(fields)
    columns = [asdict(column) for column in board.columns]
    value = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "title": board.title, "columns": columns}
    return json.dumps(value | {"rows": rows, "notes": board.notes}, indent=1, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Leaderboard], str]] = {
    "md": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "json": to_json,
}
