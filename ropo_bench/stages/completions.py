"""completions: a model's answers to a task's prompts; tasks with the same prompts and decoding share them."""

from __future__ import annotations

import time
from typing import Any

from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.items import append_completions, finished_answers
from ropo_bench.sources.prompts import answers_key, prompts_key
from ropo_bench.stages.bench import Bench, Model
from ropo_bench.store import JsonLines, Stage

VERSION = 1
_VLLM_WORKER = "ropo_bench.generation.vllm_worker"  # started by its name


def stage(bench: Bench, model: Model, task: TaskRecipe) -> Stage:
    """The answers of a model to the prompts of a task that has prompts."""
    assert task.prompts is not None
    assert task.decoding is not None
    engines = bench.engine_versions()
    workers = (_VLLM_WORKER,) if engines["backend"] == "vllm" else ()
    inputs: dict[str, Any] = {
        "model": model.key,
        "prompts": prompts_key(task.prompts),
        "decoding": task.decoding.model_dump(),
        "dtype": bench.suite.merge.dtype,
        "seed": model.seed,
        "code": bench.code(VERSION, __name__, "ropo_bench.generation", *workers),
        "engines": engines,
    }
    return bench.store.stage_of("completions", inputs)


def baseline(bench: Bench, task: TaskRecipe) -> str:
    """Key of the answers that a task's win rates are against: a fixed opponent's, or the base model's."""
    return answers_key(task.baseline) if task.baseline else stage(bench, bench.base, task).key


def are_there(bench: Bench, model: Model, task: TaskRecipe) -> bool:
    """Whether a model's answers to a task's prompts are in the store; true of a task without prompts."""
    return task.prompts is None or stage(bench, model, task).done


def make(bench: Bench, model: Model, task: TaskRecipe, label: str) -> Stage:
    """Generate what is missing of a model's answers."""
    answers = stage(bench, model, task)
    with bench.begin(answers, "generate", f"{label} {task.name}") as todo:
        if todo:
            _generate(bench, answers, model, task, label)
    return answers


def _generate(bench: Bench, answers: Stage, model: Model, task: TaskRecipe, label: str) -> None:
    """Generate group by group; a group is one line of the file, so what is there is whole."""
    assert task.prompts is not None
    assert task.decoding is not None
    prompts = bench.prompts(task.prompts)
    decoding = task.decoding.model_copy(update={"seed": task.decoding.seed + model.seed})
    lines = JsonLines(answers.path / "completions.jsonl")
    done = finished_answers(lines)
    engine = bench.engine(model)
    total, finished = len(prompts) * decoding.num_samples, len(done)
    began = time.perf_counter()
    progress = bench.progress.stage("generate", f"{label} {task.name}", total=total, start=finished, unit="answers")
    with lines, progress as bar:
        for group in engine.generate(prompts, decoding, done):
            append_completions(lines, group, engine.life)
            finished += len(group)
            bar.update(finished, tokens=sum(sum(c.num_tokens) for c in group))
    answers.finish(
        {
            "num_completions": total,
            "backend": engine.backend,
            "engine_error": bench.engine_error,
            "seconds": time.perf_counter() - began,
        }
    )
