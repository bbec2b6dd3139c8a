"""Graded chat, the shape of MT-Bench (arXiv 2306.05685): each answer of a conversation is graded 1 to 10."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.gold import by_key, expected_answers, find_grader, sample_name
from ropo_bench.types import Completion, Prompt, Score, Status


def score(
    task: TaskRecipe,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    baseline: Sequence[Completion] | None = None,
) -> list[Score]:
    """Grades (1..10) under `score`, `score_turn_1`, `score_turn_2`, ... and `score/CATEGORY`.

    An item is a turn ("prompt:2"), its cluster the prompt. A turn without an answer is unscored. Options:
    grader (see scoring.gold). Raises UsageError without one.
    """
    grader, answers = find_grader(task), by_key(completions)
    scores = []
    for prompt, sample in expected_answers(prompts, task):
        completion = answers.get((prompt.id, sample))
        grades: Sequence[float | None]
        grades = grader(prompt, completion.turns) if completion else [None] * len(prompt.turns)
        for turn, grade in enumerate(grades, 1):
            scores += turn_scores(prompt, turn, sample, grade)
    return scores


def turn_scores(prompt: Prompt, turn: int, sample: int, grade: float | None) -> list[Score]:
    """One grade under the metrics that show it; None is an answer that was never received."""
    metrics = ["score", f"score_turn_{turn}", *([f"score/{prompt.category}"] if prompt.category else [])]
    item = sample_name(f"{prompt.id}:{turn}", sample)
    status: Status = "infrastructure-failed" if grade is None else "scored"
    if grade is not None and not math.isfinite(grade):
        grade, status = None, "unparsable"
    detail = {"turn": turn, "category": prompt.category}
    return [Score(item, prompt.id, metric, grade, status, detail) for metric in metrics]
