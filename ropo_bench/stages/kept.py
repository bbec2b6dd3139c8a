"""Weights that go when a row is scored: what is left that wants them, and letting them go."""

from __future__ import annotations

from collections.abc import Sequence

from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.prune import ANOTHER, prune_row
from ropo_bench.runs.reading import open_run
from ropo_bench.runs.record import RowRecord
from ropo_bench.stages import completions, merged, scores
from ropo_bench.stages.bench import Bench, Model
from ropo_bench.store import Stage


def tasks_left(bench: Bench, model: Model, tasks: Sequence[TaskRecipe]) -> list[str]:
    """Names of the tasks whose answers, or scores of the model itself, are left to be made with its weights."""
    return [
        task.name
        for task in tasks
        if not (
            scores.are_final(bench, model, task)
            if task.prompts is None
            else completions.are_there(bench, model, task)
        )
    ]


def is_spent(bench: Bench, trained: Stage, seed: int, tasks: Sequence[TaskRecipe]) -> bool:
    """Whether a trained row's merged weights were pruned and no task is left that wants them."""
    whole = merged.stage(bench, trained.key)
    pruned = trained.done and whole.done and not whole.whole
    return pruned and not tasks_left(bench, merged.model(whole, seed), tasks)


def tell_if_pruned(bench: Bench, trained: Stage, row: RowRecord, tasks: Sequence[TaskRecipe]) -> None:
    """Say that a row's pruned weights are made again, and for which tasks."""
    whole = merged.stage(bench, trained.key)
    if whole.done and not whole.whole:
        wanted = ", ".join(tasks_left(bench, merged.model(whole, row.seed), tasks))
        bench.progress.note(
            f"{row.name} seed {row.seed}: its weights were pruned, and {wanted} needs them; they are made again"
        )


def let_go(bench: Bench, name: str, row: RowRecord, keep: str) -> None:
    """Prune the weights of a trained row of the run `name`, as far as asked for; never what another run wants."""
    with bench.store.use.alone() as alone:
        kept = prune_row(open_run(bench.store, name), row, keep) if alone else ANOTHER
    if kept is not None:
        bench.progress.note(f"{row.name} seed {row.seed}: its weights are kept: {kept}")
