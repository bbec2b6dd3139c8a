"""How completions and scores are made."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ropo_bench.errors import UsageError
from ropo_bench.recipes.objects import resolve_object
from ropo_bench.runs.items import append_completions, finished_answers, finite, read_completions, write_scores
from ropo_bench.scoring import SCORERS
from ropo_bench.scoring.gold import expected
from ropo_bench.scoring.judged import JudgedScorer, Material
from ropo_bench.sources.prompts import read_answers, read_prompts
from ropo_bench.store import JsonLines, Stage
from ropo_bench.types import Completion, Prompt, Score
from ropo_bench.types.engines import Subject

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ropo_bench.recipes.judge import JudgeRecipe
    from ropo_bench.recipes.task import TaskRecipe
    from ropo_bench.stages import Evaluation, Model

UNREAD = "unread"
"""In a manifest of scores: no answer of the judge held a verdict."""
GENERATION_CODE = (
    "ropo_bench.generation",
    "ropo_bench.types.thoughts",
    "ropo_bench.models.load",
    "ropo_bench.preferences",
    "ropo_bench.making.evaluation",
)
SCORING_CODE = (
    "ropo_bench.scoring",
    "ropo_bench.types.thoughts",
    "ropo_bench.models.geometry",
    "ropo_bench.pocket",
    "ropo_bench.models.load",
    "ropo_bench.making.evaluation",
)


def preflight(evaluation: Evaluation, tasks: Sequence[TaskRecipe]) -> None:
    """Find what scoring will want and lack; raises UsageError."""
    for task in tasks:
        judge = evaluation.judges.get(task.name)
        if isinstance(find_scorer(task), JudgedScorer):
            if judge is None:
                raise UsageError(f"task {task.name}: scorer {task.scorer!r} needs a judge; add judge: to its recipe")
            evaluation.room.preflight(find_scorer(task), task, judge)
            rehearse(find_scorer(task), task, judge)
        if task.prompts is not None:
            read_prompts(task.prompts)


def rehearse(scorer: JudgedScorer, task: TaskRecipe, judge: JudgeRecipe) -> None:
    """Ask and score with stand-ins for the answers, so that whatever file is missing is found before training.

    Raises UsageError.
    """
    assert task.prompts is not None
    prompts = read_prompts(task.prompts)
    ours, theirs = (_stand_ins(task, prompts, text) for text in ("an answer", "another one"))
    baseline = theirs if task.baseline is None else read_answers(task.baseline, prompts)
    material = Material(task, prompts, ours, baseline)
    if judge.chats:
        scorer.calls(material, judge)
        scorer.score(material, judge, {})
    elif scorer.compare is not None:
        scorer.compare(material, lambda prompt, turns: [0.0] * len(turns))


def _stand_ins(task: TaskRecipe, prompts: Sequence[Prompt], text: str) -> list[Completion]:
    return [
        Completion(prompt.id, sample, (text,) * len(prompt.turns), (1,) * len(prompt.turns))
        for prompt, sample in expected(prompts, task)
    ]


def check_model(folder: Path, backend: str) -> None:
    """Raise UsageError for a model folder that is not to be loaded; see model_checks."""
    from ropo_bench.models import checks as model_checks

    model_checks.check_model(folder, backend)


def check_adapter(row: str, base: Path, folder: Path) -> None:
    """Raise UsageError, which names the row, for an adapter that is not to be merged into the base."""
    from ropo_bench.models import checks as model_checks

    try:
        model_checks.check_policy(base, folder)
    except UsageError as error:
        raise UsageError(f"{row}: {error}") from error


def make_completions(evaluation: Evaluation, stage: Stage, model: Model, task: TaskRecipe, label: str) -> None:
    """Generate group by group; a group is one line of the file, so what is there is whole."""
    assert task.prompts is not None
    assert task.decoding is not None
    prompts = read_prompts(task.prompts)
    decoding = task.decoding.model_copy(update={"seed": task.decoding.seed + model.seed})
    lines = JsonLines(stage.path / "completions.jsonl")
    done = finished_answers(lines)
    engine = evaluation.engine(model)
    total, finished = len(prompts) * decoding.num_samples, len(done)
    began = time.perf_counter()
    progress = evaluation.progress.stage(
        "generate", f"{label} {task.name}", total=total, start=finished, unit="answers"
    )
    with lines, progress as bar:
        for group in engine.generate(prompts, decoding, done):
            append_completions(lines, group, engine.life)
            finished += len(group)
            bar.update(finished, tokens=sum(sum(c.num_tokens) for c in group))
    stage.finish(
        {
            "num_completions": total,
            "backend": engine.backend,
            "engine_error": evaluation.engine_error,
            "seconds": time.perf_counter() - began,
        }
    )


def make_scores(evaluation: Evaluation, stage: Stage, model: Model, task: TaskRecipe, label: str) -> None:
    """Run the task's scorer over completions, over the model itself, or over a judge's answers."""
    began = time.perf_counter()
    scorer = find_scorer(task)
    record: dict[str, Any] = {}
    if task.prompts is None:
        scores = scorer(task, Subject(model.folder, evaluation.stages.base.folder, lambda: evaluation.engine(model)))
    else:
        material = _material(evaluation, model, task)
        if isinstance(scorer, JudgedScorer):
            judge = evaluation.judges[task.name]
            scores, record = evaluation.room.judge(scorer, material, judge, f"{label} {task.name}")
        else:
            scores = scorer(task, material.prompts, material.completions, material.baseline)
        record |= {"num_prompts": len(material.prompts), **_thoughts(material.completions)}
    _finish(stage, scores, began, record)


def make_canaries(evaluation: Evaluation, stage: Stage, task: TaskRecipe) -> None:
    """Check a task's judge for bias, on the baseline's answers."""
    assert task.prompts is not None
    began = time.perf_counter()
    prompts = read_prompts(task.prompts)
    material = Material(task, prompts, [], _baseline(evaluation, task, prompts))
    results, tally = evaluation.room.canaries(find_scorer(task), material, evaluation.judges[task.name])
    stage.reopen()
    stage.finish(
        {
            "canaries": [asdict(result) for result in results],
            "num_failed": tally.failed if tally else 0,
            "tally": asdict(tally) if tally else None,
            "seconds": time.perf_counter() - began,
        }
    )


def score_variant(stage: Stage, task: TaskRecipe, answers: Stage, baseline: Stage) -> None:
    """Run the task's scorer over one set of the base model's answers against another."""
    assert task.prompts is not None
    began = time.perf_counter()
    prompts = read_prompts(task.prompts)
    _finish(stage, find_scorer(task)(task, prompts, read_completions(answers), read_completions(baseline)), began, {})


def is_judged(task: TaskRecipe) -> bool:
    """Whether a task's scorer asks a judge."""
    return isinstance(find_scorer(task), JudgedScorer)


