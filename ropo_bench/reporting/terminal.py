"""The leaderboard on a terminal: as many tasks side by side as fit, the next ones below, notes at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from ropo_bench.reporting.tables import Cell, Group, Leaderboard, groups

_GAP = "  "
_STYLES = {"failed": "red", "pending": "yellow"}


@dataclass(frozen=True, slots=True)
class _Block:
    """One task's columns with their widths: values right-aligned, coverages left-aligned behind them."""

    group: Group
    value_widths: list[int]
    coverage_widths: list[int]

    @property
    def widths(self) -> list[int]:
        return [v + (c + 1 if c else 0) for v, c in zip(self.value_widths, self.coverage_widths, strict=True)]

    @property
    def width(self) -> int:
        return sum(self.widths) + len(_GAP) * (len(self.widths) - 1)


def _block(group: Group) -> _Block:
    columns = range(len(group.headers))
    coverages = [max((len(row[j].coverage) for row in group.cells), default=0) for j in columns]
    values = [max([len(row[j].value) for row in group.cells], default=0) for j in columns]
    for j in columns:
        values[j] += max(0, len(group.headers[j]) - values[j] - (coverages[j] + 1 if coverages[j] else 0))
    short = len(group.title) - (sum(values) + sum(c + 1 for c in coverages if c) + len(_GAP) * (len(values) - 1))
    values[0] += max(0, short)
    return _Block(group, values, coverages)


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


def _cell(cell: Cell, value_width: int, coverage_width: int) -> Text:
    value, sign, error = cell.value.partition(" ± ")
    text = Text(" " * (value_width - len(cell.value)) + value)
    text.append(sign + error, style="dim")
    if coverage_width:
        text.append(f" {cell.coverage:<{coverage_width}}", style="yellow")
    return text


def _lines(board: Leaderboard, blocks: Sequence[_Block], name_width: int) -> list[Text]:
    """Task names, a rule under each, headers, and the rows; a rule after the reference rows."""
    rows = board.ordered_rows
    between = 2 * _GAP
    titles = Text(" " * name_width)
    rules = Text(" " * name_width)
    headers = Text("method".ljust(name_width), style="bold")
    for block in blocks:
        titles.append(between + block.group.title.center(block.width), style="bold cyan")
        rules.append(between + "─" * block.width, style="dim")
        texts = [header.rjust(width) for header, width in zip(block.group.headers, block.widths, strict=True)]
        headers.append(between + _GAP.join(texts))
    rule = Text("─" * rules.cell_len, style="dim")
    lines = [titles, rules, headers, rule]
    for i, row in enumerate(rows):
        style = _STYLES.get(row.state.split(":")[0], "bold")
        line = Text(row.label.ljust(name_width), style=style if row.state != "done" else "bold")
        line = Text.assemble(line)
        for block in blocks:
            cells = zip(block.group.cells[i], block.value_widths, block.coverage_widths, strict=True)
            line.append(between)
            line.append_text(Text(_GAP).join([_cell(*each) for each in cells]))
        lines.append(line)
        if row.reference and i + 1 < len(rows) and not rows[i + 1].reference:
            lines.append(rule)
    return lines


def to_text(board: Leaderboard, width: int = 100) -> Text:
    """The table for a terminal of `width` columns; `.plain` is the same without colours."""
    name_width = max([len(row.label) for row in board.rows] + [len("method")])
    room = width - name_width - 2 * len(_GAP)
    blocks = [block for group in groups(board) for block in _split(group, room)]
    lines = [Text(board.title, style="bold")]
    for packed in _pack(blocks, room):
        lines += [Text(), *_lines(board, packed, name_width)]
    lines.append(Text())
    for note in board.notes:
        lines += [Text(part, style="dim") for part in textwrap.wrap(note, width, subsequent_indent="  ")]
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)
