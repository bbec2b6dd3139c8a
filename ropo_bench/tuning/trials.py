"""One trial: a method trained at one rate with one seed, merged, certified and scored on the validation prompts."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ropo_bench.errors import MethodFailed, first_line
from ropo_bench.errors.failures import as_expected, note_work
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.rates import at_rate
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.stages import Evaluation


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


def run_trial(evaluation: Evaluation, task: TaskRecipe, trial: Trial) -> Outcome:
    """Take a trial all the way, unless its scores are there; then let its weights go: scores are all it is for."""
    stages, recipe, began = evaluation.stages, trial.recipe, time.perf_counter()
    policy, merged = stages.policy(recipe, trial.seed), stages.merged(recipe, trial.seed)
    model = stages.merged_model(merged, trial.seed)
    if evaluation.finished(model, task):
        return Outcome(trial, evaluation.scores(model, task).key, None, 0.0)
    evaluation.close_engine()
    try:
        stages.make_policy(recipe, trial.seed)
        stages.make_merged(recipe, trial.seed)
        scores = evaluation.make_scores(model, task, f"{recipe.name} lr {trial.lr:g}")
    except Exception as error:
        note_work(error, f"trial {recipe.name} lr {trial.lr:g} seed {trial.seed}")
        expected = as_expected(error)
        if not isinstance(expected, MethodFailed):  # no memory, no disk, or a fault of ours: nothing about the rate
            raise expected from error
        return Outcome(trial, None, first_line(expected), time.perf_counter() - began)
    evaluation.close_engine()
    merged.discard()
    policy.discard()
    return Outcome(trial, scores.key, None, time.perf_counter() - began)
