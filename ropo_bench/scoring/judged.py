"""What a task that needs a judge brings: what to ask, and what the answers mean. Asking is not its business."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.types import Completion, JudgeAnswer, JudgeCall, Prompt, Score

Grader: TypeAlias = Callable[[Prompt, Sequence[str]], Sequence[float]]
"""(prompt, answers to its turns) -> one grade an answer, on the grader's own scale; higher is better."""


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that is judged: the prompts, a model's completions and the baseline's."""

    task: TaskRecipe
    prompts: Sequence[Prompt]
    completions: Sequence[Completion]
    baseline: Sequence[Completion]


@dataclass(frozen=True, slots=True)
class Probe:
    """A protocol's question about first-turn answers alone, for canaries.

    num_answers: 1, of which the answer is a grade; 2, of which it is the preference for the first shown, 0..1.
    ask: the call, whose item the caller sets. read: the grade or preference in an answer, or None.
    """

    num_answers: Literal[1, 2]
    ask: Callable[[TaskRecipe, JudgeRecipe, Prompt, Sequence[str]], JudgeCall]
    read: Callable[[TaskRecipe, JudgeRecipe, JudgeAnswer], float | None]


@dataclass(frozen=True, slots=True)
class JudgedScorer:
    """A judged task as pure functions.

    calls: all questions to a judge in words, each under an item of its own, asked in this order.
    score: scores from the answers by item; an item without an answer was never received and is
    infrastructure-failed, an answer that says no verdict is unparsable.
    compare: scores from a grader (a reward model, an exact function); None where grades are no verdict here.
    probe: how canaries are asked; None where the judge cannot be checked.
    """

    calls: Callable[[Material, JudgeRecipe], list[JudgeCall]]
    score: Callable[[Material, JudgeRecipe, Mapping[str, JudgeAnswer]], list[Score]]
    compare: Callable[[Material, Grader], list[Score]] | None = None
    probe: Probe | None = None
