"""Multiple choice by log-likelihood: a local question set through lm-eval as a library."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.models import load_model, load_tokenizer
from ropo_bench.recipes import resolve_object
from ropo_bench.tasks import TaskRecipe
from ropo_bench.types import Score

Items = Sequence[Mapping[str, Any]]


def score(task: TaskRecipe, model_dir: Path, base_dir: Path) -> list[Score]:
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
    samples = run_lm_eval(items, model_dir, task.name, int(task.options.get("batch_size", 64)))
    scores = []
    for index, (item, right) in enumerate(zip(items, samples, strict=True)):
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


def run_lm_eval(items: Items, model_dir: Path, name: str, batch_size: int) -> list[float]:
    """lm-eval's acc (0 or 1) of every item, in order."""
    # Imported here: about five seconds, most of them transformers'.
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tokenizer = load_tokenizer(model_dir)
    model = HFLM(pretrained=load_model(model_dir, "float32"), tokenizer=tokenizer, batch_size=batch_size)
    with tempfile.TemporaryDirectory() as temporary, contextlib.redirect_stderr(io.StringIO()):
        # Its progress bars would break into ours; errors still come as exceptions.
        write_task(Path(temporary), name, items)
        manager = TaskManager(include_defaults=False, include_path=[temporary])
        # Not simple_evaluate, which asks pip for every installed package, a second each time.
        results = evaluate(model, manager.load([name]), bootstrap_iters=0, log_samples=True)
    samples = sorted(results["samples"][name], key=lambda sample: int(sample["doc_id"]))
    return [float(sample["acc"]) for sample in samples]
