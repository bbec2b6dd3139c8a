"""Single-answer grading: a judge reads one conversation and grades its last answer, 1 to 10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.judged import JudgedScorer, Material, Probe, Protocol
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
from ropo_bench.scoring.mt_bench.verdicts import read_rating, verdict_rule
from ropo_bench.types import JudgeAnswer, JudgeCall, Prompt, Score, Status


def grading_calls(material: Material, judge: JudgeRecipe) -> list[JudgeCall]:
    """One call a turn that has an answer, under the item's name ("81:2").

    Options: references, "corrected" (the default) or "original". Raises UsageError for a prompt that needs a
    reference answer and has none, and where the official templates are not to be had.
    """
    templates, references = read_templates(), read_references(material.task)
    calls = []
    for turn in find_turns(material.task, material.prompts, material.completions):
        if turn.problem is None:
            template = templates[template_name("single", turn.prompt.category, turn.number)]
            words = {**_words(turn), **reference_words(turn.prompt, references)}
            calls.append(JudgeCall(turn.item, template.messages(words), PARAMS))
    return calls


def grades(material: Material, judge: JudgeRecipe, answers: Mapping[str, JudgeAnswer]) -> list[Score]:
    """Grades under `score_REFS`, `score_REFS_turn_1`, `score_REFS_turn_2` and `score_REFS/CATEGORY`.

    REFS is the set of reference answers, "corrected" or "original": grades by different sets are different
    metrics. An item is a turn ("81:2"), its cluster the prompt; detail: turn, category, references (where the
    category has any), truncated, ambiguous (the judge's answer holds different grades), and problem (why an answer
    could not be judged). Options: verdict, the rule by which the judge is read (see verdicts).
    """
    references, rule = reference_set(material.task), verdict_rule(material.task)
    scores = []
    for turn in find_turns(material.task, material.prompts, material.completions):
        answer = answers.get(turn.item) if turn.problem is None else None
        grade, ambiguous = read_rating(answer, rule) if answer else (None, False)
        status: Status = "infrastructure-failed" if answer is None else "unparsable" if grade is None else "scored"
        detail = turn.detail
        if turn.prompt.category in NEEDS_REFERENCE:
            detail["references"] = references
        if ambiguous:
            detail["ambiguous"] = True
        head = Score(turn.item, turn.prompt.id, f"score_{references}", grade, status, detail)
        scores += [replace(head, metric=metric) for metric in metric_names(head.metric, turn)]
    return scores


def metric_names(name: str, turn: Turn) -> list[str]:
    """The metrics that show a number of a turn: overall, of the turn, of the category."""
    category = turn.prompt.category
    return [name, f"{name}_turn_{turn.number}", *([f"{name}/{category}"] if category else [])]


def _words(turn: Turn) -> dict[str, str]:
    if turn.number == 1:
        return {"question": turn.prompt.turns[0], "answer": turn.answers[0]}
    words = {f"question_{n}": text for n, text in enumerate(turn.prompt.turns, 1)}
    return words | {f"answer_{n}": text for n, text in enumerate(turn.answers, 1)}


def ask(task: TaskRecipe, judge: JudgeRecipe, prompt: Prompt, answers: Sequence[str]) -> JudgeCall:
    """The question about one answer to a first turn."""
    template = read_templates()[template_name("single", prompt.category, 1)]
    words = {"question": prompt.turns[0], "answer": answers[0], **reference_words(prompt, read_references(task))}
    return JudgeCall(prompt.id, template.messages(words), PARAMS)


def read(task: TaskRecipe, judge: JudgeRecipe, answer: JudgeAnswer) -> float | None:
    """The grade, 1..10."""
    return read_rating(answer, verdict_rule(task)).value


# No `compare`: a reward model's grades are on no scale of 1 to 10. Lengths are means over 1,600 published judgments.
SINGLE = JudgedScorer(
    calls=grading_calls,
    score=grades,
    probe=Probe(1, ask, read),
    protocol=Protocol(calls_per_turn=1, input_characters=3130, output_characters=795),
    question_files=QUESTION_FILES,
    export="ropo_bench.scoring.mt_bench.export:write_single",
)
