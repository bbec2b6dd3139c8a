"""A stored run as the sections read it: the work of its rows, and what of it is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.report.trained import Shelf

NONE = "this run has none"
NOTHING_YET = "nothing of it is there yet"
Place = tuple[str, int]
"""A row and one of its seeds."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run, finished or not: what the store has of its rows, and their table."""

    shelf: Shelf
    board: Leaderboard

    @property
    def everyone(self) -> list[Place]:
        """All models of the run."""
        return [(model.row, model.seed) for model in self.shelf]

    @property
    def others(self) -> list[Place]:
        """All models but the reference row's."""
        return [place for place in self.everyone if place[0] != self.shelf.reference]

    @property
    def trained(self) -> list[Place]:
        """The models that the run trains."""
        return [place for place in self.others if place[0] in self.shelf.methods]

    def rows_with(self, is_metric: Callable[[str], bool]) -> set[str]:
        """Rows that have a value in some column of such a metric."""
        return {
            row.name
            for row in self.board.rows
            for (_, metric), cell in row.cells.items()
            if is_metric(metric) and cell.value is not None
        }

    def missing(self, wanted: Sequence[Place], present: Set[str] | Set[Place]) -> str | None:
        """Names of rows of which nothing is there, and the seeds of those of which something is.

        there: whole rows, or single models. None where all that is wanted is there.
        """
        missing = [place for place in wanted if place not in present and place[0] not in present]
        if len(missing) == len(wanted):
            return NONE if all(row.state == "done" for row in self.board.rows) else NOTHING_YET
        names = []
        for row in dict.fromkeys(row for row, _ in missing):
            seeds = [seed for name, seed in missing if name == row]
            whole = len(seeds) == sum(name == row for name, _ in wanted)
            names += [row] if whole else [f"{row} seed {seed}" for seed in seeds]
        return f"not there yet: {', '.join(names)}" if names else None
