"""The rows of a table with what the store has of each: the runs' records, their tasks, scores and completions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.runs.items import read_completions, read_scores
from ropo_bench.store import Stage, Store
from ropo_bench.types import Completion, Score

T = TypeVar("T")


@dataclass(frozen=True)
class Trained:
    """One model of a row: its training seed and its part of the run's record."""

    row: str
    seed: int
    record: Mapping[str, Any]


@dataclass
class Shelf:
    """The models of some runs by row, and their tasks; what was read once is kept."""

    store: Store
    models: Mapping[str, Sequence[Trained]]
    methods: frozenset[str]
    """Names of the rows that are trained here."""
    tasks: Sequence[TaskRecipe]
    reference: str
    """The row that others are measured against: the SFT model."""
    _scores: dict[str, list[Score]] = field(default_factory=dict)
    _completions: dict[str, list[Completion]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Trained]:
        return (model for models in self.models.values() for model in models)

    def scores(self, model: Trained, task: TaskRecipe) -> list[Score] | None:
        """A model's scores on a task, None where there are none yet."""
        key = model.record["scores"].get(task.name)
        stage = None if key is None else self.store.stage("scores", key)
        if stage is None or not stage.done:
            return None
        if stage.key not in self._scores:
            self._scores[stage.key] = read_scores(stage)
        return self._scores[stage.key]

    def completions(self, model: Trained, task: TaskRecipe) -> list[Completion] | None:
        """A model's answers to a task's prompts, None where there are none yet."""
        key = model.record["completions"].get(task.name)
        stage = None if key is None else self.store.stage("completions", key)
        if stage is None or not stage.done:
            return None
        if stage.key not in self._completions:
            self._completions[stage.key] = read_completions(stage)
        return self._completions[stage.key]

    def scored_rows(self, task: TaskRecipe) -> dict[str, list[list[Score]]]:
        """One list of scores a seed, of every row whose seeds are all scored."""
        return _whole({row: [self.scores(model, task) for model in seeds] for row, seeds in self.models.items()})

    def answered_rows(self, task: TaskRecipe) -> dict[str, list[list[Completion]]]:
        """One list of completions a seed, of every row whose seeds have all answered."""
        return _whole({row: [self.completions(model, task) for model in seeds] for row, seeds in self.models.items()})

    def policy(self, model: Trained) -> Stage | None:
        """The stage that trained a model: the one whose manifest its record repeats; None where there is none."""
        training = model.record["training"]
        return next((stage for stage in self._policies if stage.manifest == training), None)

    @cached_property
    def _policies(self) -> list[Stage]:
        """Every finished policy in the store."""
        return list(self.store.finished("policy"))


def main_column(task: TaskRecipe, scores: Sequence[Score]) -> Column | None:
    """The column that says how good a row is: the first tested one that has items, else any with a direction."""
    measured = {score.metric for score in scores}
    columns = [column for column in task.columns if column.better != "none" and column.metric in measured]
    return next((column for column in columns if task.is_tested(column)), columns[0] if columns else None)


def _whole(rows: Mapping[str, Sequence[list[T] | None]]) -> dict[str, list[list[T]]]:
    """Those rows of which nothing is missing."""
    found = {}
    for row, seeds in rows.items():
        there = [one for one in seeds if one is not None]
        if len(there) == len(seeds):
            found[row] = there
    return found