def find_scorer(task: TaskRecipe) -> Any:
    """The task's scorer; raises UsageError for a name that is none."""
    return resolve_object(task.scorer, SCORERS, "scorer")


def _material(evaluation: Evaluation, model: Model, task: TaskRecipe) -> Material:
    assert task.prompts is not None
    prompts = read_prompts(task.prompts)
    answers = read_completions(evaluation.completions(model, task))
    return Material(task, prompts, answers, _baseline(evaluation, task, prompts))


def _baseline(evaluation: Evaluation, task: TaskRecipe, prompts: Sequence[Prompt]) -> list[Completion]:
    if task.baseline is not None:
        return read_answers(task.baseline, prompts)
    return read_completions(evaluation.completions(evaluation.stages.base, task))


def _finish(stage: Stage, scores: Sequence[Score], began: float, record: dict[str, Any]) -> None:
    stage.reopen()  # until now, what an earlier attempt could score was shown
    scores = [finite(score) for score in scores]
    write_scores(stage, scores)
    failed, unparsable = (
        {score.item for score in scores if score.status == status}
        for status in ("infrastructure-failed", "unparsable")
    )
    if "judge" in record and unparsable and {score.item for score in scores} == failed | unparsable:
        record = {**record, UNREAD: True}
    numbers = {"num_scores": len(scores), "num_failed": len(failed), "seconds": time.perf_counter() - began}
    stage.finish({**numbers, **record})


def _thoughts(completions: Sequence[Completion]) -> dict[str, int]:
    """Of how many answers thoughts were left out, and how many of these held nothing else; {} where none had any."""
    if not any(completion.raw for completion in completions):
        return {}
    left_out = sum(completion.raw is not None for completion in completions)
    return {"num_thoughts": left_out, "num_cut_thoughts": sum(completion.cut_thoughts for completion in completions)}
