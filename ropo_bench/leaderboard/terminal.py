"""The leaderboard on a terminal: as many tasks side by side as fit, the next ones below, notes at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from ropo_bench.leaderboard.board import NOTHING, Leaderboard
from ropo_bench.leaderboard.cells import PUBLISHED_HEADING, Cell, Group, Line, Style, TextTable, text_table
from ropo_bench.leaderboard.conclusions import findings
from ropo_bench.leaderboard.literature import Published

_GAP = "  "
_STYLES = {"failed": "red", "pending": "yellow"}
_PARTS = ("estimate", "interval", "letters", "coverage")


@dataclass(frozen=True, slots=True)
class _Block:
    """One task's columns; widths[column][part] of what a cell says: each part stands in a column of its own."""

    group: Group
    widths: list[list[int]]

    @property
    def column_widths(self) -> list[int]:
        return [_sum_widths(widths) for widths in self.widths]

    @property
    def width(self) -> int:
        return sum(self.column_widths) + len(_GAP) * (len(self.widths) - 1)


def _sum_widths(widths: Sequence[int]) -> int:
    """The width of the parts with a space between those that are there."""
    return sum(widths) + max(0, sum(1 for width in widths if width) - 1)


def _block(group: Group) -> _Block:
    widths = []
    for j, header in enumerate(group.headers):
        parts = [max((len(getattr(row[j], part)) for row in group.cells), default=0) for part in _PARTS]
        parts[0] += max(0, len(header) - _sum_widths(parts))
        widths.append(parts)
    block = _Block(group, widths)
    widths[0][0] += max(0, len(group.title) - block.width)
    return block


def _split(group: Group, room: int) -> list[_Block]:
    """The group as one block, or cut between columns where it is wider than the room."""
    block = _block(group)
    if block.width <= room or len(group.headers) == 1:
        return [block]
    fitting = len(group.headers) - 1
    while fitting > 1 and _block(_columns(group, 0, fitting)).width > room:
        fitting -= 1
    return [_block(_columns(group, 0, fitting)), *_split(_columns(group, fitting, len(group.headers)), room)]


def _columns(group: Group, start: int, end: int) -> Group:
    return Group(group.title, group.headers[start:end], [row[start:end] for row in group.cells])


def _pack(blocks: Sequence[_Block], room: int) -> list[list[_Block]]:
    """Blocks in their order, as many beside each other as fit into `room` characters."""
    packed: list[list[_Block]] = []
    used = 0
    for block in blocks:
        if packed and used + 2 * len(_GAP) + block.width <= room:
            packed[-1].append(block)
            used += 2 * len(_GAP) + block.width
        else:
            packed.append([block])
            used = block.width
    return packed


def _cell(cell: Cell, widths: Sequence[int]) -> Text:
    """Estimate and interval right-aligned, letters and coverage left-aligned behind them."""
    text = Text(" " * (widths[0] - len(cell.estimate)))
    text.append(cell.value, style="bold green" if cell.best else "")
    text.append(f" ± {cell.error}" if cell.error else "", style="dim")
    for part, width, style in zip(_PARTS[1:], widths[1:], ("dim", "cyan", "yellow"), strict=True):
        if width:
            words = getattr(cell, part)
            text.append(" " + (words.rjust(width) if part == "interval" else words.ljust(width)), style=style)
    return text


def _lines(table: TextTable, blocks: Sequence[_Block], name_width: int) -> list[Text]:
    """Task names, a rule under each, headers, and the rows; a rule between the parts of the table."""
    between = 2 * _GAP
    titles = Text(" " * name_width)
    rules = Text(" " * name_width)
    headers = Text("method".ljust(name_width), style="bold")
    for block in blocks:
        titles.append(between + block.group.title.center(block.width), style="bold cyan")
        rules.append(between + "─" * block.width, style="dim")
        named = zip(block.group.headers, block.column_widths, strict=True)
        headers.append(between + _GAP.join(header.rjust(width) for header, width in named))
    width = rules.cell_len
    lines = [titles, rules, headers]
    part = ""
    for i, line in enumerate(table.lines):
        if line.part == "published" and not any(cell.value != NOTHING for b in blocks for cell in b.group.cells[i]):
            continue
        if line.part != part:
            heading = f"── {PUBLISHED_HEADING} " if line.part == "published" else ""
            lines.append(Text(heading.ljust(width, "─")[: max(width, len(heading))], style="dim"))
            part = line.part
        lines.append(_row(line, i, blocks, name_width))
    return lines


def _row(line: Line, i: int, blocks: Sequence[_Block], name_width: int) -> Text:
    style = next((style for word, style in _STYLES.items() if line.state.startswith(word)), "bold")
    style = "" if line.part == "published" else style
    text = Text.assemble(Text(line.label.ljust(name_width), style=style))
    for block in blocks:
        text.append(2 * _GAP)
        cells = zip(block.group.cells[i], block.widths, strict=True)
        text.append_text(Text(_GAP).join([_cell(cell, widths) for cell, widths in cells]))
    return text


def to_text(board: Leaderboard, width: int = 100, style: Style = "full", published: Published | None = None) -> Text:
    """The table for a terminal of `width` columns; `.plain` is the same without colours."""
    table = text_table(board, style, published)
    name_width = max([len(line.label) for line in table.lines] + [len("method")])
    room = width - name_width - 2 * len(_GAP)
    blocks = [block for group in table.groups for block in _split(group, room)]
    lines = [Text(table.title, style="bold")]
    for packed in _pack(blocks, room):
        lines += [Text(), *_lines(table, packed, name_width)]
    lines.append(Text())
    sentences = set(findings(board))
    for note in table.notes:
        color = "" if note in sentences else "dim"
        lines += [Text(part, style=color) for part in textwrap.wrap(note, width, subsequent_indent="  ")]
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)
