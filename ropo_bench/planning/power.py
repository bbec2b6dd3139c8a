"""What a table will be able to see, before it is made: standard errors, detectable effects, what a wanted one needs.

A table tests differences of two rows. Their spread over prompts and seeds comes from an earlier run of the same suite
and task where the store has one, else from the planning figures of the column's recipe, else it is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.planning.earlier import Earlier, earlier
from ropo_bench.planning.inventory import num_turns
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.request import Request
from ropo_bench.runs.record import SFT
from ropo_bench.scoring import entry_of
from ropo_bench.statistics.multiplicity import SHARED
from ropo_bench.statistics.power import planned_effect, planned_error, prompts_needed, seeds_needed
from ropo_bench.store import Store

ALPHA, POWER = 0.05, 0.8
DIFFERENCE = "difference_"
"""Before a source in a column's planning figures: its standard deviation in the paired difference of two rows."""
REFERENCE = "reference_"
"""The same in a row less the SFT model; "common" is then what a seed does to all rows alike."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Effects asked for with --effect: one for all tested columns, or by "task.metric"."""

    everywhere: float | None = None
    columns: Mapping[str, float] | None = None

    def of(self, task: TaskRecipe, column: Column) -> float | None:
        """The effect, in the column's unit, that the user wants to detect; None where none was named."""
        return (self.columns or {}).get(f"{task.name}.{column.metric}", self.everywhere)


def read_wanted(given: Sequence[str], request: Request) -> Wanted:
    """Read --effect options; raises UsageError for what is no number above 0, or no tested column."""
    names = [f"{task.name}.{column.metric}" for task, column in select_tested_columns(request)]
    everywhere: float | None = None
    columns: dict[str, float] = {}
    for text in given:
        name, equals, number = text.rpartition("=")
        try:
            effect = float(number)
        except ValueError:
            effect = 0.0
        if not 0 < effect < math.inf:
            raise UsageError(f"--effect {text}: give points above 0, such as 2, or TASK.METRIC=2")
        if equals and name not in names:
            raise UsageError(f"--effect {text}: {name} is no tested column; known: {', '.join(names)}")
        if equals:
            columns[name] = effect
        else:
            everywhere = effect
    return Wanted(everywhere, columns)


def select_tested_columns(request: Request) -> list[tuple[TaskRecipe, Column]]:
    """The columns on which rows are compared."""
    return [(task, column) for task in request.tasks for column in task.columns if task.is_tested(column)]


def power(request: Request, store: Store, effects: Wanted) -> list[dict[str, Any]]:
    """An entry for each tested column, as JSON; None where something cannot be known beforehand."""
    columns = select_tested_columns(request)
    family = _family(request, columns)
    before = {task.name: earlier(store, request, task) for task in {id(t): t for t, _ in columns}.values()}
    return [
        _entry(request, task, column, before[task.name], family, effects.of(task, column)) for task, column in columns
    ]


@dataclass(frozen=True, slots=True)
class Family:
    """How many comparisons a table makes, how many of them are primary, and on how many columns these share seeds."""

    num_comparisons: int
    num_primary: int = 0
    num_columns: int = 0

    @property
    def shared(self) -> float:
        """By how much higher the level is of what all primary comparisons of a column share."""
        return self.num_primary / min(self.num_primary, SHARED * self.num_columns) if self.num_columns else 0.0


def _family(request: Request, columns: Sequence[tuple[TaskRecipe, Column]]) -> Family:
    num_rows = len({SFT, *request.checkpoints, *(method.name for method in request.methods)})
    num_comparisons = num_rows * (num_rows - 1) // 2 * len(columns)
    primary = request.suite.primary
    if primary is None:
        return Family(num_comparisons)
    names = [f"{task.name}.{column.metric}" for task, column in columns if primary.columns or task.is_first(column)]
    own = [name for name in names if primary.columns is None or name in primary.columns]
    # Only comparisons with a fixed model share what seeds do to all methods.
    return Family(num_comparisons, (num_rows - 1) * len(own), len(own) if primary.against == SFT else 0)


