"""Multiple choice by log-likelihood: a local question set through lm-eval as a library."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.recipes.objects import resolve_object
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.lm_eval.lm import make_lm, quiet, run_tasks
from ropo_bench.types import Score
from ropo_bench.types.engines import Subject

Items = Sequence[Mapping[str, Any]]


def score(task: TaskRecipe, subject: Subject) -> list[Score]:
    """`accuracy` (0 or 100) of every question: is the right choice the most likely continuation?

    Options: items, a function () -> [{question, choices, answer (index), kind}] as "module:object"; batch_size
    (64). Zero-shot, plain text without a chat template. Raises UsageError without items.
    """
    name = task.options.get("items")
    if not isinstance(name, str):
        raise UsageError(
            f"task {task.name}: scorer {task.scorer!r} wants options.items, given {name!r};"
            ' name a function that makes the questions as "module:object"'
        )
    make: Callable[[], Items] = resolve_object(name, {}, "question set")
    items = make()
    rights = run_quiz(items, subject, task.name, int(task.options.get("batch_size", 64)))
    scores = []
    for index, (item, right) in enumerate(zip(items, rights, strict=True)):
        question = f"{task.name}:{index}"
        detail = {"kind": item["kind"]}
        scores.append(Score(question, question, "accuracy", 100 * right, detail=detail))
    return scores


def write_task(folder: Path, name: str, items: Items) -> None:
    """An lm-eval task of the question set in `folder`, for its library or its CLI (--include_path folder)."""
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(dict(item)) + "\n" for item in items))
    config = {
        "task": name,
        "dataset_path": "json",
        # The cache beside the data, so that nothing is left in the user's home.
        "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "question",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "target_delimiter": " ",
        "num_fewshot": 0,
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
    (folder / f"{name}.yaml").write_text(json.dumps(config))  # JSON is YAML


def run_quiz(items: Items, subject: Subject, name: str, batch_size: int) -> list[float]:
    """lm-eval's acc (0 or 1) of every item, in order."""
    # Imported here: about five seconds, most of them transformers'.
    from lm_eval.tasks import TaskManager

    lm = make_lm(subject, batch_size)
    with tempfile.TemporaryDirectory() as temporary:
        write_task(Path(temporary), name, items)
        with quiet():
            loaded = TaskManager(include_defaults=False, include_path=[temporary]).load([name])["tasks"]
        samples = run_tasks(lm, loaded)[name]
    return [float(sample["acc"]) for sample in samples]
