"""Completions and scores as JSON lines of a stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ropo_bench.errors import StorageError
from ropo_bench.store import JsonLines, Stage
from ropo_bench.types import Completion, Pair, Score

SCORES = "scores.jsonl"


def append_completions(lines: JsonLines, group: Sequence[Completion], life: str) -> None:
    """Append what an engine gave at once as one line, there whole or not at all; life: see types.engines.Engine."""
    lines.append({"engine": life, "completions": [asdict(completion) for completion in group]})


def finished_answers(lines: JsonLines) -> set[tuple[str, int]]:
    """(prompt id, sample) of every completion that is there."""
    return {(item["prompt_id"], item["sample"]) for group in lines for item in group["completions"]}


def read_completions(stage: Stage) -> list[Completion]:
    """All completions of a finished stage, in order of generation."""
    return [
        _completion(item) for batch in JsonLines(stage.file("completions.jsonl")) for item in batch["completions"]
    ]


def _completion(item: Mapping[str, Any]) -> Completion:
    raw = item.get("raw")
    texts = {"turns": tuple(item["turns"]), "raw": None if raw is None else tuple(raw)}
    return Completion(**{**item, **texts, "num_tokens": tuple(item["num_tokens"])})


def write_scores(stage: Stage, scores: Sequence[Score]) -> None:
    """Write all scores of a task, in place of what an interrupted attempt left.

    A value that is not finite is no score, whichever scorer gave it: its item is unparsable.
    """
    path = stage.path / SCORES
    path.unlink(missing_ok=True)
    with JsonLines(path) as lines:
        for score in scores:
            lines.append(asdict(finite(score)))


def finite(score: Score) -> Score:
    """The score, unparsable where its value is NaN or infinite."""
    if score.value is None or math.isfinite(score.value):
        return score
    detail = {**score.detail, "problem": f"the scorer gave {score.value}"}
    return replace(score, value=None, status="unparsable", detail=detail)


def read_scores(stage: Stage) -> list[Score]:
    """All scores of a finished stage; raises StorageError for a value that is none."""
    path = stage.file(SCORES)
    scores = [Score(**record) for record in JsonLines(path)]
    for number, score in enumerate(scores, 1):
        if score.value is not None and not math.isfinite(score.value):
            raise StorageError(
                f"{path}, line {number}: {score.metric} of item {score.item} is {score.value}, which is no score;"
                f" delete the folder {stage.path} and repeat the command, which scores again without asking a judge"
            )
    return scores


def read_pairs(stage: Stage) -> list[Pair]:
    """The pairs of a finished stage."""
    return [Pair(**{**r, "prompt": tuple(r["prompt"])}) for r in JsonLines(stage.file("pairs.jsonl"))]
