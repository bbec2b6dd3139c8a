"""A stored run as the sections read it: the models of its rows, what the store has of each, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeVar

from ropo_bench.leaderboard.board import Leaderboard
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import SFT, RowRecord
from ropo_bench.store import Stage
from ropo_bench.types import Completion, Score

T = TypeVar("T")
NONE = "this run has none"
NOTHING_YET = "nothing of it is there yet"
Place = tuple[str, int]
"""A row and one of its seeds."""


@dataclass(frozen=True)
class RowModel:
    """One model of a row: its training seed and its part of the run's record."""

    row: str
    seed: int
    record: RowRecord


@dataclass(frozen=True)
class StoredRun:
    """A run, finished or not: what the store has of the models that its table shows, and that table."""

    source: Run
    board: Leaderboard
    reference: ClassVar[str] = SFT
    """The row that others are measured against: the SFT model."""

    def __iter__(self) -> Iterator[RowModel]:
        return (model for models in self.models.values() for model in models)

    @cached_property
    def models(self) -> dict[str, list[RowModel]]:
        """By row, one a seed."""
        return {
            row: [RowModel(row, seed.seed, seed) for seed in self.source.rows[row]]
            for row in self.source.table_rows()
        }

    @property
    def methods(self) -> frozenset[str]:
        """Names of the rows that are trained here."""
        return frozenset(method.name for method in self.source.record.request.methods) - self.source.neighbours.keys()

    @property
    def tasks(self) -> Sequence[TaskRecipe]:
        """In the order of their columns."""
        return self.source.record.request.tasks

    def scores(self, model: RowModel, task: TaskRecipe) -> list[Score] | None:
        """A model's scores on a task, None where there are none yet."""
        stage = self.source.score_stage(model.record, task.name)
        return None if stage is None or not stage.done else self.source.read_scores(stage)

    def completions(self, model: RowModel, task: TaskRecipe) -> list[Completion] | None:
        """A model's answers to a task's prompts, None where there are none yet."""
        stage = self.source.completion_stage(model.record, task.name)
        return None if stage is None or not stage.done else self.source.read_completions(stage)

    def scored_rows(self, task: TaskRecipe) -> dict[str, list[list[Score]]]:
        """One list of scores a seed, of every row whose seeds are all scored."""
        return _whole({row: [self.scores(model, task) for model in seeds] for row, seeds in self.models.items()})

    def answered_rows(self, task: TaskRecipe) -> dict[str, list[list[Completion]]]:
        """One list of completions a seed, of every row whose seeds have all answered."""
        return _whole({row: [self.completions(model, task) for model in seeds] for row, seeds in self.models.items()})

    def policy(self, model: RowModel) -> Stage | None:
        """The stage that trained a model; None where there is none."""
        return self.source.policy_stage(model.record)

    @property
    def everyone(self) -> list[Place]:
        """All models of the run."""
        return [(model.row, model.seed) for model in self]

    @property
    def others(self) -> list[Place]:
        """All models but the reference row's."""
        return [place for place in self.everyone if place[0] != self.reference]

    @property
    def trained(self) -> list[Place]:
        """The models that the run trains."""
        return [place for place in self.others if place[0] in self.methods]

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


def _whole(rows: Mapping[str, Sequence[list[T] | None]]) -> dict[str, list[list[T]]]:
    """The rows that have records for every seed."""
    complete = {}
    for row, seeds in rows.items():
        records = [record for record in seeds if record is not None]
        if len(records) == len(seeds):
            complete[row] = records
    return complete
