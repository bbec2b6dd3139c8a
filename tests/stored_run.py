"""A finished run in a store, of scores that a test writes down: reading a run can be tested without training one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ropo_bench.recipes.method import MethodRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.runs.items import append_completions, write_scores
from ropo_bench.runs.record import DONE, PENDING, SFT, DataRecord, RequestRecord, RowRecord, RunRecord
from ropo_bench.store import JsonLines, Store, content_key
from ropo_bench.types import Completion, Score

ARENA = {
    "name": "arena",
    "description": "battles with the base model, one answer a prompt",
    "prompts": "prompts.jsonl",
    "decoding": {"max_new_tokens": 8},
    "scorer": "arena",
    "columns": [
        {"metric": "win_rate", "header": "WR %", "decimals": 1},
        {"metric": "length", "header": "tokens", "decimals": 1, "better": "none"},
    ],
}
QUIZ = {
    "name": "quiz",
    "description": "questions, answered right or wrong",
    "scorer": "pocket-commonsense",
    "columns": [{"metric": "accuracy", "header": "facts %", "decimals": 1}],
}
Values = Mapping[str, Sequence[float | None]]
"""Metric -> one value a prompt; None: that measurement failed."""


PROVENANCE = {
    "ropo_bench": "0.1.0",
    "code": {"commit": "c" * 40, "dirty": False},
    "packages": {"torch": "2.13.0"},
    "python": "3.11.7",
    "platform": "Linux x86_64",
    "hardware": {"cpu": "a", "cores": 2, "memory_bytes": 1, "gpus": []},
    "time_utc": "2026-01-01T00:00:00Z",
}


def request(
    tasks: Sequence[Mapping[str, Any]] = (ARENA, QUIZ), methods: Sequence[str] = (), **changes: Any
) -> RequestRecord:
    """What was asked for. methods: names of rows that all train alike. changes: of its fields."""
    recipes = [TaskRecipe.model_validate(task) for task in tasks]
    suite = {"name": "tiny", "description": "a suite", "base": "tiny:base", "data": "pairs.jsonl"}
    fields = {
        "suite": suite | {"tasks": [recipe.name for recipe in recipes]},
        "tasks": recipes,
        "methods": [method(name) for name in methods],
        "seeds": 1,
        "checkpoints": {},
        "judges": {},
        "canaries": True,
    }
    return RequestRecord.model_validate(fields | changes)


def method(name: str, lr: float = 1e-3) -> MethodRecipe:
    """A row's method."""
    fields = {"description": "a row", "adapter": {"name": "full"}, "loss": {}, "train": {"lr": lr}}
    return MethodRecipe.model_validate({"name": name, **fields})


def record(asked: RequestRecord, rows: Sequence[RowRecord] = (), **changes: Any) -> RunRecord:
    """The record of a run. changes: of its fields."""
    fields = {
        "request": asked,
        "base": "b" * 64,
        "data": DataRecord(key="d", num_pairs=9, left_out=[], sha256="d" * 64),
        "rows": list(rows),
        "canaries": {},
        "complete": all(row.state == DONE for row in rows),
        "provenance": PROVENANCE,
    }
    return RunRecord.model_validate(fields | changes)


def write(
    store: Store,
    name: str,
    rows: Mapping[str, Sequence[Mapping[str, Values]] | None],
    tasks: Sequence[Mapping[str, Any]] = (ARENA, QUIZ),
    **changes: Any,
) -> RunRecord:
    """Write the run. rows: name -> one {task: values} a seed, or None (pending). changes: of its record."""
    entries = []
    for row, seeds in rows.items():
        for seed, values in enumerate([{}] if seeds is None else seeds):
            entry = RowRecord(name=row, seed=seed, state=PENDING if seeds is None else DONE)
            label = f"{row}, seed {seed}"
            for task in tasks:
                known = values.get(task["name"])
                if known is not None:
                    entry.scores[task["name"]] = _scores(store, task["name"], label, known)
                if known is not None and task.get("prompts") is not None:
                    count = len(next(iter(known.values())))
                    entry.completions[task["name"]] = _completions(store, task["name"], label, count)
            entries.append(entry)
    num_seeds = max(len(seeds or ()) for seeds in rows.values())
    asked = request(tasks, [row for row in rows if row != SFT], seeds=num_seeds)
    written = record(asked, entries, **changes)
    store.write_run(name, written.model_dump())
    return written


def _scores(store: Store, task: str, label: str, values: Values) -> str:
    scores = [
        Score(f"p{i}", f"p{i}", metric, value, "scored" if value is not None else "infrastructure-failed")
        for metric, each in values.items()
        for i, value in enumerate(each)
    ]
    stage = store.stage(
        "scores",
        content_key("scores", {"task": task, "label": label, "values": {k: list(v) for k, v in values.items()}}),
    )
    with stage.begin() as todo:
        if todo:
            write_scores(stage, scores)
            failed = sum(score.value is None for score in scores)
            counts = {
                "num_scores": len(scores),
                "num_failed": failed,
                "num_prompts": len(next(iter(values.values()))),
            }
            stage.finish({**counts, "seconds": 0.0})
    return stage.key


def _completions(store: Store, task: str, label: str, count: int) -> str:
    stage = store.stage("completions", content_key("completions", {"task": task, "label": label, "count": count}))
    with stage.begin() as todo:
        if todo:
            answers = [Completion(f"p{i}", 0, (f"answer {i} of {label}",), (4,)) for i in range(count)]
            with JsonLines(stage.path / "completions.jsonl") as lines:
                append_completions(lines, answers, "one")
            stage.finish({"num_completions": count, "backend": "hf", "seconds": 0.0})
    return stage.key


def prompts_file(folder: Path, count: int) -> Path:
    """Prompts p0, p1 ... in two categories."""
    path = folder / "prompts.jsonl"
    lines = [
        f'{{"id": "p{i}", "turns": ["question {i}?"], "category": "{"odd" if i % 2 else "even"}"}}'
        for i in range(count)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path
