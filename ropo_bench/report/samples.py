"""Answers side by side: every prompt with what each row answered, its grade, and whether it won."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from ropo_bench.errors import RopoBenchError, first_line
from ropo_bench.recipes.task import Column, TaskRecipe
from ropo_bench.report.data import Answer, Battle, Verdict, is_win_rate
from ropo_bench.report.trained import Shelf, Trained, main_column
from ropo_bench.scoring.gold import sample_name
from ropo_bench.sources.prompts import read_answers, read_prompts
from ropo_bench.types import Completion, Prompt, Score, Status

MAX_CHARACTERS = 2_000_000
"""Of the answers of all seeds: above it a report shows seed 0 alone, and stays below 8 MB."""
EVEN = 50.0
_WORST: Sequence[Status] = ("infrastructure-failed", "unparsable", "scored")
_DIVERSITY = "diversity"  # the scorer: nobody judges its answers


def battles(shelf: Shelf) -> tuple[list[Battle], list[str]]:
    """The first sample of every prompt of every judged task, and one line for each thing that is left out."""
    tasks = [task for task in shelf.tasks if task.prompts is not None and task.scorer != _DIVERSITY]
    answered = {task.name: [(m, c) for m in shelf if (c := shelf.completions(m, task)) is not None] for task in tasks}
    size = sum(len(turn) for found in answered.values() for _, each in found for c in each for turn in c.turns)
    found: list[Battle] = []
    left_out: list[str] = []
    if size > MAX_CHARACTERS:
        left_out.append("answers of seeds other than 0, which would make this file too large")
    for task in tasks:
        models = [(m, c) for m, c in answered[task.name] if size <= MAX_CHARACTERS or m.seed == 0]
        try:
            found += _task(shelf, task, models)
        except RopoBenchError as error:
            left_out.append(f"{task.name}: {first_line(error)}")
    return found, left_out


def _task(shelf: Shelf, task: TaskRecipe, models: Sequence[tuple[Trained, Sequence[Completion]]]) -> list[Battle]:
    assert task.prompts is not None
    scored = {id(model): shelf.scores(model, task) or [] for model, _ in models}
    column = next((c for scores in scored.values() if (c := main_column(task, scores)) is not None), None)
    if column is None:
        return []
    prompts = read_prompts(task.prompts)
    fixed = _first(read_answers(task.baseline, prompts)) if task.baseline and is_win_rate(column.metric) else {}
    shown = [
        (model, _first(completions), {s.item: s for s in scored[id(model)] if s.metric == column.metric})
        for model, completions in models
    ]
    opponent = task.baseline if fixed and task.baseline else shelf.reference
    found = []
    for prompt in prompts:
        answers = [_answer(model, prompt, texts[prompt.id], s) for model, texts, s in shown if prompt.id in texts]
        theirs = next((each.value for each in answers if each.row == opponent), None)
        judged = tuple(_judged(each, column, opponent, theirs) for each in answers)
        turns = fixed[prompt.id].turns if prompt.id in fixed else ()
        found.append(
            Battle(task.name, prompt.id, prompt.category, prompt.turns, column.metric, opponent, turns, judged)
        )
    return found


def _first(completions: Sequence[Completion]) -> dict[str, Completion]:
    return {one.prompt_id: one for one in completions if one.sample == 0}


def _answer(model: Trained, prompt: Prompt, completion: Completion, scores: Mapping[str, Score]) -> Answer:
    """An answer with its grades; the verdict is still to come."""
    names = [sample_name(f"{prompt.id}:{turn}", 0) for turn in range(1, len(prompt.turns) + 1)]
    by_turn = [scores[name] for name in names if name in scores]
    found = by_turn or [scores[prompt.id]] if by_turn or prompt.id in scores else []
    values = [score.value for score in found if score.value is not None]
    return Answer(
        model.row,
        model.seed,
        completion.turns,
        sum(completion.num_tokens),
        fmean(values) if values and len(values) == len(found) else None,
        tuple(score.value for score in by_turn),
        min((score.status for score in found), key=_WORST.index, default="infrastructure-failed"),
        None,
    )


def _judged(answer: Answer, column: Column, opponent: str, theirs: float | None) -> Answer:
    """The answer with its verdict: a preference against even, a grade against the opponent's."""
    against = EVEN if is_win_rate(column.metric) else theirs
    if answer.row == opponent or answer.value is None or against is None:
        return answer
    won = answer.value > against if column.better == "higher" else answer.value < against
    verdict: Verdict = "tie" if answer.value == against else "won" if won else "lost"
    return replace(answer, verdict=verdict)
