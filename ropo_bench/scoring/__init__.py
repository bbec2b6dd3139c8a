"""Scorers: from completions, or from a merged model, to scores. Names only; code is imported on use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ropo_bench.recipes.objects import module_of, resolve_object
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.judged import JudgedScorer

SCORERS: Mapping[str, str] = {
    "graded-chat": "ropo_bench.scoring.chat:score",
    "arena": "ropo_bench.scoring.arena:score",
    "diversity": "ropo_bench.scoring.diversity:score",
    "commonsense": "ropo_bench.scoring.commonsense.likelihood:score",
    "commonsense-generative": "ropo_bench.scoring.commonsense.generative:score",
    "lm-eval": "ropo_bench.scoring.lm_eval.score:score",
    "pocket-commonsense": "ropo_bench.scoring.commonsense.quiz:score",
    "energy": "ropo_bench.scoring.energy:score",
    "mt-bench": "ropo_bench.scoring.mt_bench.single:SINGLE",
    "mt-bench-pairwise": "ropo_bench.scoring.mt_bench.pairwise:PAIRWISE",
    "alpaca-eval": "ropo_bench.scoring.alpaca_eval.annotate:ALPACA_EVAL",
}
"""With prompts: function(task, prompts, completions, baseline) or JudgedScorer; without: function(task, subject)."""

ESTIMATORS: Mapping[str, str] = {
    "lc_win_rate": "ropo_bench.scoring.length_control:estimate",
    "macro_mean": "ropo_bench.scoring.commonsense.average:macro_mean",
    "alpaca_lc_win_rate": "ropo_bench.scoring.alpaca_eval.estimator:alpaca_lc_win_rate",
}
"""Estimators beside those of `statistics`, for its `measure`."""

DATA: Mapping[str, str] = {
    "commonsense": "ropo_bench.scoring.commonsense.data:data_of",
    "lm-eval": "ropo_bench.scoring.lm_eval.data:data_of",
}
"""Of scorers that read data of their own: function(task) -> what was found here and now, for content keys."""

LIKELIHOODS = ("commonsense", "lm-eval", "pocket-commonsense")
"""Scorers that ask for log-likelihoods of choices."""


def find_scorer(task: TaskRecipe) -> Any:
    """The task's scorer; raises UsageError for a name that is none."""
    return resolve_object(task.scorer, SCORERS, "scorer")


def is_judged(task: TaskRecipe) -> bool:
    """Whether a task's scorer asks a judge."""
    return isinstance(find_scorer(task), JudgedScorer)


def may_score_choices(task: TaskRecipe) -> bool:
    """Whether a task's scorer asks the model for log-likelihoods, for all that is known: a user's own may."""
    return task.prompts is None and (task.scorer in LIKELIHOODS or task.scorer not in SCORERS)


def modules(task: TaskRecipe) -> list[str]:
    """The modules that a task's scores are made by: its scorer's, and those that its options name."""
    named = () if task.scorer == "lm-eval" else task.options.values()  # lm-eval's are texts, "Answer:briefly" one
    names = [SCORERS.get(task.scorer, task.scorer), *named]
    return [module for name in names if (module := module_of(name)) is not None]


def data_of(task: TaskRecipe) -> Any:
    """What the scorer's own data are here and now, for content keys; None where it has none."""
    return resolve_object(DATA[task.scorer], {}, "data")(task) if task.scorer in DATA else None
