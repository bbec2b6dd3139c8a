"""The requests that judging would make, where the answers to judge are on the disk; nobody is asked."""

from __future__ import annotations

from collections.abc import Sequence

from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.items import read_completions
from ropo_bench.scoring import find_judged
from ropo_bench.scoring.judged import JudgedScorer, Material
from ropo_bench.sources import assets
from ropo_bench.sources.prompt_files import registered_files
from ropo_bench.sources.prompts import read_answers, read_prompts
from ropo_bench.stages import completions
from ropo_bench.stages.bench import Bench, Model
from ropo_bench.types import Completion, JudgeCall, Prompt


def requests(bench: Bench, model: Model, task: TaskRecipe) -> list[JudgeCall] | None:
    """Every question about a model's answers to a task; None where they, or the baseline's, are not there yet."""
    scorer, answers = find_judged(task.scorer), completions.stage(bench, model, task)
    if scorer is None or not answers.done or task.prompts is None or not _files_here(task, scorer):
        return None
    prompts = read_prompts(task.prompts)
    baseline = _baseline(bench, task, prompts)
    if baseline is None:
        return None
    material = Material(task, prompts, read_completions(answers), baseline)
    return scorer.calls(material, bench.judges[task.name])


def canary_requests(bench: Bench, task: TaskRecipe) -> list[JudgeCall] | None:
    """Every question that tests a task's judge; None where the answers that they are made of are not there yet."""
    from ropo_bench.judging import canaries

    scorer, judge = find_judged(task.scorer), bench.judges[task.name]
    if scorer is None or scorer.probe is None or task.prompts is None or not _files_here(task, scorer):
        return None
    prompts, probe = read_prompts(task.prompts), scorer.probe
    baseline = _baseline(bench, task, prompts)
    if baseline is None:
        return None
    items = canaries.canary_items(prompts, baseline)
    if probe.num_answers == 2:
        return canaries.canary_calls(items, lambda prompt, a, b: probe.ask(task, judge, prompt, (a, b)))
    return canaries.grade_canary_calls(items, lambda prompt, a: probe.ask(task, judge, prompt, (a,)))


def _files_here(task: TaskRecipe, scorer: JudgedScorer) -> bool:
    """Whether everything that the questions are made of is here: to plan is not to download."""
    wanted = (*registered_files(task), *scorer.question_files)
    return all(assets.find(entry) is not None for entry in assets.entries() if entry.name.startswith(wanted))


def _baseline(bench: Bench, task: TaskRecipe, prompts: Sequence[Prompt]) -> list[Completion] | None:
    if task.baseline is not None:
        return read_answers(task.baseline, prompts)
    answers = completions.stage(bench, bench.base, task)
    return read_completions(answers) if answers.done else None
