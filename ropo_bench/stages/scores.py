"""scores: what a task's scorer says of a model's answers, of the model itself, or of a judge's answers about them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.items import finite, read_completions, write_scores
from ropo_bench.scoring import data_of, find_scorer, is_judged, modules
from ropo_bench.scoring.judged import JudgedScorer, Material
from ropo_bench.sources.options import option_key
from ropo_bench.sources.prompts import read_answers
from ropo_bench.stages import completions
from ropo_bench.stages.bench import Bench, Model
from ropo_bench.stages.judges import judging_key
from ropo_bench.store import Stage
from ropo_bench.store.files import JSON
from ropo_bench.types import Completion, Prompt, Score
from ropo_bench.types.engines import Subject

VERSION = 1
JUDGING = "ropo_bench.stages.judges"
ENGINES = ("lm-eval", "datasets", "numpy", "scikit-learn")
"""Of what is measured on the model itself, beside those that run it."""
FAILED = "num_failed"
"""In a manifest: how many items were not measured, for want of an answer from a server, say."""
UNREAD = "unread"
"""In a manifest: no answer of the judge held a verdict."""
VARIANT_SEED = 1_000_000  # far from the seeds of trained models


def stage(bench: Bench, model: Model, task: TaskRecipe) -> Stage:
    """The scores of a model on a task."""
    judge = bench.judges.get(task.name)
    inputs: dict[str, Any] = {
        "scorer": task.scorer,
        "options": task.options,
        "files": {key: option_key(value) for key, value in task.options.items()},
        "data": data_of(task),
        "judge": judging_key(bench.store, judge) if judge else None,
        "code": code(bench, task),
    }
    if task.prompts is None:
        engines = {**bench.engine_versions(), **bench.engines(*ENGINES)}
        inputs |= {"model": model.key, "base": bench.base.key, "engines": engines}
    else:
        answers = completions.stage(bench, model, task).key
        inputs |= {"completions": answers, "baseline": completions.baseline(bench, task)}
    return bench.store.stage_of("scores", inputs)


def code(bench: Bench, task: TaskRecipe) -> dict[str, JSON]:
    """What of the code makes a task's scores: its scorer's, and that of asking where a judge is asked."""
    judging = (JUDGING,) if is_judged(task) else ()
    engine = ("ropo_bench.generation",) if task.prompts is None else ()
    return bench.code(VERSION, __name__, *modules(task), *judging, *engine)


def are_final(bench: Bench, model: Model, task: TaskRecipe) -> bool:
    """Whether a task is scored, no measurement of it failed and its judge said anything."""
    scores = stage(bench, model, task)
    return scores.done and not scores.manifest.get(FAILED) and not scores.manifest.get(UNREAD)


def make_answers(bench: Bench, model: Model, task: TaskRecipe, label: str) -> None:
    """Generate everything that scoring will read, and reports show: the model's answers and the baseline's."""
    if task.prompts is None:
        return
    to_score = not are_final(bench, model, task)
    if to_score and task.baseline is None and not completions.are_there(bench, bench.base, task):
        completions.make(bench, bench.base, task, "SFT")
    if not completions.are_there(bench, model, task):
        completions.make(bench, model, task, label)


def make(bench: Bench, model: Model, task: TaskRecipe, label: str) -> Stage:
    """Score a model on a task, after its answers; measurements that failed before are tried again."""
    make_answers(bench, model, task, label)
    scores = stage(bench, model, task)
    redo = scores.done and bool(scores.manifest.get(FAILED))
    with bench.begin(scores, "score", f"{label} {task.name}", redo) as todo:
        if todo:
            _score(bench, scores, model, task, label)
    return scores


def make_variant(bench: Bench, task: TaskRecipe, temperature: float) -> Stage:
    """The base model decoded at another temperature and seed, against itself as the task decodes it."""
    assert task.decoding is not None
    assert task.prompts is not None
    changes = {"temperature": temperature, "seed": task.decoding.seed + VARIANT_SEED}
    variant = task.model_copy(update={"decoding": task.decoding.model_copy(update=changes)})
    answers = completions.make(bench, bench.base, variant, f"SFT T={temperature:g}")
    baseline = completions.make(bench, bench.base, task, "SFT")
    inputs: dict[str, Any] = {"answers": answers.key, "baseline": baseline.key, "code": code(bench, task)}
    inputs["options"] = task.options
    scores = bench.store.stage_of("scores", inputs)
    with scores.begin(bench.progress.note) as todo:
        if todo:
            began = time.perf_counter()
            prompts = bench.prompts(task.prompts)
            texts = read_completions(answers), read_completions(baseline)
            _finish(scores, find_scorer(task.scorer)(task, prompts, *texts), began, {})
    return scores


def _score(bench: Bench, scores: Stage, model: Model, task: TaskRecipe, label: str) -> None:
    """Run the task's scorer over completions, over the model itself, or over a judge's answers."""
    began = time.perf_counter()
    scorer = find_scorer(task.scorer)
    record: dict[str, Any] = {}
    if task.prompts is None:
        values = scorer(task, Subject(model.folder, bench.base.folder, lambda: bench.engine(model)))
    else:
        prompts = bench.prompts(task.prompts)
        answers = read_completions(completions.stage(bench, model, task))
        material = Material(task, prompts, answers, read_baseline(bench, task, prompts))
        if isinstance(scorer, JudgedScorer):
            values, record = bench.room.judge(scorer, material, bench.judges[task.name], f"{label} {task.name}")
        else:
            values = scorer(task, prompts, answers, material.baseline)
        record |= {"num_prompts": len(prompts), **_thoughts(answers)}
    _finish(scores, values, began, record)


def read_baseline(bench: Bench, task: TaskRecipe, prompts: Sequence[Prompt]) -> list[Completion]:
    """The answers that a task's win rates are against."""
    if task.baseline is not None:
        return read_answers(task.baseline, prompts)
    return read_completions(completions.stage(bench, bench.base, task))


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
    numbers = {"num_scores": len(scores), FAILED: len(failed), "seconds": time.perf_counter() - began}
    stage.finish({**numbers, **record})


def _thoughts(answers: Sequence[Completion]) -> dict[str, int]:
    """Of how many answers thoughts were left out, and how many of these held nothing else; {} where none had any."""
    if not any(answer.raw for answer in answers):
        return {}
    left_out = sum(answer.raw is not None for answer in answers)
    return {"num_thoughts": left_out, "num_cut_thoughts": sum(answer.cut_thoughts for answer in answers)}