def _entry(
    request: Request,
    task: TaskRecipe,
    column: Column,
    before: Earlier | None,
    family: Family,
    effect: float | None,
) -> dict[str, Any]:
    row, difference, at_most, basis = _splits(task, column, before)
    num_comparisons = family.num_comparisons
    prompts, seeds = _num_prompts(task, column, before), request.seeds
    entry: dict[str, Any] = {
        "task": task.name,
        "metric": column.metric,
        "header": column.header,
        "num_prompts": prompts,
        "num_seeds": seeds,
        "num_comparisons": num_comparisons,
        "basis": basis,
        "seed_noise_known": "seeds" in row,
        "row": None,
        "difference": None,
        "reference": None,
        "num_primary": family.num_primary,
        "wanted": None,
    }
    if prompts is None or not row or (seeds == 1 and row.keys() == {"seeds"}):  # one seed of a census has no error
        return entry
    methods = len(request.methods) or 1
    entry["row"] = _seen(row, prompts, seeds, 1, 1)
    entry["difference"] = _seen(difference, prompts, seeds, num_comparisons, methods) | {"at_most": at_most}
    measured = None if before is None else before.columns.get(column.metric)
    reference = _figures(column, REFERENCE) if measured is None else measured.reference
    if reference:
        entry["reference"] = _seen_from_reference(reference, prompts, seeds, family, methods)
    if effect is not None:
        entry["wanted"] = _needs(difference, effect, prompts, seeds, num_comparisons, methods)
    return entry


def _splits(
    task: TaskRecipe, column: Column, before: Earlier | None
) -> tuple[Mapping[str, float], Mapping[str, float], bool, str]:
    """Of a row and of a difference of two: source -> standard deviation; whether the second is a bound; the basis."""
    measured = None if before is None else before.columns.get(column.metric)
    if before is not None and measured is not None:
        difference = measured.difference
        return measured.row, difference or _unpair(measured.row), difference is None, before.words
    row = {source: value for source, value in column.split.items() if not source.startswith((DIFFERENCE, REFERENCE))}
    if not row:
        return {}, {}, False, f"unknown: no earlier run of {task.name} here, and its recipe has no planning figures"
    basis = f"planning figures of tasks/{task.name}.yaml"
    difference = _figures(column, DIFFERENCE)
    return row, difference or _unpair(row), not difference, basis


def _figures(column: Column, prefix: str) -> dict[str, float]:
    """The planning figures of a column's recipe that begin so, without that beginning."""
    return {key.removeprefix(prefix): value for key, value in column.split.items() if key.startswith(prefix)}


def _unpair(row: Mapping[str, float]) -> Mapping[str, float]:
    """A bound of the difference: of two rows with nothing in common. What they share of the prompts shortens it."""
    return {source: 2**0.5 * value for source, value in row.items()}


def _num_prompts(task: TaskRecipe, column: Column, before: Earlier | None) -> int | None:
    """Units that the column's estimate rests on: those of an earlier run, else the task's prompts."""
    if before is not None and column.metric in before.columns:
        return before.columns[column.metric].num_prompts
    return entry_of(task).num_items if task.prompts is None else num_turns(task)[0]


def _seen(split: Mapping[str, float], prompts: int, seeds: int, num_comparisons: int, methods: int) -> dict[str, Any]:
    """The expected standard error and what it can see, alone and as the first step of Holm over a table."""
    error, degrees = planned_error(split, max(prompts, 2), seeds, methods)
    seen = {"split": dict(split), "standard_error": error, "degrees": degrees}
    seen["effect"] = planned_effect(split, max(prompts, 2), seeds, POWER, ALPHA, methods)
    if num_comparisons > 1:
        level = ALPHA / num_comparisons
        seen["effect_after_holm"] = planned_effect(split, max(prompts, 2), seeds, POWER, level, methods)
    return seen


def _seen_from_reference(
    split: Mapping[str, float], prompts: int, seeds: int, family: Family, methods: int
) -> dict[str, Any]:
    """What a method's comparison with the reference can see, alone and as the first step of the primary family."""
    error, degrees = planned_error(split, max(prompts, 2), seeds, methods)
    seen = {"split": dict(split), "standard_error": error, "degrees": degrees}
    seen["effect"] = planned_effect(split, max(prompts, 2), seeds, POWER, ALPHA, methods)
    level = ALPHA / (family.num_primary or family.num_comparisons)
    seen["effect_in_family"] = planned_effect(split, max(prompts, 2), seeds, POWER, level, methods, family.shared)
    return seen


def _needs(
    split: Mapping[str, float], effect: float, prompts: int, seeds: int, num_comparisons: int, methods: int
) -> dict[str, Any]:
    """Prompts (with these seeds) or seeds (with these prompts) that find a difference; None: no number does."""
    needs: dict[str, Any] = {"effect": effect}
    for name, alpha in (("alone", ALPHA), ("after_holm", ALPHA / num_comparisons)):
        needs[f"prompts_{name}"] = prompts_needed(split, effect, seeds, POWER, alpha, methods)
        needs[f"seeds_{name}"] = seeds_needed(split, effect, max(prompts, 2), POWER, alpha, methods)
    return needs
