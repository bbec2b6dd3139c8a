"""The leaderboard in GitHub's Markdown."""

from __future__ import annotations

import re

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.leaderboard.cells import PUBLISHED_HEADING, Cell, Style, text_table
from ropo_bench.leaderboard.literature import Published


def to_markdown(board: Leaderboard, style: Style = "full", published: Published | None = None) -> str:
    """The table with its title above and its notes below."""
    table = text_table(board, style, published)
    headers = ["method"] + [f"{group.title}: {header}" for group in table.groups for header in group.headers]
    lines = [f"**{_escape(table.title)}**", "", _row([_escape(header) for header in headers])]
    lines.append("|:---|" + "---:|" * (len(headers) - 1))
    for i, line in enumerate(table.lines):
        if line.part == "published" and table.lines[i - 1].part != "published":
            lines.append(_row([f"*{PUBLISHED_HEADING}*", *[""] * (len(headers) - 1)]))
        lines.append(_row([_escape(line.label), *(_cell(cell) for group in table.groups for cell in group.cells[i])]))
    lines += [""] + [f"- {_escape(note)}" for note in table.notes]
    return "\n".join(lines).rstrip() + "\n"


def _row(texts: list[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _cell(cell: Cell) -> str:
    """The value in bold where it is best."""
    text = _escape(str(cell))
    value = _escape(cell.value)
    return f"**{value}**{text.removeprefix(value)}" if cell.best else text


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~$]|&(?=#?\w+;))", r"\\\1", " ".join(text.split()))
