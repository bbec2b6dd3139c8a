"""Pairwise judging against the baseline: every turn in both orders, orders that disagree are a tie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ropo_bench.errors import UsageError
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.arena import preference as better
from ropo_bench.scoring.gold import by_key
from ropo_bench.scoring.judged import Grader, JudgedScorer, Material, Probe, Protocol
from ropo_bench.scoring.mt_bench.single import metric_names
from ropo_bench.scoring.mt_bench.templates import (
    NEEDS_REFERENCE,
    PARAMS,
    QUESTION_FILES,
    read_references,
    read_templates,
    reference_set,
    reference_words,
    template_name,
)
from ropo_bench.scoring.mt_bench.turns import Turn, find_turns
from ropo_bench.scoring.mt_bench.verdicts import FOR_FIRST, preference, read_side, verdict_rule
from ropo_bench.types import JudgeAnswer, JudgeCall, Prompt, Score, Status

ORDERS = ("g1", "g2")
"""FastChat's names of the two games: in g1 the model is A, in g2 the baseline is."""


def battle_calls(material: Material, judge: JudgeRecipe) -> list[JudgeCall]:
    """Two calls a turn that both have answered, under "81:2:g1" (the model is A) and "81:2:g2" (it is B).

    Identical conversations are not judged: both orders would be one prompt, and any verdict on it a tie.
    Options: references, "corrected" (the default) or "original". Raises UsageError without a baseline, for a
    prompt that needs a reference answer and has none, and where the templates are not to be had.
    """
    templates, references = read_templates(), read_references(material.task)
    calls = []
    for turn, opponent in pairs(material):
        if turn.problem or opponent.problem or turn.answers == opponent.answers:
            continue
        template = templates[template_name("pair", turn.prompt.category, turn.number)]
        reference = reference_words(turn.prompt, references)
        for order, (a, b) in zip(ORDERS, ((turn, opponent), (opponent, turn)), strict=True):
            messages = template.messages({**_words(a, b), **reference})
            calls.append(JudgeCall(f"{turn.item}:{order}", messages, PARAMS))
    return calls


def battles(material: Material, judge: JudgeRecipe, answers: Mapping[str, JudgeAnswer]) -> list[Score]:
    """`wwr` (0, 50 or 100 an item), the same by turn and category, and `win`, `tie`, `loss` (0 or 100).

    An item is a turn ("81:2"), its cluster the prompt; it is unscored when either order has no verdict. detail:
    turn, category, references, orders (the verdicts as given), ambiguous (one of them
    holds different marks), identical, truncated, baseline_truncated, problem.
    """
    scores, rule = [], verdict_rule(material.task)
    for turn, opponent in pairs(material):
        if turn.problem or opponent.problem:
            scores += _scores(material, turn, opponent, None, "infrastructure-failed", {})
        elif turn.answers == opponent.answers:
            scores += _scores(material, turn, opponent, 0.5, "scored", {"identical": True})
        else:
            replies = [answers.get(f"{turn.item}:{order}") for order in ORDERS]
            readings = [read_side(answer, rule) if answer else None for answer in replies]
            sides = [reading.value if reading else None for reading in readings]
            won = preference(*sides)
            status: Status = "scored"
            if won is None:
                status = "infrastructure-failed" if None in replies else "unparsable"
            more: dict[str, object] = {"orders": sides}
            if any(reading is not None and reading.ambiguous for reading in readings):
                more["ambiguous"] = True
            scores += _scores(material, turn, opponent, won, status, more)
    return scores


def graded_battles(material: Material, grader: Grader) -> list[Score]:
    """The same metrics from a grader (a reward model, an exact function): in every turn the better grade wins."""
    ours, theirs = by_key(material.completions), by_key(material.baseline)
    scores = []
    grades: dict[tuple[str, int], tuple[list[float], list[float]]] = {}
    for turn, opponent in pairs(material):
        if turn.problem or opponent.problem:
            scores += _scores(material, turn, opponent, None, "infrastructure-failed", {})
            continue
        key = (turn.prompt.id, turn.sample)
        if key not in grades:
            ours_turns, theirs_turns = ours[key].turns, theirs[key].turns
            grades[key] = (list(grader(turn.prompt, ours_turns)), list(grader(turn.prompt, theirs_turns)))
        grade, other = (by_turn[turn.number - 1] for by_turn in grades[key])
        won = better(grade, other, 0.0)
        if won is None:
            scores += _scores(material, turn, opponent, None, "unparsable", {})
        else:
            given = {"grade": grade, "baseline_grade": other}
            scores += _scores(material, turn, opponent, won, "scored", given)
    return scores


def pairs(material: Material) -> Iterator[tuple[Turn, Turn]]:
    """Every turn of the model beside the same turn of the baseline; raises UsageError without a baseline."""
    task, prompts = material.task, material.prompts
    if not material.baseline:
        raise UsageError(f"task {task.name}: a win rate needs a baseline's completions; there are none")
    ours, theirs = (
        find_turns(task, prompts, completions) for completions in (material.completions, material.baseline)
    )
    return zip(ours, theirs, strict=True)


def _words(a: Turn, b: Turn) -> dict[str, str]:
    if a.number == 1:
        return {"question": a.prompt.turns[0], "answer_a": a.answers[0], "answer_b": b.answers[0]}
    words = {f"question_{n}": text for n, text in enumerate(a.prompt.turns, 1)}
    for side, turn in (("a", a), ("b", b)):
        words |= {f"answer_{side}_{n}": text for n, text in enumerate(turn.answers, 1)}
    return words


def _scores(
    material: Material, turn: Turn, opponent: Turn, won: float | None, status: Status, more: Mapping[str, object]
) -> list[Score]:
    detail = {**turn.detail, **more}
    if turn.prompt.category in NEEDS_REFERENCE:
        detail["references"] = reference_set(material.task)
    if opponent.truncated:
        detail["baseline_truncated"] = True
    if opponent.problem is not None:
        detail["baseline_problem"] = opponent.problem
    head = Score(turn.item, turn.prompt.id, "wwr", None if won is None else 100 * won, status, detail)
    shares = {"win": 1.0, "tie": 0.5, "loss": 0.0}
    scores = [replace(head, metric=metric) for metric in metric_names("wwr", turn)]
    for name, meaning in shares.items():
        scores.append(replace(head, metric=name, value=None if won is None else 100.0 * (won == meaning)))
    return scores


def ask(task: TaskRecipe, judge: JudgeRecipe, prompt: Prompt, answers: Sequence[str]) -> JudgeCall:
    """The question about two answers to a first turn, the first as A."""
    template = read_templates()[template_name("pair", prompt.category, 1)]
    words = {"question": prompt.turns[0], "answer_a": answers[0], "answer_b": answers[1]}
    messages = template.messages({**words, **reference_words(prompt, read_references(task))})
    return JudgeCall(prompt.id, messages, PARAMS)


def read(task: TaskRecipe, judge: JudgeRecipe, answer: JudgeAnswer) -> float | None:
    """The preference for A, 0, 0.5 or 1."""
    side = read_side(answer, verdict_rule(task)).value
    return None if side is None else FOR_FIRST[side]


# Lengths are means over pairs of published answers of ten models in the pairwise templates.
PAIRWISE = JudgedScorer(
    calls=battle_calls,
    score=battles,
    compare=graded_battles,
    probe=Probe(2, ask, read),
    protocol=Protocol(calls_per_turn=2, input_characters=5400, output_characters=800),
    question_files=QUESTION_FILES,
    export="ropo_bench.scoring.mt_bench.export:write_pairwise",
)
