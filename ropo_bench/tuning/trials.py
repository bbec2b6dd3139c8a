"""One trial: a method trained at one rate with one seed, merged, certified and scored on the validation prompts."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ropo_bench.errors import MethodFailed, first_line
from ropo_bench.errors.failures import as_expected, note_work
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.rates import at_rate
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.stages import merged, policy, scores
from ropo_bench.stages.bench import Bench


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried: a method's recipe, whose own rate is replaced by lr, and a training seed."""

    method: MethodRecipe
    lr: float
    seed: int

    @property
    def recipe(self) -> MethodRecipe:
        """The method at the rate of this trial."""
        return at_rate(self.method, self.lr)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial: the key of its scores, or why it failed; seconds it took, 0 where it was done before."""

    trial: Trial
    scores: str | None
    failure: str | None
    seconds: float


def run_trial(bench: Bench, task: TaskRecipe, trial: Trial) -> Outcome:
    """Take a trial all the way, unless its scores are there; then let its weights go: scores are all it is for."""
    recipe, began = trial.recipe, time.perf_counter()
    trained = policy.stage(bench, recipe, trial.seed)
    whole = merged.stage(bench, trained.key)
    model = merged.model(whole, trial.seed)
    if scores.are_final(bench, model, task):
        return Outcome(trial, scores.stage(bench, model, task).key, None, 0.0)
    bench.close_engine()
    try:
        policy.make(bench, recipe, trial.seed)
        merged.make(bench, trained, recipe.name, trial.seed)
        key = scores.make(bench, model, task, f"{recipe.name} lr {trial.lr:g}").key
    except Exception as error:
        note_work(error, f"trial {recipe.name} lr {trial.lr:g} seed {trial.seed}")
        expected = as_expected(error)
        if not isinstance(expected, MethodFailed):  # no memory, no disk, or a fault of ours: nothing about the rate
            raise expected from error
        return Outcome(trial, None, first_line(expected), time.perf_counter() - began)
    bench.close_engine()
    whole.discard()
    trained.discard()
    return Outcome(trial, key, None, time.perf_counter() - began)
