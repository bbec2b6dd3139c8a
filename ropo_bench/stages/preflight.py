"""What would fail after hours, found before anything expensive: methods, models, scorers, judges, prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ropo_bench.errors import MethodFailed, UsageError, first_line
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.items import read_pairs
from ropo_bench.scoring import find_scorer
from ropo_bench.scoring.gold import expected_answers
from ropo_bench.scoring.judged import JudgedScorer, Material
from ropo_bench.sources.prompts import read_answers, read_prompts
from ropo_bench.stages import completions, merged, pairs, scores
from ropo_bench.stages.bench import Bench, Model
from ropo_bench.types import Completion, Prompt
from ropo_bench.weights.files import is_adapter

NUM_PROBES = 32
"""Preference pairs whose texts are put through the chat template."""


def check_methods(bench: Bench, methods: Sequence[MethodRecipe]) -> dict[str, str]:
    """Why a method cannot be trained, by name, where a user's adapter fails alone.

    Checked: every loss and adapter by name, every adapter's modules against the base model's, lengths against the
    base's rope, and the chat template, which must give training and generation the same tokens. Raises UsageError,
    which names the method, for what its recipe has wrong.
    """
    from ropo_bench.adapters import count_parameters
    from ropo_bench.losses import resolve_loss
    from ropo_bench.models.load import load_tokenizer
    from ropo_bench.preferences import template_preflight

    _check_lengths(bench, methods)
    failures: dict[str, str] = {}
    for method in methods:
        try:
            resolve_loss(method.loss.name)
            count_parameters(bench.base.folder, method.adapter)
        except UsageError as error:
            raise UsageError(f"{method.name}: {error}") from error
        except MethodFailed as error:
            failures[method.name] = first_line(error)
    if methods:
        template_preflight(load_tokenizer(bench.base.folder), read_pairs(pairs.make(bench))[:NUM_PROBES])
    return failures


def _check_lengths(bench: Bench, methods: Sequence[MethodRecipe]) -> None:
    """UsageError where a pair's log-probability would depend on the pairs beside it."""
    from transformers import AutoConfig

    from ropo_bench.models.load import steady_positions

    base = bench.base.folder
    bound = steady_positions(AutoConfig.from_pretrained(base, local_files_only=True).get_text_config())
    for method in methods:
        if bound is not None and method.train.max_length > bound:
            raise UsageError(
                f"method {method.name}: train.max_length {method.train.max_length} is more than the {bound} "
                f"positions of {bench.suite.base}: beyond them its rope changes with the longest sequence of a "
                f"batch, and so do a pair's log-probabilities with the pairs beside it; set train.max_length={bound}"
            )


def check_models(bench: Bench, tasks: Sequence[TaskRecipe], checkpoints: Mapping[str, str], training: bool) -> None:
    """Raise UsageError for a base or a checkpoint that cannot be loaded as its folder says, before any is.

    checkpoints: folder or hub id by row. training: whether the base will be trained. What needs no loading any more
    is not looked at.
    """
    base = bench.base
    models = {row: bench.checkpoint(name) for row, name in checkpoints.items()}
    adapters = {row: model for row, model in models.items() if is_adapter(model.folder)}
    unmerged = [row for row, model in adapters.items() if not merged.stage(bench, model.key).done]
    if training or unmerged or _will_load(bench, base, tasks):
        _check_model(base.folder, "hf" if training or unmerged else bench.backend)
    for row, model in models.items():
        if row in unmerged:
            _check_adapter(row, base.folder, model.folder)
        elif row not in adapters and _will_load(bench, model, tasks):
            _check_model(model.folder, bench.backend)


def _check_model(folder: Path, backend: str) -> None:
    from ropo_bench.models.checks import check_model  # torch, which a run that only judges does not load

    check_model(folder, backend)


def _check_adapter(row: str, base: Path, folder: Path) -> None:
    from ropo_bench.models.policy import check_policy

    try:
        check_policy(base, folder)
    except UsageError as error:
        raise UsageError(f"{row}: {error}") from error


def _will_load(bench: Bench, model: Model, tasks: Sequence[TaskRecipe]) -> bool:
    """Whether a model must be in memory for what is left of its tasks."""
    left = [t for t in tasks if not (scores.are_final(bench, model, t) and completions.are_there(bench, model, t))]
    return any(task.prompts is None or not completions.stage(bench, model, task).done for task in left)


def check_tasks(bench: Bench, tasks: Sequence[TaskRecipe]) -> None:
    """Raise UsageError for a scorer, judge or prompt set that is not there."""
    for task in tasks:
        judge = bench.judges.get(task.name)
        scorer = find_scorer(task.scorer)
        if isinstance(scorer, JudgedScorer):
            if judge is None:
                raise UsageError(f"task {task.name}: scorer {task.scorer!r} needs a judge; add judge: to its recipe")
            bench.room.preflight(scorer, task, judge)
            rehearse(scorer, task, judge)
        if task.prompts is not None:
            bench.prompts(task.prompts)


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
        for prompt, sample in expected_answers(prompts, task)
    ]
