"""The rows of a run's table with what the store has of each: scores, answers and the log of their training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeVar

from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.runs.reading import Run
from ropo_bench.runs.record import SFT, RowRecord
from ropo_bench.store import Stage
from ropo_bench.types import Completion, Score

T = TypeVar("T")


@dataclass(frozen=True)
class Trained:
    """One model of a row: its training seed and its part of the run's record."""

    row: str
    seed: int
    record: RowRecord


@dataclass(frozen=True)
class Shelf:
    """The models that a run's table shows, by row, with their tasks, scores and answers."""

    run: Run
    reference: ClassVar[str] = SFT
    """The row that others are measured against: the SFT model."""

    def __iter__(self) -> Iterator[Trained]:
        return (model for models in self.models.values() for model in models)

    @cached_property
    def models(self) -> dict[str, list[Trained]]:
        """By row, one a seed."""
        return {row: [Trained(row, seed.seed, seed) for seed in self.run.rows[row]] for row in self.run.table_rows()}

    @property
    def methods(self) -> frozenset[str]:
        """Names of the rows that are trained here."""
        return frozenset(method.name for method in self.run.record.request.methods) - self.run.neighbours.keys()

    @property
    def tasks(self) -> Sequence[TaskRecipe]:
        """In the order of their columns."""
        return self.run.record.request.tasks

    def scores(self, model: Trained, task: TaskRecipe) -> list[Score] | None:
        """A model's scores on a task, None where there are none yet."""
        stage = self.run.score_stage(model.record, task.name)
        return None if stage is None or not stage.done else self.run.read_scores(stage)

    def completions(self, model: Trained, task: TaskRecipe) -> list[Completion] | None:
        """A model's answers to a task's prompts, None where there are none yet."""
        stage = self.run.completion_stage(model.record, task.name)
        return None if stage is None or not stage.done else self.run.read_completions(stage)

    def scored_rows(self, task: TaskRecipe) -> dict[str, list[list[Score]]]:
        """One list of scores a seed, of every row whose seeds are all scored."""
        return _whole({row: [self.scores(model, task) for model in seeds] for row, seeds in self.models.items()})

    def answered_rows(self, task: TaskRecipe) -> dict[str, list[list[Completion]]]:
        """One list of completions a seed, of every row whose seeds have all answered."""
        return _whole({row: [self.completions(model, task) for model in seeds] for row, seeds in self.models.items()})

    def policy(self, model: Trained) -> Stage | None:
        """The stage that trained a model; None where there is none."""
        return self.run.policy_stage(model.record)


def main_column(task: TaskRecipe, scores: Sequence[Score]) -> Column | None:
    """The column that says how good a row is: the first tested one that has items, else any with a direction."""
    measured = {score.metric for score in scores}
    columns = [column for column in task.columns if column.better != "none" and column.metric in measured]
    return next((column for column in columns if task.is_tested(column)), columns[0] if columns else None)


def _whole(rows: Mapping[str, Sequence[list[T] | None]]) -> dict[str, list[list[T]]]:
    """The rows that have records for every seed."""
    complete = {}
    for row, seeds in rows.items():
        records = [record for record in seeds if record is not None]
        if len(records) == len(seeds):
            complete[row] = records
    return complete
