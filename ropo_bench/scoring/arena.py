"""Win rates against the baseline's answers to the same prompts, the shape of AlpacaEval 2 (arXiv 2404.04475)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from ropo_bench.errors import UsageError
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.difficulty import read_difficulties
from ropo_bench.scoring.gold import by_key, expected_answers, find_grader, sample_name
from ropo_bench.types import Completion, Prompt, Score, Status


def score(
    task: TaskRecipe,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    baseline: Sequence[Completion] | None,
) -> list[Score]:
    """`win_rate` and `lc_win_rate` (0, 50 or 100 an item) and `length` (tokens).

    The preference is the gold judge's: the better mean grade over the turns wins. lc_win_rate holds the same
    preferences with what length control needs; without difficulties it is called lc_win_rate_nodiff. An item
    with either answer missing is unscored. Options: grader (see scoring.gold); tie: grades that differ by
    less are a tie (0); difficulties: a JSON file {prompt id: float}, "pocket:NAME" for a shipped one.
    Raises UsageError for a missing grader, baseline, difficulties file or difficulty.
    """
    if baseline is None:
        raise UsageError(f"task {task.name}: a win rate needs a baseline's completions; there are none")
    grader, ours, theirs = find_grader(task), by_key(completions), by_key(baseline)
    tie = float(task.options.get("tie", 0.0))
    difficulties = read_difficulties(task, prompts)
    scores = []
    for prompt, sample in expected_answers(prompts, task):
        answer, opponent = ours.get((prompt.id, sample)), theirs.get((prompt.id, sample))
        won = None
        if answer and opponent:
            won = preference(fmean(grader(prompt, answer.turns)), fmean(grader(prompt, opponent.turns)), tie)
        scores += battle_scores(prompt.id, sample, answer, opponent, won, difficulties)
    return scores


def preference(grade: float, baseline_grade: float, tie: float) -> float | None:
    """1 a win, 0 a loss, 0.5 a tie: grades that are equal, or nearer than `tie`; None where one is no number."""
    if not (math.isfinite(grade) and math.isfinite(baseline_grade)):
        return None
    difference = grade - baseline_grade
    if difference == 0 or abs(difference) < tie:
        return 0.5
    return 1.0 if difference > 0 else 0.0


def battle_scores(
    prompt_id: str,
    sample: int,
    answer: Completion | None,
    opponent: Completion | None,
    won: float | None,
    difficulties: Mapping[str, float] | None,
) -> list[Score]:
    """One battle under its three metrics; won: preference (0..1) for the answer, None if there is no verdict.

    detail of lc_win_rate: length_delta in characters, baseline minus answer as in alpaca_eval, and difficulty.
    """
    item = sample_name(prompt_id, sample)
    scores = []
    if answer is not None:
        scores.append(Score(item, prompt_id, "length", float(sum(answer.num_tokens))))
    metric = "lc_win_rate" if difficulties is not None else "lc_win_rate_nodiff"
    if answer is None or opponent is None or won is None:
        status: Status = "unparsable" if answer and opponent else "infrastructure-failed"
        return [*scores, *(Score(item, prompt_id, name, None, status) for name in ("win_rate", metric))]
    detail: dict[str, float] = {"length_delta": num_characters(opponent) - num_characters(answer)}
    scores.append(Score(item, prompt_id, "win_rate", 100 * won, detail=detail))
    if difficulties is not None:
        detail = {**detail, "difficulty": difficulties[prompt_id]}
    return [*scores, Score(item, prompt_id, metric, 100 * won, detail=detail)]


def num_characters(completion: Completion) -> int:
    """Length of all answers, the unit of length control."""
    return sum(map(len, completion.turns))
