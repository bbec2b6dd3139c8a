"""Completions and scores as JSON lines of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from ropo_bench.runs import JsonLines, Stage
from ropo_bench.types import Completion, Pair, Score

SCORES = "scores.jsonl"


def append_completions(lines: JsonLines, group: Sequence[Completion], life: str) -> None:
    """Append what an engine gave at once as one line, there whole or not at all; life: see engines.Engine."""
    lines.append({"engine": life, "completions": [asdict(completion) for completion in group]})


def finished_answers(lines: JsonLines) -> set[tuple[str, int]]:
    """(prompt id, sample) of every completion that is there."""
    return {(item["prompt_id"], item["sample"]) for group in lines for item in group["completions"]}


def read_completions(stage: Stage) -> list[Completion]:
    """All completions of a finished stage, in order of generation."""
    return [
        Completion(**{**item, "turns": tuple(item["turns"]), "num_tokens": tuple(item["num_tokens"])})
        for batch in JsonLines(stage.file("completions.jsonl"))
        for item in batch["completions"]
    ]


def write_scores(stage: Stage, scores: Sequence[Score]) -> None:
    """Write all scores of a task, in place of what an interrupted attempt left."""
    path = stage.path / SCORES
    path.unlink(missing_ok=True)
    with JsonLines(path) as lines:
        for score in scores:
            lines.append(asdict(score))


def read_scores(stage: Stage) -> list[Score]:
    """All scores of a finished stage."""
    return [Score(**record) for record in JsonLines(stage.file(SCORES))]


def read_pairs(stage: Stage) -> list[Pair]:
    """The pairs of a finished stage."""
    return [Pair(**{**r, "prompt": tuple(r["prompt"])}) for r in JsonLines(stage.file("pairs.jsonl"))]
