"""Scorers: from completions, or from a merged model, to scores. Names only; code is imported on use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ropo_bench.recipes.objects import module_of, resolve_object
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.judged import JudgedScorer


@dataclass(frozen=True, slots=True)
class Entry:
    """A scorer by its short name. What a JudgedScorer needs it says itself; of the others this is told here.

    code: "module:object"; with prompts a function(task, prompts, completions, baseline) or a JudgedScorer, without
    prompts a function(task, subject). data: of one that reads data of its own, from the hub where the local files are
    absent, "module:object" of a function(task) that says what was found here and now, for content keys. num_items:
    items that such a scorer has, for plans.
    """

    code: str
    data: str | None = None
    num_items: int | None = None


SCORERS: Mapping[str, Entry] = {
    "graded-chat": Entry("ropo_bench.scoring.chat:score"),
    "arena": Entry("ropo_bench.scoring.arena:score"),
    "diversity": Entry("ropo_bench.scoring.diversity:score"),
    # BoolQ 3,270, PIQA 1,838, SIQA 1,954, HellaSwag 10,042, WinoGrande 1,267, ARC 2,376 and 1,172, OpenBookQA 500.
    "commonsense": Entry(
        "ropo_bench.scoring.commonsense.likelihood:score",
        data="ropo_bench.scoring.commonsense.data:data_of",
        num_items=22_419,
    ),
    "commonsense-generative": Entry("ropo_bench.scoring.commonsense.generative:score"),
    "lm-eval": Entry("ropo_bench.scoring.lm_eval.score:score", data="ropo_bench.scoring.lm_eval.data:data_of"),
    "pocket-commonsense": Entry("ropo_bench.scoring.commonsense.quiz:score", num_items=300),
    "energy": Entry("ropo_bench.scoring.energy:score"),
    "mt-bench": Entry("ropo_bench.scoring.mt_bench.single:SINGLE"),
    "mt-bench-pairwise": Entry("ropo_bench.scoring.mt_bench.pairwise:PAIRWISE"),
    "alpaca-eval": Entry("ropo_bench.scoring.alpaca_eval.annotate:ALPACA_EVAL"),
}

ESTIMATORS: Mapping[str, str] = {
    "lc_win_rate": "ropo_bench.scoring.length_control:estimate",
    "macro_mean": "ropo_bench.scoring.commonsense.average:macro_mean",
    "alpaca_lc_win_rate": "ropo_bench.scoring.alpaca_eval.estimator:alpaca_lc_win_rate",
}
"""Estimators beside those of `statistics`, for its `measure`."""


def entry_of(task: TaskRecipe) -> Entry:
    """What is known of a task's scorer without its code; of a user's own, where that is."""
    return SCORERS.get(task.scorer) or Entry(task.scorer)


def find_scorer(name: str) -> Any:
    """The scorer of a short name or "module:object"; raises UsageError for a name that is none."""
    return resolve_object(name, {short: entry.code for short, entry in SCORERS.items()}, "scorer")


def find_judged(name: str) -> JudgedScorer | None:
    """The scorer of that name where it asks a judge, else None; raises UsageError as `find_scorer`."""
    scorer = find_scorer(name)
    return scorer if isinstance(scorer, JudgedScorer) else None


def is_judged(task: TaskRecipe) -> bool:
    """Whether a task's scorer asks a judge."""
    return find_judged(task.scorer) is not None


def modules(task: TaskRecipe) -> list[str]:
    """The modules that a task's scores are made by: its scorer's, and those that its options name."""
    named = () if task.scorer == "lm-eval" else task.options.values()  # lm-eval's are texts, "Answer:briefly" one
    return [module for name in [entry_of(task).code, *named] if (module := module_of(name)) is not None]


def data_of(task: TaskRecipe) -> Any:
    """What the scorer's own data are here and now, for content keys; None where it has none."""
    data = entry_of(task).data
    return None if data is None else resolve_object(data, {}, "data")(task)
