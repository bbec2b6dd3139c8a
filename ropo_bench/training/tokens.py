"""The pairs of a job as token ids, cut to its length limits."""

from __future__ import annotations

from typing import Any

from ropo_bench.preferences import tokenize_pairs
from ropo_bench.store import JsonLines
from ropo_bench.training.team.job import Job
from ropo_bench.types import Pair


def tokenize_job(job: Job, tokenizer: Any) -> Any:
    """Read the pairs that a job names, as tokenize_pairs gives them."""
    pairs = [Pair(**{**record, "prompt": tuple(record["prompt"])}) for record in JsonLines(job.pairs)]
    return tokenize_pairs(pairs, tokenizer, job.train.max_length, job.train.max_prompt_length)
