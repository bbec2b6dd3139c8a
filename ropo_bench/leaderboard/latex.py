"""The leaderboard in LaTeX (packages: booktabs)."""

from __future__ import annotations

import re

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.leaderboard.cells import PUBLISHED_HEADING, Cell, Style, TextTable, text_table
from ropo_bench.leaderboard.literature import Published

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$",
    "±": r"$\pm$", "–": "--", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "†": r"$\dagger$",
    ">=": r"$\geq$", "<=": r"$\leq$", "[": "{[}", "*": "{*}",
}  # fmt: skip
_SPECIAL = re.compile("|".join(re.escape(text) for text in sorted(_LATEX, key=len, reverse=True)))


def to_latex(board: Leaderboard, style: Style = "full", published: Published | None = None) -> str:
    """The table as a LaTeX table environment, notes below the rules; in paper style with one row of headers."""
    table = text_table(board, style, published)
    num_columns = 1 + sum(len(group.headers) for group in table.groups)
    lines = [r"\begin{table}", r"\centering", r"\small", rf"\caption{{{_escape(table.title)}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * (num_columns - 1)}}}", r"\toprule"]
    lines += [*_headers(table), r"\midrule"]
    for i, line in enumerate(table.lines):
        if i and line.part != table.lines[i - 1].part:
            lines.append(r"\midrule")
        if line.part == "published" and table.lines[i - 1].part != "published":
            lines.append(rf"\multicolumn{{{num_columns}}}{{l}}{{\emph{{{PUBLISHED_HEADING}}}}} \\")
        cells = [_cell(cell) for group in table.groups for cell in group.cells[i]]
        lines.append(" & ".join([_escape(line.label), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par {{\footnotesize {_escape(note)}}}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _headers(table: TextTable) -> list[str]:
    if table.style == "paper":
        names = [_paper_header(group.title, header) for group in table.groups for header in group.headers]
        return [" & ".join(["method", *map(_escape, names)]) + r" \\"]
    spans, rules, start = [], [], 2
    for group in table.groups:
        end = start + len(group.headers) - 1
        spans.append(rf"\multicolumn{{{len(group.headers)}}}{{c}}{{{_escape(group.title)}}}")
        rules.append(rf"\cmidrule(lr){{{start}-{end}}}")
        start = end + 1
    headers = [_escape(header) for group in table.groups for header in group.headers]
    spanned = " & ".join(["", *spans]).strip() + r" \\"
    return [spanned, "".join(rules), " & ".join(["method", *headers]) + r" \\"]


def _paper_header(title: str, header: str) -> str:
    return header if title == "training" else f"{title} {header}"


def _cell(cell: Cell) -> str:
    """The value in bold where it is best, its groups as a superscript."""
    value = rf"\textbf{{{_escape(cell.value)}}}" if cell.best else _escape(cell.value)
    error = rf" $\pm$ {_escape(cell.error)}" if cell.error else ""
    letters = rf"\textsuperscript{{{_escape(cell.letters)}}}" if cell.letters else ""
    rest = "".join(f" {_escape(part)}" for part in (cell.interval, cell.coverage) if part)
    return value + error + letters + rest


def _escape(text: str) -> str:
    """A bare [ or * at the start of a row would be an argument of the line break before it."""
    return _SPECIAL.sub(lambda match: _LATEX[match[0]], " ".join(text.split()))
