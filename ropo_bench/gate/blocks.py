"""One cell through the nights: every measurement of it, with the block of seeds that it was made with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ropo_bench.gate.night import Cell, Night, Row, finished_cell


class Block(NamedTuple):
    """A measurement of the cell; seeds: () where an older history has not kept them."""

    cell: Cell
    seeds: tuple[int, ...]

    def matches(self, other: Block) -> bool:
        """Whether the seeds are the same; where they were not kept, as many are taken to be."""
        if self.seeds and other.seeds:
            return self.seeds == other.seeds
        return self.cell.seeds == other.cell.seeds


class Run(NamedTuple):
    """What one night says about the cell: its own measurement, and repeats of the same code with other seeds."""

    own: Block
    repeats: Sequence[Block]
    regression: bool


def run_of(row: str, column: str, night: Night, items: int) -> Run | None:
    """None where it was not measured, or on another number of items."""
    own = _block(night.rows, row, column, items)
    if own is None:
        return None
    repeats = [_block(rows, row, column, items) for rows in night.repeats]
    regression = night.verdicts.get(row, {}).get(column) == "REGRESSION"
    return Run(own, [block for block in repeats if block is not None], regression)


def _block(rows: Mapping[str, Row], row: str, column: str, items: int) -> Block | None:
    cell = finished_cell(rows, row, column)
    return None if cell is None or cell.items != items else Block(cell, tuple(rows[row].seeds))


def values_of(cells: Iterable[Cell]) -> list[float]:
    """The values of the cells that have one."""
    return [cell.value for cell in cells if cell.value is not None]


def distinct(cells: Iterable[Cell]) -> list[Cell]:
    """The cells without repeats of one measurement: a stored result that is shown again says nothing new."""
    return list({cell.measurement: cell for cell in cells}.values())


def news(cells: Sequence[Cell]) -> list[Cell]:
    """The cells whose measurement is not that of the cell before them; going back to an old result is news."""
    return [cell for place, cell in enumerate(cells) if not place or cell.measurement != cells[place - 1].measurement]
